-- +goose Up
-- When two names are similar. Unqualified: the search_path is the consumer's schema.

-- The letters of a name, lower case, without accents, spaces and punctuation. COLLATE "C" and the
-- letters written out: by a database's own locale Turkish ı and i would part, and regular expressions
-- would know other punctuation, so that two databases disagreed about who has a similar name.
-- +goose StatementBegin
CREATE FUNCTION name_letters(name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(replace(replace(replace(replace(translate(
    regexp_replace(normalize(name, NFKD) COLLATE "C", '[\u0300-\u036f\u02b0-\u02ff\u2000-\u206f[:space:][:punct:]]', '', 'g'),
    'ØøŁłĐđÐðÆŒÞẞı'
    'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐ',
    'ooLlDdDdæœþßi'
    'αβγδεζηθικλμνξοπρστυφχψωσабвгдежзиклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґ'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), 'ß', 'ss'));
-- +goose StatementEnd

-- American Soundex of a name's letters, except that h and w always separate. A name in another script is left
-- as it is.
-- +goose StatementBegin
CREATE FUNCTION name_sound(letters text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN letters ~ '^[a-z]+$' THEN
    left(letters, 1) || rpad(left(replace(substr(regexp_replace(
        translate(letters, 'abcdefghijklmnopqrstuvwxyz', '01230120022455012623010202'),
        '(.)\1+', '\1', 'g'), 2), '0', ''), 3), 3, '0')
    ELSE letters END;
-- +goose StatementEnd

-- Equal for the same and for similar names: family names that sound alike and given names with the
-- same initial (Meyer, Anna and Maier, A.). It flags too many rather than too few. NULL, similar to
-- nothing, without both names.
-- +goose StatementBegin
CREATE FUNCTION name_key(family_name text, given_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE -- not STRICT: it would not be inlined
RETURN nullif(name_sound(name_letters(family_name)), '') || ' ' || nullif(left(name_letters(given_name), 1), '');
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION name_key, name_sound, name_letters;
