-- +goose Up
-- All triggers at once: from here on every change is captured. Existing patients follow in the next migration. The locks
-- do not block readers. They wait for running writers for less than deadlock_timeout: if a writer waits for this session
-- too, the migration gives up its locks and is tried again.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE patients.patient, patients.identifier, patients.alias IN SHARE ROW EXCLUSIVE MODE;

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (
        WITH RECURSIVE chain (id) AS (
            SELECT a.retired_id FROM patients.alias a
            UNION ALL
            SELECT a.survivor_id FROM chain c JOIN patients.alias a ON a.retired_id = c.id
        ) CYCLE id SET is_cycle USING path
        SELECT FROM chain WHERE is_cycle) THEN
        RAISE EXCEPTION 'the merges in patients.alias go round in a circle'
            USING ERRCODE = 'check_violation', HINT = 'delete one merge of each circle, then migrate again';
    END IF;
END $$;
-- +goose StatementEnd

-- Every trigger without which a change could be missed, by table. The guards are row triggers: the apply worker of a
-- replication fires no statement triggers but those of TRUNCATE.
CREATE VIEW patients.guards (tab, name, definition) AS VALUES
    ('patient', 'capture', 'CONSTRAINT TRIGGER capture AFTER INSERT OR UPDATE ON patients.patient
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION patients.capture_patient()'),
    ('patient', 'capture_retraction', 'TRIGGER capture_retraction BEFORE UPDATE ON patients.patient
        FOR EACH ROW WHEN (OLD.death_status NOT IN (''informal'', ''formal'') AND NEW.death_status IN (''informal'', ''formal''))
        EXECUTE FUNCTION patients.capture_retraction()'),
    ('patient', 'keep_formal', 'TRIGGER keep_formal BEFORE UPDATE ON patients.patient
        FOR EACH ROW WHEN (OLD.death_status = ''formal'' AND NEW.death_status = ''informal'')
        EXECUTE FUNCTION patients.keep_formal()'),
    ('patient', 'redirect_death', 'TRIGGER redirect_death AFTER UPDATE ON patients.patient
        FOR EACH ROW WHEN (
            OLD.death_status IN (''none'', ''void'') AND NEW.death_status IN (''informal'', ''formal'', ''void'')
            AND OLD.death_status <> NEW.death_status)
        EXECUTE FUNCTION patients.redirect_death()'),
    ('patient', 'keep_id', 'TRIGGER keep_id BEFORE UPDATE ON patients.patient
        FOR EACH ROW WHEN (OLD.id <> NEW.id)
        EXECUTE FUNCTION patients.refuse(''an id is for ever: register a new patient and merge this one into it'')'),
    ('patient', 'keep_patient', 'TRIGGER keep_patient BEFORE DELETE ON patients.patient
        FOR EACH ROW EXECUTE FUNCTION patients.refuse(''merge a duplicate into the record that stays, by a row in patients.alias'')'),
    ('patient', 'keep_rows', 'TRIGGER keep_rows BEFORE TRUNCATE ON patients.patient
        FOR EACH STATEMENT EXECUTE FUNCTION patients.refuse(''it would remove patients without an event'')'),
    ('identifier', 'capture', 'CONSTRAINT TRIGGER capture AFTER INSERT OR UPDATE OR DELETE ON patients.identifier
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION patients.capture_identifier()'),
    ('identifier', 'mark', 'TRIGGER mark AFTER INSERT OR UPDATE OR DELETE ON patients.identifier
        FOR EACH ROW EXECUTE FUNCTION patients.mark_identified()'),
    ('identifier', 'keep_rows', 'TRIGGER keep_rows BEFORE TRUNCATE ON patients.identifier
        FOR EACH STATEMENT EXECUTE FUNCTION patients.refuse(''it would change patients without an event: use DELETE'')'),
    ('alias', 'capture', 'CONSTRAINT TRIGGER capture AFTER INSERT ON patients.alias
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION patients.capture_alias()'),
    ('alias', 'merge', 'TRIGGER merge BEFORE INSERT ON patients.alias
        FOR EACH ROW EXECUTE FUNCTION patients.merge()'),
    ('alias', 'keep_alias', 'TRIGGER keep_alias BEFORE UPDATE OR DELETE ON patients.alias
        FOR EACH ROW EXECUTE FUNCTION patients.refuse(''a merge has no inverse: register the patient anew'')'),
    ('alias', 'keep_rows', 'TRIGGER keep_rows BEFORE TRUNCATE ON patients.alias
        FOR EACH STATEMENT EXECUTE FUNCTION patients.refuse(''a merge has no inverse'')'),
    ('outbox', 'keep_rows', 'TRIGGER keep_rows BEFORE TRUNCATE ON patients.outbox
        FOR EACH STATEMENT EXECUTE FUNCTION patients.refuse(''events that were not exported would be lost'')'),
    ('erasure', 'keep_erasure', 'TRIGGER keep_erasure BEFORE UPDATE OR DELETE ON patients.erasure
        FOR EACH ROW EXECUTE FUNCTION patients.refuse(''an erasure is for ever'')'),
    ('erasure', 'keep_rows', 'TRIGGER keep_rows BEFORE TRUNCATE ON patients.erasure
        FOR EACH STATEMENT EXECUTE FUNCTION patients.refuse(''an erasure is for ever'')');

-- ALWAYS: capture must stay on during a restore and under a replica role.
CREATE VIEW patients.disarmed AS
SELECT g.tab, g.name, g.definition
FROM patients.guards g
WHERE NOT EXISTS (
    SELECT FROM pg_trigger t
    WHERE t.tgrelid = to_regclass('patients.' || g.tab) AND t.tgname = g.name AND t.tgenabled = 'A');

-- arm creates missing guards and switches on, for every writer, those that are off.
-- +goose StatementBegin
CREATE FUNCTION patients.arm() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    guard record;
BEGIN
    FOR guard IN SELECT * FROM patients.disarmed LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger t
                       WHERE t.tgrelid = to_regclass('patients.' || guard.tab) AND t.tgname = guard.name) THEN
            EXECUTE 'CREATE ' || guard.definition;
        END IF;
        EXECUTE format('ALTER TABLE patients.%I ENABLE ALWAYS TRIGGER %I', guard.tab, guard.name);
    END LOOP;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION patients.arm() FROM PUBLIC;

SELECT patients.arm();

-- Until every patient has an event, an existing patient gets a baseline event before the first change. Table arrival holds
-- the patients that have no event because they are new.
CREATE TABLE patients.arrival (id uuid PRIMARY KEY);

-- +goose StatementBegin
CREATE FUNCTION patients.baseline(patient uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM patients.hold(patient);
    IF NOT EXISTS (SELECT FROM patients.arrival a WHERE a.id = patient)
        AND NOT EXISTS (SELECT FROM patients.outbox o WHERE o.patient_id = patient) THEN
        PERFORM patients.capture(patient, held => true, as_found => true);
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.baseline_patient() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO patients.arrival VALUES (NEW.id);
    ELSE
        PERFORM patients.baseline(OLD.id);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.baseline_identifier() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM patients.baseline(OLD.patient_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM patients.baseline(NEW.patient_id);
        RETURN NEW;
    END IF;
    RETURN OLD;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.baseline_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM patients.baseline(NEW.retired_id);
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER baseline BEFORE UPDATE ON patients.patient
    FOR EACH ROW EXECUTE FUNCTION patients.baseline_patient();
CREATE TRIGGER baseline_arrival AFTER INSERT ON patients.patient
    FOR EACH ROW EXECUTE FUNCTION patients.baseline_patient();
CREATE TRIGGER baseline BEFORE INSERT OR UPDATE OR DELETE ON patients.identifier
    FOR EACH ROW EXECUTE FUNCTION patients.baseline_identifier();
CREATE TRIGGER baseline BEFORE INSERT ON patients.alias
    FOR EACH ROW EXECUTE FUNCTION patients.baseline_alias();

ALTER TABLE patients.patient ENABLE ALWAYS TRIGGER baseline, ENABLE ALWAYS TRIGGER baseline_arrival;
ALTER TABLE patients.identifier ENABLE ALWAYS TRIGGER baseline;
ALTER TABLE patients.alias ENABLE ALWAYS TRIGGER baseline;
