-- +goose Up
-- refuse is for what no statement may do.
-- +goose StatementBegin
CREATE FUNCTION patients.refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = TG_ARGV[0];
END $$;
-- +goose StatementEnd

-- mark_identified tells capture, until the end of the transaction or of the savepoint, that identifiers have changed. A
-- session that changes the mark gets two events instead of one.
-- +goose StatementBegin
CREATE FUNCTION patients.mark_identified() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    mark text;
BEGIN
    mark := pg_catalog.set_config('patients.identified', 'yes', true);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- survivor returns the record at the end of a record's chain of merges; itself, if it was not merged.
-- +goose StatementBegin
CREATE FUNCTION patients.survivor(patient uuid) RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    record uuid;
BEGIN
    WHILE patient IS NOT NULL LOOP
        record := patient;
        patient := (SELECT a.survivor_id FROM patients.alias a WHERE a.retired_id = record);
    END LOOP;
    RETURN record;
END $$;
-- +goose StatementEnd

-- record_death sets what is known of a patient's death and returns whether that changed anything.
-- status is informal or formal (dead), void (a death that was declared an error) or none (alive); the other three are all
-- given or all null, and only of the dead.
--
-- A death or void that is reported for a retired record is recorded at the survivor, unless the retired record is itself
-- dead: then its own death is meant. An informal death never replaces a formal one. None ends the record's own
-- death and changes nothing else.
-- +goose StatementBegin
CREATE FUNCTION patients.record_death(
    patient uuid, status text,
    earliest timestamptz DEFAULT NULL, latest timestamptz DEFAULT NULL, "precision" text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    target uuid := patient;
    known  patients.patient;
BEGIN
    LOOP
        SELECT * INTO known FROM patients.patient p WHERE p.id = target FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no patient %', patient
                USING ERRCODE = 'foreign_key_violation', HINT = 'register the patient first';
        END IF;
        -- A merge locks the row that it retires, so a merge that is visible here is final.
        EXIT WHEN status = 'none' OR target = patient AND known.death_status IN ('informal', 'formal')
            OR patients.survivor(target) = target;
        target := patients.survivor(target);
    END LOOP;
    IF status = 'informal' AND known.death_status = 'formal'
        OR status = 'none' AND known.death_status NOT IN ('informal', 'formal') THEN
        RETURN false;
    END IF;
    UPDATE patients.patient p
    SET death_status = status, death_earliest = earliest, death_latest = latest, death_precision = "precision"
    WHERE p.id = target
      AND (p.death_status, p.death_earliest, p.death_latest, p.death_precision)
          IS DISTINCT FROM (status, earliest, latest, "precision");
    RETURN FOUND;
END $$;
-- +goose StatementEnd

-- redirect_death is for an UPDATE that declares a retired record dead, or its death void, and the record was not dead itself:
-- the record keeps its state, and the survivor takes the change. It runs after the statement, which may write
-- the survivor too.
-- +goose StatementBegin
CREATE FUNCTION patients.redirect_death() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM patients.alias a WHERE a.retired_id = NEW.id) THEN
        UPDATE patients.patient p
        SET death_status = OLD.death_status, death_earliest = OLD.death_earliest,
            death_latest = OLD.death_latest, death_precision = OLD.death_precision
        WHERE p.id = NEW.id;
        PERFORM patients.record_death(NEW.id, NEW.death_status, NEW.death_earliest, NEW.death_latest, NEW.death_precision);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.keep_formal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'an informal death can''t replace the formal death of patient %', NEW.id
        USING ERRCODE = 'restrict_violation',
              HINT = 'patients.record_death leaves a formal death alone; if there was no death, set death_status to void';
END $$;
-- +goose StatementEnd

-- merge waits for other merges to commit (merge_turn) and for writers of the record that it retires, so that no other merge
-- closes a cycle and no death is missed.
-- +goose StatementBegin
CREATE FUNCTION patients.merge() RETURNS trigger
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

-- Functions that run as their owner are for the triggers here, and for no one else's.
REVOKE EXECUTE ON FUNCTION patients.capture_patient(), patients.capture_retraction(), patients.capture_identifier(), patients.capture_alias(),
    patients.redirect_death(), patients.merge() FROM PUBLIC;
