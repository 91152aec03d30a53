-- +goose Up
-- A death is (patient_id, death_no), and there is at most one case per death. Unqualified: the
-- search_path is the consumer's schema.

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

-- American Soundex of a name's letters, save that h and w always part; a name in another script
-- stands for itself.
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

CREATE TABLE case_file (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id       uuid NOT NULL,
    death_no         integer NOT NULL,
    state            text NOT NULL DEFAULT 'expected' CHECK (state IN ('expected', 'received', 'released', 'void')),
    noticed_at       timestamptz NOT NULL,
    -- What people identify the body by. It follows the patients service while the case is expected
    -- and no person has edited it; from then on it stays as it was relied on.
    family_name      text,
    given_name       text,
    birth_date       text,
    sex              text,
    identifiers      jsonb NOT NULL DEFAULT '[]',
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    stated           jsonb NOT NULL, -- the same, as the patients service last stated it
    death_status     text NOT NULL,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    tag              text CHECK (state NOT IN ('received', 'released') OR tag IS NOT NULL),
    received_at      timestamptz,
    received_by      text,
    released_at      timestamptz,
    released_by      text,
    -- Kept when a person opens a void case again: it tells later runs to leave that case alone.
    voided_at        timestamptz CHECK (state <> 'void' OR voided_at IS NOT NULL),
    voided_by        text,           -- 'waybill' or a person
    void_reason      text,           -- by waybill: retracted, merged
    touched_at       timestamptz,    -- when a person last edited the facts by hand
    touched_by       text,
    name_key         text GENERATED ALWAYS AS (name_key(family_name, given_name)) STORED,
    -- Three identifiers, at least one of them unique.
    identification_incomplete boolean GENERATED ALWAYS AS (
        jsonb_array_length(identifiers) = 0
        OR (family_name IS NOT NULL AND given_name IS NOT NULL)::integer
         + coalesce(length(birth_date) = 10, false)::integer
         + (coalesce(address_line, address_postcode) IS NOT NULL)::integer < 2) STORED,
    UNIQUE (patient_id, death_no)
);
CREATE INDEX case_file_open_name ON case_file (name_key) WHERE state IN ('expected', 'received');
CREATE UNIQUE INDEX case_file_tag ON case_file (tag) WHERE state = 'received';

CREATE TABLE alert (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('identity', 'identity_changed', 'merged_in_custody', 'merge_conflict')),
    urgent      boolean GENERATED ALWAYS AS (kind <> 'merge_conflict') STORED,
    patient_id  uuid NOT NULL,
    death_no    integer NOT NULL,
    case_id     bigint REFERENCES case_file,
    raised_at   timestamptz NOT NULL,
    resolved_at timestamptz,
    resolved_by text                 -- 'waybill' or a person
);
CREATE UNIQUE INDEX alert_open ON alert (kind, patient_id, death_no) WHERE resolved_at IS NULL;
CREATE INDEX alert_death ON alert (patient_id, death_no);

-- Flags follow from the cases, so they appear on both sides and vanish by themselves.
CREATE VIEW open_case AS
SELECT c.*, ARRAY(
    SELECT o.id FROM case_file o
    WHERE o.name_key = c.name_key AND o.id <> c.id AND o.state IN ('expected', 'received')
    ORDER BY o.id) AS similar_names
FROM case_file c
WHERE c.state IN ('expected', 'received');

-- A statement that sets touched_by names a person, be it the same as before. Only a trigger on that
-- column can tell; it says so to mark_touched by an empty touched_at.
-- +goose StatementBegin
CREATE FUNCTION name_toucher() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.touched_at := NULL;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER case_file_named BEFORE UPDATE OF touched_by ON case_file
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION name_toucher();

-- Marks what a person writes by hand: as the login, unless the statement names somebody else. It may
-- not name the importer.
-- +goose StatementBegin
CREATE FUNCTION mark_touched() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (NEW.family_name, NEW.given_name, NEW.birth_date, NEW.sex, NEW.identifiers, NEW.address_line, NEW.address_city,
        NEW.address_postcode, NEW.address_country, NEW.death_status, NEW.death_earliest, NEW.death_latest, NEW.death_precision)
       IS DISTINCT FROM
       (OLD.family_name, OLD.given_name, OLD.birth_date, OLD.sex, OLD.identifiers, OLD.address_line, OLD.address_city,
        OLD.address_postcode, OLD.address_country, OLD.death_status, OLD.death_earliest, OLD.death_latest, OLD.death_precision) THEN
        NEW.touched_by := coalesce(CASE WHEN NEW.touched_at IS NULL THEN nullif(NEW.touched_by, 'waybill') END, session_user);
        NEW.touched_at := clock_timestamp();
    ELSE
        NEW.touched_by := OLD.touched_by;
        NEW.touched_at := OLD.touched_at;
    END IF;
    IF NEW.state = 'void' AND OLD.state <> 'void' THEN
        NEW.voided_at := clock_timestamp();
        -- What is left of an earlier void, by the importer or a person, is not said of this one.
        NEW.voided_by := coalesce(nullif(nullif(NEW.voided_by, OLD.voided_by), 'waybill'), session_user);
        NEW.void_reason := nullif(NEW.void_reason, OLD.void_reason);
    ELSIF OLD.state = 'void' THEN
        NEW.voided_at := OLD.voided_at;
        NEW.voided_by := OLD.voided_by;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER case_file_touched BEFORE UPDATE ON case_file
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION mark_touched();

-- A body arrives and is tagged.
-- +goose StatementBegin
CREATE PROCEDURE receive(case_file_id bigint, body_tag text, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE case_file SET state = 'received', tag = body_tag, received_at = clock_timestamp(), received_by = person
    WHERE id = case_file_id AND state = 'expected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not expected', case_file_id
            USING HINT = 'a void case says that the patient is alive or known under another case: identify the body first';
    END IF;
END $$;
-- +goose StatementEnd

-- A body leaves; never while its identity is in question.
-- +goose StatementBegin
CREATE PROCEDURE release(case_file_id bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM case_file WHERE id = case_file_id AND state = 'received' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not received', case_file_id;
    END IF;
    IF EXISTS (SELECT FROM alert WHERE case_id = case_file_id AND resolved_at IS NULL) THEN
        RAISE EXCEPTION 'case % has an open alert', case_file_id USING HINT = 'settle it with CALL resolve(alert, person)';
    END IF;
    UPDATE case_file SET state = 'released', released_at = clock_timestamp(), released_by = person WHERE id = case_file_id;
END $$;
-- +goose StatementEnd

-- A person has settled an alert.
-- +goose StatementBegin
CREATE PROCEDURE resolve(alert_id bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = person WHERE id = alert_id AND resolved_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert % is not open', alert_id;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP PROCEDURE resolve;
DROP PROCEDURE release;
DROP PROCEDURE receive;
DROP VIEW open_case;
DROP TABLE alert, case_file;
DROP FUNCTION mark_touched, name_toucher, name_key, name_sound, name_letters;
