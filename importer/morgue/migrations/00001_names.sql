-- +goose Up
-- When two names are similar. Unqualified: the search_path is the consumer's schema.

-- The letters of a name, lower case, without accents, spaces and punctuation. It uses COLLATE "C" and
-- lists the letters. With a database's own locale, Turkish ı and i could differ and punctuation could
-- vary, so that two databases would disagree about who has a similar name. Most names have plain letters only.
-- +goose StatementBegin
CREATE FUNCTION name_letters(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE -- not STRICT: it would not be inlined
RETURN CASE WHEN name COLLATE "C" ~ '^[A-Za-z]*$' THEN lower(name COLLATE "C") ELSE lower(replace(replace(replace(replace(translate(
    regexp_replace(normalize(name, NFKD) COLLATE "C", '[\u0300-\u036f\u02b0-\u02ff\u2000-\u206f[:space:][:punct:]]', '', 'g'),
    'ØøŁłĐđÐðÆŒÞẞı'
    'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐ',
    'ooLlDdDdæœþßi'
    'αβγδεζηθικλμνξοπρστυφχψωσабвгдежзиклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґ'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), 'ß', 'ss')) END;
-- +goose StatementEnd

-- American Soundex of a name's letters, except that h and w always separate. A name in another script is left
-- as it is.
-- +goose StatementBegin
CREATE FUNCTION name_sound(letters text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    codes text := translate(letters, 'abcdefghijklmnopqrstuvwxyz', '01230120022455012623010202');
BEGIN
    IF letters !~ '^[a-z]+$' THEN
        RETURN letters;
    END IF;
    WHILE codes ~ '11|22|33|44|55|66' LOOP -- a regexp's back-reference would take far longer
        codes := replace(replace(replace(replace(replace(replace(codes, '11', '1'), '22', '2'), '33', '3'), '44', '4'), '55', '5'), '66', '6');
    END LOOP;
    RETURN rpad(left(letters, 1) || left(replace(substr(codes, 2), '0', ''), 3), 4, '0');
END $$;
-- +goose StatementEnd

-- The key is equal for the same and for similar names: family names that sound alike and given
-- names with the same initial (Meyer, Anna and Maier, A.). It rather flags too many than too few.
-- If a name is missing, the key is NULL and similar to nothing.
-- +goose StatementBegin
CREATE FUNCTION name_key(family_name text, given_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE -- not STRICT: it would not be inlined
RETURN nullif(name_sound(name_letters(family_name)), '') || ' ' || nullif(left(name_letters(given_name), 1), '');
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION name_key, name_sound, name_letters;
