-- +goose Up
-- erase_patient removes what is known of a person, and returns how many records of theirs it
-- erased: the one given, those merged into it, and the one that it was merged into with all of
-- its own; none, if it was erased before. Identifiers go, the row stays with its id and nothing
-- else, and its events become erasures: one that was not exported yet may go out in an earlier batch
-- than the last, and blank it would read as a death taken back. One more event, erased, tells the
-- consumers. Merges wait for it, so it does not wait for long itself.
-- +goose StatementBegin
CREATE FUNCTION patients.erase_patient(patient uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
#variable_conflict use_variable -- a site's table may have columns of any name
DECLARE
    record uuid;
    was    patients.outbox;
    erased bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM patients.patient p WHERE p.id = patient) THEN
        RAISE EXCEPTION 'there is no patient %', patient USING ERRCODE = 'foreign_key_violation';
    END IF;
    -- In turn with merges: no other record becomes this person's meanwhile.
    UPDATE patients.merge_turn SET tx = pg_current_xact_id() WHERE tx <> pg_current_xact_id();
    FOR record IN
        WITH RECURSIVE person (id) AS (
            SELECT patients.survivor(patient)
            UNION ALL
            SELECT a.retired_id FROM person p JOIN patients.alias a ON a.survivor_id = p.id)
        SELECT p.id FROM person p ORDER BY p.id
    LOOP
        -- Stronger than an update's lock: whoever is adding an identifier is waited for.
        PERFORM FROM patients.patient p WHERE p.id = record FOR UPDATE;
        SELECT * INTO was FROM patients.outbox o WHERE o.patient_id = record ORDER BY o.version DESC LIMIT 1;
        CONTINUE WHEN was.event = 'erased';
        DELETE FROM patients.identifier i WHERE i.patient_id = record;
        UPDATE patients.patient p
        SET family_name = NULL, given_name = NULL, birth_date = NULL, sex = NULL,
            address_line = NULL, address_city = NULL, address_postcode = NULL, address_country = NULL,
            death_status = 'none', death_earliest = NULL, death_latest = NULL, death_precision = NULL
        WHERE p.id = record;
        UPDATE patients.outbox o
        SET event = 'erased', baseline = false, death_no = 0, death_status = 'none',
            death_earliest = NULL, death_latest = NULL, death_precision = NULL, merged_into = NULL, identifiers = '[]',
            family_name = NULL, given_name = NULL, birth_date = NULL, sex = NULL,
            address_line = NULL, address_city = NULL, address_postcode = NULL, address_country = NULL
        WHERE o.patient_id = record;
        INSERT INTO patients.outbox (event, baseline, patient_id, version, recorded_at, death_no, death_status, identifiers)
        VALUES ('erased', false, record, coalesce(was.version, 0) + 1, greatest(clock_timestamp(), was.recorded_at), 0, 'none', '[]')
        ON CONFLICT (patient_id, version) DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'patient % was changed by another transaction', record
                USING ERRCODE = 'serialization_failure', HINT = 'run the transaction again';
        END IF;
        INSERT INTO patients.erasure (patient_id, version) VALUES (record, coalesce(was.version, 0) + 1);
        DELETE FROM patients.intake_told t WHERE t.patient_id = record;
        erased := erased + 1;
    END LOOP;
    RETURN erased;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION patients.erase_patient(uuid) FROM PUBLIC;

-- As before, but of an erased patient there is nothing more to tell.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION patients.events_between(was patients.outbox, state patients.state) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    was_dead boolean := coalesce(was.death_status IN ('informal', 'formal'), false);
    is_dead  boolean := state.death_status IN ('informal', 'formal');
    events   text[] := '{}';
BEGIN
    IF was.event = 'erased' THEN
        IF state.death_status <> 'none' OR state.identifiers <> '[]' OR num_nonnulls(
            state.death_earliest, state.death_latest, state.death_precision, state.family_name, state.given_name,
            state.birth_date, state.sex, state.address_line, state.address_city, state.address_postcode, state.address_country) > 0 THEN
            RAISE EXCEPTION 'patient % was erased', was.patient_id
                USING ERRCODE = 'restrict_violation', HINT = 'register the patient anew';
        END IF;
        RETURN '{}';
    END IF;
    IF state.merged_into IS NOT NULL AND was.merged_into IS NULL THEN
        events := '{merged}';
    END IF;
    IF is_dead AND NOT was_dead THEN
        events := events || 'died'::text;
    ELSIF was_dead AND NOT is_dead OR state.death_status = 'void' AND was.death_status IS DISTINCT FROM 'void' THEN
        events := events || 'death_retracted'::text;
    END IF;
    IF events <> '{}' THEN
        RETURN events;
    END IF;
    IF was.version IS NULL THEN
        RETURN '{registered}';
    END IF;
    IF (state.death_status, state.death_earliest, state.death_latest, state.death_precision,
        state.identifiers, state.family_name, state.given_name, state.birth_date, state.sex)
       IS DISTINCT FROM
       (was.death_status, was.death_earliest, was.death_latest, was.death_precision,
        was.identifiers, was.family_name, was.given_name, was.birth_date, was.sex) THEN
        RETURN CASE WHEN is_dead THEN '{death_corrected}' ELSE '{updated}' END;
    END IF;
    IF (state.address_line, state.address_city, state.address_postcode, state.address_country, state.merged_into)
       IS DISTINCT FROM
       (was.address_line, was.address_city, was.address_postcode, was.address_country, was.merged_into) THEN
        RETURN '{updated}';
    END IF;
    RETURN '{}';
END $$;
-- +goose StatementEnd

-- As before, but nobody is merged into or out of an erased record.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION patients.merge() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE patients.merge_turn SET tx = pg_current_xact_id() WHERE tx <> pg_current_xact_id();
    PERFORM patients.hold(NEW.retired_id);
    IF EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id IN (NEW.retired_id, NEW.survivor_id)) THEN
        RAISE EXCEPTION 'patient % can''t be merged into %: one of them was erased', NEW.retired_id, NEW.survivor_id
            USING ERRCODE = 'restrict_violation', HINT = 'if the other is the same person, erase that record too';
    END IF;
    IF patients.survivor(NEW.survivor_id) = NEW.retired_id THEN
        RAISE EXCEPTION 'patient % can''t be merged into %, which was merged into it', NEW.retired_id, NEW.survivor_id
            USING ERRCODE = 'restrict_violation', HINT = 'merges have no inverse: merge into the record that survived';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- intake takes the staged rows of a source into the service's tables, removes them, and returns
-- how many registered a patient, changed one and changed nothing, and how many identifiers
-- stayed with another patient. A patient's rows apply in the order of seq; deaths follow the
-- rules of record_death. Several may run at once.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION patients.intake(
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

    -- A partner's file may go on naming whoever was erased here: such a row says nothing.
    UPDATE patients.intake_row r
    SET family_name = NULL, given_name = NULL, birth_date = NULL, sex = NULL, address_line = NULL, address_city = NULL,
        address_postcode = NULL, address_country = NULL, death_status = NULL, death_earliest = NULL, death_latest = NULL,
        death_precision = NULL, identifiers = NULL
    FROM patients.erasure e
    WHERE r.source = intake.source AND r.id = e.patient_id;

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
