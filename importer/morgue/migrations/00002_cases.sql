-- +goose Up
-- A death is (patient_id, death_no), and there is at most one case per death.

-- A record's facts, those that change together as one. Times are numbers: as text they depend on the
-- session's time zone. None of these functions is STRICT: it would not be inlined.
-- +goose StatementBegin
CREATE FUNCTION facts(family_name text, given_name text, birth_date text, sex text, identifiers jsonb,
    address_line text, address_city text, address_postcode text, address_country text,
    death_status text, death_earliest timestamptz, death_latest timestamptz, death_precision text) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN jsonb_build_object(
    'family_name', family_name, 'given_name', given_name, 'birth_date', birth_date, 'sex', sex, 'identifiers', identifiers,
    'address', jsonb_build_array(address_line, address_city, address_postcode, address_country),
    'death_status', death_status,
    'death_time', jsonb_build_array(extract(epoch FROM death_earliest), extract(epoch FROM death_latest), death_precision));
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION facts(r patient) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT facts(r.family_name, r.given_name, r.birth_date, r.sex, r.identifiers, r.address_line, r.address_city, r.address_postcode,
    r.address_country, r.death_status, r.death_earliest, r.death_latest, r.death_precision)
$$;
-- +goose StatementEnd

CREATE TABLE case_file (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id       uuid NOT NULL,
    death_no         integer NOT NULL,
    state            text NOT NULL DEFAULT 'expected' CHECK (state IN ('expected', 'received', 'released', 'void')),
    noticed_at       timestamptz NOT NULL,
    -- The facts by which people identify the body. They follow the patients service while the case is expected and no
    -- person has edited them. After that they stay as people have relied on them.
    family_name      text,
    given_name       text,
    birth_date       text,
    sex              text,
    identifiers      jsonb NOT NULL DEFAULT '[]',
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    -- All facts as the patients service last stated them, and of which record; then the facts that a
    -- person edited.
    stated           jsonb NOT NULL DEFAULT '{}',
    stated_of        uuid,
    edited           text[] NOT NULL DEFAULT '{}',
    opened_by        text NOT NULL DEFAULT 'waybill', -- or a person: then only a person voids the case
    death_status     text NOT NULL,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    tag              text CHECK (state NOT IN ('received', 'released') OR tag IS NOT NULL),
    received_at      timestamptz,
    received_by      text,
    released_at      timestamptz,
    released_by      text,
    -- Stays when a person opens a void case again, so that later runs leave that case alone; voided_by and
    -- void_reason are emptied.
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
-- +goose StatementBegin
CREATE FUNCTION facts(c case_file) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT facts(c.family_name, c.given_name, c.birth_date, c.sex, c.identifiers, c.address_line, c.address_city, c.address_postcode,
    c.address_country, c.death_status, c.death_earliest, c.death_latest, c.death_precision)
$$;
-- +goose StatementEnd

CREATE INDEX case_file_open_name ON case_file (name_key) WHERE state IN ('expected', 'received');
CREATE UNIQUE INDEX case_file_tag ON case_file (tag) WHERE state = 'received';

CREATE TABLE alert (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN (
        'identity', 'identity_changed', 'death_changed', 'merged_in_custody', 'merge_conflict', 'future_death', 'erased_in_custody')),
    urgent      boolean NOT NULL DEFAULT true, -- false for a conflict of two records without a body
    about       text,                -- the state that it is about; NULL: the state has changed since
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

-- Marks the facts that a person edits, and the person who voids a case, with the name that the statement gives,
-- or else with the login.
-- +goose StatementBegin
CREATE FUNCTION mark_touched() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    names text[];
BEGIN
    NEW.stated := OLD.stated; -- what the patients service said, and what people did, is not theirs to rewrite
    NEW.stated_of := OLD.stated_of;
    NEW.edited := OLD.edited;
    names := ARRAY(
        SELECT n.key FROM jsonb_each(facts(NEW)) AS n
        WHERE n.value <> facts(OLD) -> n.key ORDER BY n.key);
    IF names <> '{}' THEN
        NEW.edited := ARRAY(SELECT name FROM unnest(OLD.edited || names) AS name GROUP BY name ORDER BY name);
        NEW.touched_by := signed(CASE WHEN NEW.touched_at IS NULL THEN NEW.touched_by END);
        NEW.touched_at := clock_timestamp();
    ELSE
        NEW.touched_by := OLD.touched_by;
        NEW.touched_at := OLD.touched_at;
    END IF;
    IF NEW.state = 'void' AND OLD.state <> 'void' THEN
        NEW.voided_at := clock_timestamp();
        NEW.voided_by := signed(NEW.voided_by);
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
CREATE TRIGGER case_file_named BEFORE UPDATE OF touched_by ON case_file
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION name_toucher();
CREATE TRIGGER case_file_touched BEFORE UPDATE ON case_file
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION mark_touched();

-- A case that a person opens, and the facts they write into it, count as that person's.
-- +goose StatementBegin
CREATE FUNCTION mark_opened() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.opened_by := signed(NEW.opened_by);
    NEW.stated := facts(NEW);
    NEW.edited := ARRAY(
        SELECT n.key FROM jsonb_each(NEW.stated) AS n
        WHERE n.value <> facts(jsonb_populate_record(NULL::case_file, '{"identifiers": [], "death_status": "none"}')) -> n.key ORDER BY n.key);
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER case_file_opened BEFORE INSERT ON case_file FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION mark_opened();

-- A body may arrive for a retracted death, or of an erased patient, if a person kept the case open or opened it
-- again. The function runs as its owner, so that staff need no right to the projection.
-- +goose StatementBegin
CREATE FUNCTION ask_after() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO alert (kind, patient_id, death_no, case_id, about, raised_at)
    SELECT it.kind, p.patient_id, NEW.death_no, NEW.id, it.about, clock_timestamp()
    FROM patient p JOIN (VALUES (true, 'erased_in_custody', 'erased'), (false, 'identity', 'alive')) AS it (erased, kind, about) ON it.erased = (p.event = 'erased')
    WHERE p.patient_id = NEW.patient_id
      AND (p.death_status NOT IN ('informal', 'formal') OR p.death_no <> NEW.death_no)
      AND NOT EXISTS (SELECT FROM alert a WHERE (a.kind, a.patient_id, a.death_no) = (it.kind, NEW.patient_id, NEW.death_no) AND a.about IS NOT NULL)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION ask_after FROM PUBLIC;
CREATE TRIGGER ask_after AFTER UPDATE OF state ON case_file
FOR EACH ROW WHEN (NEW.state = 'received' AND OLD.state <> 'received') EXECUTE FUNCTION ask_after();

-- The case of an erased patient keeps the morgue's own data: custody, tag, times. While a body is in custody it
-- keeps everything, because nothing else says whose body it is.

-- It fires after case_file_touched, so that the blanking does not count as a person's edit. It runs
-- as its owner, so that staff need no right to the projection.
-- +goose StatementBegin
CREATE FUNCTION forget_erased() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.state IN ('released', 'void') AND EXISTS (SELECT FROM patient p WHERE p.patient_id = NEW.patient_id AND p.event = 'erased') THEN
        NEW.family_name := NULL;
        NEW.given_name := NULL;
        NEW.birth_date := NULL;
        NEW.sex := NULL;
        NEW.identifiers := '[]';
        NEW.address_line := NULL;
        NEW.address_city := NULL;
        NEW.address_postcode := NULL;
        NEW.address_country := NULL;
        NEW.stated := '{}';
        NEW.death_status := 'none';
        NEW.death_earliest := NULL;
        NEW.death_latest := NULL;
        NEW.death_precision := NULL;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION forget_erased FROM PUBLIC;
CREATE TRIGGER forget_erased BEFORE UPDATE ON case_file FOR EACH ROW EXECUTE FUNCTION forget_erased();

-- +goose Down
DROP VIEW open_case;
DROP FUNCTION facts(case_file), facts(patient);
DROP TABLE alert, case_file;
DROP FUNCTION mark_touched, mark_opened, ask_after, forget_erased, facts;
