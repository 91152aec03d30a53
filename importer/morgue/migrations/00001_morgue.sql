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

-- A record's facts, those that change together as one. Times are numbers: as text they depend on the
-- session's time zone.
-- +goose StatementBegin
CREATE FUNCTION facts(r jsonb) RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN jsonb_build_object(
    'family_name', r -> 'family_name', 'given_name', r -> 'given_name', 'birth_date', r -> 'birth_date', 'sex', r -> 'sex',
    'identifiers', r -> 'identifiers',
    'address', jsonb_build_array(r -> 'address_line', r -> 'address_city', r -> 'address_postcode', r -> 'address_country'),
    'death_status', r -> 'death_status',
    'death_time', jsonb_build_array(extract(epoch FROM (r ->> 'death_earliest')::timestamptz),
        extract(epoch FROM (r ->> 'death_latest')::timestamptz), r -> 'death_precision'));
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
    -- All facts as the patients service last stated them, and of which record; which of them a person
    -- edited.
    stated           jsonb NOT NULL DEFAULT '{}',
    stated_of        uuid,
    edited           text[] NOT NULL DEFAULT '{}',
    opened_by        text NOT NULL DEFAULT 'waybill', -- or a person: then it is not voided but by one
    death_status     text NOT NULL,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    tag              text CHECK (state NOT IN ('received', 'released') OR tag IS NOT NULL),
    received_at      timestamptz,
    received_by      text,
    released_at      timestamptz,
    released_by      text,
    -- Kept when a person opens a void case again, by whom and why is not: it tells later runs to leave
    -- that case alone.
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
    kind        text NOT NULL CHECK (kind IN (
        'identity', 'identity_changed', 'death_changed', 'merged_in_custody', 'merge_conflict', 'future_death', 'erased_in_custody')),
    urgent      boolean NOT NULL DEFAULT true, -- not so a conflict of two records without a body
    outdated    boolean NOT NULL DEFAULT false, -- the state that it was about has been another since
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
DECLARE
    names text[];
BEGIN
    names := ARRAY(
        SELECT n.key FROM jsonb_each(facts(to_jsonb(NEW))) AS n
        WHERE n.value <> facts(to_jsonb(OLD)) -> n.key ORDER BY n.key);
    IF names <> '{}' THEN
        NEW.edited := ARRAY(SELECT name FROM unnest(OLD.edited || names) AS name GROUP BY name ORDER BY name);
        NEW.touched_by := coalesce(CASE WHEN NEW.touched_at IS NULL THEN nullif(NEW.touched_by, 'waybill') END, session_user);
        NEW.touched_at := clock_timestamp();
    ELSE
        NEW.touched_by := OLD.touched_by;
        NEW.touched_at := OLD.touched_at;
    END IF;
    IF NEW.state = 'void' AND OLD.state <> 'void' THEN
        NEW.voided_at := clock_timestamp();
        NEW.voided_by := coalesce(nullif(NEW.voided_by, 'waybill'), session_user);
    ELSIF NEW.state = 'void' THEN
        NEW.voided_at := OLD.voided_at;
        NEW.voided_by := OLD.voided_by;
    ELSE
        NEW.voided_at := OLD.voided_at;
        NEW.voided_by := NULL;
        NEW.void_reason := NULL;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER case_file_touched BEFORE UPDATE ON case_file
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION mark_touched();

-- A case that a person opens is theirs.
-- +goose StatementBegin
CREATE FUNCTION mark_opened() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.opened_by := coalesce(nullif(NEW.opened_by, 'waybill'), session_user);
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER case_file_opened BEFORE INSERT ON case_file FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION mark_opened();

-- A body may arrive for a death that no longer stands, at a case that a person kept open or opened anew.
-- As its owner: staff need no right to the projection.
-- +goose StatementBegin
CREATE FUNCTION ask_after() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO alert (kind, patient_id, death_no, case_id, raised_at)
    SELECT 'identity', p.patient_id, NEW.death_no, NEW.id, clock_timestamp() FROM patient p
    WHERE p.patient_id = NEW.patient_id AND p.event <> 'erased'
      AND (p.death_status NOT IN ('informal', 'formal') OR p.death_no <> NEW.death_no)
      AND NOT EXISTS (SELECT FROM alert a WHERE (a.kind, a.patient_id, a.death_no) = ('identity', NEW.patient_id, NEW.death_no) AND NOT a.outdated)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION ask_after FROM PUBLIC;
CREATE TRIGGER ask_after AFTER UPDATE OF state ON case_file
FOR EACH ROW WHEN (NEW.state = 'received' AND OLD.state <> 'received') EXECUTE FUNCTION ask_after();

