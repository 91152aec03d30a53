-- +goose Up
-- Rows of files, staged by COPY and taken in by patients.intake, best in one transaction: then
-- others never see them. NULL means that the file does not say, and what is known stays;
-- a death_status of none says that the patient is alive. Unlogged: after a crash the file is
-- loaded again.
CREATE UNLOGGED TABLE patients.intake_row (
    source           text,    -- names one load of one file
    seq              bigint,  -- the file's own order
    id               uuid NOT NULL,
    family_name      text,
    given_name       text,
    birth_date       text,
    sex              text,
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    death_status     text,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    identifiers      jsonb,   -- all of the patient's: [{"authority", "type", "value"}]
    turn             integer NOT NULL DEFAULT 1, -- set by intake: the patient's first, second, … row
    outcome          text NOT NULL DEFAULT 'unchanged', -- set by intake
    -- In this order, so that joins by patient are cheap however few rows the planner expects.
    PRIMARY KEY (source, id, seq)
);

-- The rows of one turn hold each patient at most once, so that sets can be worked on.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_patients(source text, turn integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH made AS (
        INSERT INTO patients.patient AS p (
            id, family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country,
            death_status, death_earliest, death_latest, death_precision)
        SELECT r.id, r.family_name, r.given_name, r.birth_date, r.sex,
               r.address_line, r.address_city, r.address_postcode, r.address_country,
               coalesce(r.death_status, 'none'), r.death_earliest, r.death_latest, r.death_precision
        FROM patients.intake_row r
        WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn
          AND NOT EXISTS (SELECT FROM patients.patient known WHERE known.id = r.id)
        ORDER BY r.id
        ON CONFLICT (id) DO NOTHING
        RETURNING p.id)
    UPDATE patients.intake_row r SET outcome = 'inserted'
    FROM made
    WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn AND r.id = made.id;

    WITH made AS (
        UPDATE patients.patient p
        SET family_name      = coalesce(r.family_name, p.family_name),
            given_name       = coalesce(r.given_name, p.given_name),
            birth_date       = coalesce(r.birth_date, p.birth_date),
            sex              = coalesce(r.sex, p.sex),
            address_line     = coalesce(r.address_line, p.address_line),
            address_city     = coalesce(r.address_city, p.address_city),
            address_postcode = coalesce(r.address_postcode, p.address_postcode),
            address_country  = coalesce(r.address_country, p.address_country)
        FROM patients.intake_row r
        WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn
          AND r.outcome = 'unchanged' AND p.id = r.id
          AND (r.family_name <> coalesce(p.family_name, '') OR r.given_name <> coalesce(p.given_name, '')
            OR r.birth_date <> coalesce(p.birth_date, '') OR r.sex <> coalesce(p.sex, '')
            OR r.address_line <> coalesce(p.address_line, '') OR r.address_city <> coalesce(p.address_city, '')
            OR r.address_postcode <> coalesce(p.address_postcode, '') OR r.address_country <> coalesce(p.address_country, ''))
        RETURNING p.id)
    UPDATE patients.intake_row r SET outcome = 'changed'
    FROM made
    WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn AND r.id = made.id;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.intake_deaths(source text, turn integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT r.seq, r.id, r.death_status, r.death_earliest, r.death_latest, r.death_precision
        FROM patients.intake_row r
        JOIN patients.patient p ON p.id = r.id
        WHERE r.source = intake_deaths.source AND r.turn = intake_deaths.turn AND r.death_status IS NOT NULL
          AND (p.death_status, p.death_earliest, p.death_latest, p.death_precision)
              IS DISTINCT FROM (r.death_status, r.death_earliest, r.death_latest, r.death_precision)
        ORDER BY r.id
    LOOP
        IF patients.record_death(told.id, told.death_status, told.death_earliest, told.death_latest, told.death_precision) THEN
            UPDATE patients.intake_row r SET outcome = 'changed'
            WHERE r.source = intake_deaths.source AND r.id = told.id AND r.seq = told.seq;
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- An identifier that another patient has stays there and is counted: which of the two it belongs
-- to is for a person to say.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_identifiers(source text, turn integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH made AS (
        DELETE FROM patients.identifier i
        USING patients.intake_row r
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn
          AND r.outcome <> 'inserted' AND i.patient_id = r.id
          AND NOT r.identifiers @> jsonb_build_array(
              jsonb_build_object('authority', i.authority, 'type', i.type, 'value', i.value))
        RETURNING i.patient_id)
    UPDATE patients.intake_row r SET outcome = 'changed'
    FROM (SELECT DISTINCT patient_id FROM made) m
    WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn AND r.id = m.patient_id;

    WITH made AS (
        INSERT INTO patients.identifier AS i (patient_id, authority, type, value)
        SELECT r.id, w.authority, w.type, w.value
        FROM patients.intake_row r, jsonb_to_recordset(r.identifiers) AS w (authority text, type text, value text)
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn
        ORDER BY w.authority, w.type, w.value, r.seq
        ON CONFLICT (authority, type, value) DO NOTHING
        RETURNING i.patient_id)
    UPDATE patients.intake_row r SET outcome = 'changed'
    FROM (SELECT DISTINCT patient_id FROM made) m
    WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn
      AND r.outcome = 'unchanged' AND r.id = m.patient_id;

    RETURN (
        SELECT count(*)
        FROM patients.intake_row r, jsonb_to_recordset(r.identifiers) AS w (authority text, type text, value text)
        JOIN patients.identifier i USING (authority, type, value)
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn AND i.patient_id <> r.id);
END $$;
-- +goose StatementEnd

-- intake takes the staged rows of a source into the service's tables, removes them, and returns
-- how many registered a patient, changed one and changed nothing, and how many identifiers
-- stayed with another patient. A patient's rows apply in the order of seq; deaths follow the
-- rules of record_death. Several may run at once.
-- +goose StatementBegin
CREATE FUNCTION patients.intake(
    source text, OUT inserted bigint, OUT changed bigint, OUT unchanged bigint, OUT conflicts bigint
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    turns integer;
BEGIN
    -- One load of a source at a time; and patients are held in the order of their ids, so that
    -- the loads of different sources wait for each other and never in a circle.
    PERFORM pg_advisory_xact_lock(hashtextextended('patients.intake ' || intake.source, 0));
    PERFORM FROM patients.patient p
        WHERE p.id IN (SELECT r.id FROM patients.intake_row r WHERE r.source = intake.source)
        ORDER BY p.id FOR NO KEY UPDATE;

    UPDATE patients.intake_row r SET turn = n.turn
    FROM (SELECT o.id, o.seq, row_number() OVER (PARTITION BY o.id ORDER BY o.seq) AS turn
          FROM patients.intake_row o WHERE o.source = intake.source) n
    WHERE r.source = intake.source AND r.id = n.id AND r.seq = n.seq AND n.turn > 1;
    turns := (SELECT coalesce(max(r.turn), 0) FROM patients.intake_row r WHERE r.source = intake.source);
    conflicts := 0;
    FOR turn IN 1 .. turns LOOP
        PERFORM patients.intake_patients(intake.source, turn);
        PERFORM patients.intake_deaths(intake.source, turn);
        conflicts := conflicts + patients.intake_identifiers(intake.source, turn);
    END LOOP;

    WITH taken AS (DELETE FROM patients.intake_row r WHERE r.source = intake.source RETURNING r.outcome)
    SELECT count(*) FILTER (WHERE t.outcome = 'inserted'), count(*) FILTER (WHERE t.outcome = 'changed'),
           count(*) FILTER (WHERE t.outcome = 'unchanged')
    INTO inserted, changed, unchanged FROM taken t;
END $$;
-- +goose StatementEnd
