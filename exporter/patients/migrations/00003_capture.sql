-- +goose Up
-- These functions are called by those below, which pin the search_path: to pin it again would cost more
-- than they do.

-- hold locks a patient's row as an update does, for a transaction that has not written it. A stronger lock would wait for
-- everyone who adds an identifier.
-- +goose StatementBegin
CREATE FUNCTION patients.hold(patient uuid) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable -- a site's table may have columns of any name
BEGIN
    PERFORM FROM patients.patient p WHERE p.id = patient FOR NO KEY UPDATE;
END $$;
-- +goose StatementEnd

-- events_between names the events that lead from the last event, if any, to a state: one, or two where a merge and a death
-- or its retraction come together.
-- +goose StatementBegin
CREATE FUNCTION patients.events_between(was patients.outbox, state patients.state) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    was_dead boolean := coalesce(was.death_status IN ('informal', 'formal'), false);
    is_dead  boolean := state.death_status IN ('informal', 'formal');
    events   text[] := '{}';
BEGIN
    IF was.event = 'erased' THEN
        IF patients.differ(state, was) THEN
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
    IF is_dead AND
       (state.death_status, state.death_earliest, state.death_latest, state.death_precision,
        state.identifiers, state.family_name, state.given_name, state.birth_date, state.sex)
       IS DISTINCT FROM
       (was.death_status, was.death_earliest, was.death_latest, was.death_precision,
        was.identifiers, was.family_name, was.given_name, was.birth_date, was.sex) THEN
        RETURN '{death_corrected}';
    END IF;
    RETURN CASE WHEN patients.differ(state, was) OR state.merged_into IS DISTINCT FROM was.merged_into THEN '{updated}' ELSE '{}' END;
END $$;
-- +goose StatementEnd

-- capture writes the events that lead from a patient's last event to the present state, and returns how many. A patient
-- without events is new; with as_found, the patient existed before the triggers and makes one baseline event.
--
-- held: the transaction has written the patient's row, or locked it with patients.hold. Otherwise capture locks it, unless
-- an event of this transaction shows that it is locked: no other session may capture the patient at the same time. A
-- transaction whose snapshot is older than the last event fails to serialise: INSERT … ON CONFLICT fails by itself
-- where it can't see the row in conflict.
--
-- added: the identifier whose addition called capture, as an array of one. If an event of this transaction has it, capture
-- returns at once: each other change calls capture itself. This saves most of the work of registering patients.
--
-- of_row: the version of the patient's row that called capture. If it was replaced after an event of this transaction,
-- capture returns at once: its successor calls, too. So a commit of a row that was changed thousands of times does not
-- read thousands of versions each time. Where this transaction has changed no identifiers, those of the last event are the
-- patient's: to read them would take as long as all other reads together. Those of the dead are read: consumers act on them.
-- +goose StatementBegin
CREATE FUNCTION patients.capture(
    patient uuid, held boolean, as_found boolean DEFAULT false, added jsonb DEFAULT NULL, of_row tid DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    was    patients.outbox;
    state  patients.state;
    events text[];
    number integer; -- of the death
BEGIN
    SELECT * INTO was FROM patients.outbox o WHERE o.patient_id = patient ORDER BY o.version DESC LIMIT 1;
    IF was.tx = pg_current_xact_id() THEN
        IF was.identifiers @> added
            OR of_row IS NOT NULL AND NOT EXISTS (SELECT FROM patients.patient p WHERE p.ctid = of_row) THEN
            RETURN 0;
        END IF;
    ELSIF NOT held THEN
        PERFORM patients.hold(patient);
        SELECT * INTO was FROM patients.outbox o WHERE o.patient_id = patient ORDER BY o.version DESC LIMIT 1;
    END IF;
    IF of_row IS NOT NULL AND was.version IS NOT NULL AND coalesce(current_setting('patients.identified', true), '') = '' THEN
        SELECT * INTO state FROM patients.state_of_living(patient, was.identifiers);
    END IF;
    IF state.patient_id IS NULL THEN
        SELECT * INTO STRICT state FROM patients.state s WHERE s.patient_id = patient;
    END IF;
    events := patients.events_between(was, state);
    number := coalesce(was.death_no, 0);
    IF 'died' = ANY (events) OR was.version IS NULL AND state.death_status = 'void' THEN
        number := greatest(number, (SELECT l.death_no FROM patients.lost_death l WHERE l.patient_id = patient)) + 1;
    END IF;

    IF as_found THEN
        events := events[1:1];
    END IF;
    FOR i IN 1 .. cardinality(events) LOOP
        INSERT INTO patients.outbox OVERRIDING USER VALUE VALUES (
            NULL, pg_current_xact_id(), events[i], as_found, coalesce(was.version, 0) + i,
            greatest(clock_timestamp(), was.recorded_at), number, state.*)
        ON CONFLICT (patient_id, version) DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'patient % was changed by another transaction', patient
                USING ERRCODE = 'serialization_failure', HINT = 'run the transaction again';
        END IF;
    END LOOP;
    RETURN cardinality(events);
END $$;
-- +goose StatementEnd

-- The triggers' functions run as their owner, so that a service that writes patients needs no right to the outbox. An
-- assignment calls capture without the overhead of a query, which PERFORM has.
-- +goose StatementBegin
CREATE FUNCTION patients.capture_patient() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events integer;
BEGIN
    events := patients.capture(NEW.id, held => true, of_row => NEW.ctid);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- capture_retraction runs before a patient is declared dead again. If this transaction has taken back a death that an event
-- has reported, it captures that first: the next one is a new death.
-- +goose StatementBegin
CREATE FUNCTION patients.capture_retraction() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was    patients.outbox;
    events integer;
BEGIN
    SELECT * INTO was FROM patients.outbox o WHERE o.patient_id = NEW.id ORDER BY o.version DESC LIMIT 1;
    IF was.death_status IN ('informal', 'formal') THEN
        events := patients.capture(NEW.id, held => true);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.capture_identifier() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        events := patients.capture(NEW.patient_id, held => false, added => jsonb_build_array(
            jsonb_build_object('authority', NEW.authority, 'type', NEW.type, 'value', NEW.value)));
        RETURN NULL;
    END IF;
    events := patients.capture(OLD.patient_id, held => false);
    IF TG_OP = 'UPDATE' THEN
        events := patients.capture(NEW.patient_id, held => false);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.capture_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events integer;
BEGIN
    events := patients.capture(NEW.retired_id, held => false);
    RETURN NULL;
END $$;
-- +goose StatementEnd