-- Where bodies went, other than from notice to reception to release. Append only.
CREATE TABLE trail (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    action   text NOT NULL CHECK (action IN ('taken_in', 'reassigned')),
    tag      text NOT NULL,
    case_id  bigint NOT NULL,
    to_case  bigint,
    person   text NOT NULL,
    login    text NOT NULL DEFAULT session_user
);

-- A body arrives and is tagged.
-- +goose StatementBegin
CREATE PROCEDURE receive(case_file_id bigint, body_tag text, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE case_file SET state = 'received', tag = body_tag, received_at = clock_timestamp(), received_by = person
    WHERE id = case_file_id AND state = 'expected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not expected', case_file_id
            USING HINT = 'a void case says that the patient is alive or known under another case: identify the body first, or CALL take_in(tag, person, NULL)';
    END IF;
    UPDATE alert SET urgent = true, case_id = case_file_id
    FROM case_file c
    WHERE c.id = case_file_id AND (alert.patient_id, alert.death_no) = (c.patient_id, c.death_no) AND resolved_at IS NULL;
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

-- What a person has settled is theirs, by whatever name: what the importer settled may come back.
-- +goose StatementBegin
CREATE FUNCTION name_resolver() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.resolved_by := session_user;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER alert_resolved BEFORE UPDATE OF resolved_by ON alert
    FOR EACH ROW WHEN (NEW.resolved_by = 'waybill' AND OLD.resolved_by IS DISTINCT FROM 'waybill' AND NOT applying())
    EXECUTE FUNCTION name_resolver();

-- A body arrives without a notice. Its case is of nobody until reassign says whose it is.
-- +goose StatementBegin
CREATE PROCEDURE take_in(body_tag text, person text, INOUT case_file_id bigint DEFAULT NULL)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO case_file (patient_id, death_no, state, noticed_at, death_status, opened_by, tag, received_at, received_by)
    VALUES (gen_random_uuid(), 0, 'received', clock_timestamp(), 'none', person, body_tag, clock_timestamp(), person)
    RETURNING id INTO case_file_id;
    INSERT INTO trail (action, tag, case_id, person) VALUES ('taken_in', body_tag, case_file_id, person);
END $$;
-- +goose StatementEnd

-- The body of one case, here or released, is that of another, which is expected: the tag moves with it.
-- The case that it leaves expects its own body, unless it is nobody's, of the same patient, or of one who
-- is not dead, or erased.
-- +goose StatementBegin
CREATE PROCEDURE reassign(case_file_id bigint, to_case bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    source case_file;
    target case_file;
BEGIN
    PERFORM FROM case_file WHERE id IN (case_file_id, to_case) ORDER BY id FOR UPDATE;
    SELECT * INTO source FROM case_file WHERE id = case_file_id AND state IN ('received', 'released');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % has no body', case_file_id;
    END IF;
    SELECT * INTO target FROM case_file WHERE id = to_case AND state = 'expected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not expected', to_case;
    END IF;
    UPDATE case_file SET tag = NULL, received_at = NULL, received_by = NULL, released_at = NULL, released_by = NULL,
        state = CASE WHEN void.it THEN 'void' ELSE 'expected' END,
        voided_by = CASE WHEN void.it THEN person ELSE voided_by END,
        void_reason = CASE WHEN void.it THEN 'reassigned' ELSE void_reason END
    FROM (SELECT source.opened_by <> 'waybill' OR source.patient_id = target.patient_id OR source.stated = '{}'
              OR EXISTS (SELECT FROM alert WHERE case_id = source.id AND kind IN ('identity', 'erased_in_custody') AND NOT outdated)) AS void (it)
    WHERE id = source.id;
    UPDATE case_file SET state = source.state, tag = source.tag, received_at = source.received_at, received_by = source.received_by,
        released_at = source.released_at, released_by = source.released_by
    WHERE id = target.id;
    UPDATE alert SET urgent = true, case_id = target.id
    WHERE (patient_id, death_no) = (target.patient_id, target.death_no) AND resolved_at IS NULL;
    UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = person
    WHERE case_id = source.id AND resolved_at IS NULL AND kind NOT IN ('merge_conflict', 'future_death');
    INSERT INTO trail (action, tag, case_id, to_case, person) VALUES ('reassigned', source.tag, source.id, target.id, person);
END $$;
-- +goose StatementEnd

-- +goose Down
DROP PROCEDURE reassign;
DROP PROCEDURE take_in;
DROP PROCEDURE resolve;
DROP PROCEDURE release;
DROP PROCEDURE receive;
DROP VIEW open_case;
DROP TABLE trail, alert, case_file;
DROP FUNCTION mark_touched, mark_opened, ask_after, facts, name_toucher, name_resolver, name_key, name_sound, name_letters;
