-- +goose Up
-- A patient's state as events carry it: the columns of the outbox from patient_id on, without
-- those that number the event.
CREATE VIEW patients.state AS
SELECT p.id AS patient_id,
       p.death_status,
       p.death_earliest,
       p.death_latest,
       p.death_precision,
       a.survivor_id AS merged_into,
       to_jsonb(ARRAY(
           SELECT jsonb_build_object('authority', i.authority, 'type', i.type, 'value', i.value)
           FROM patients.identifier i
           WHERE i.patient_id = p.id
           ORDER BY i.authority COLLATE "C", i.type COLLATE "C", i.value COLLATE "C")) AS identifiers,
       p.family_name,
       p.given_name,
       p.birth_date,
       p.sex,
       p.address_line,
       p.address_city,
       p.address_postcode,
       p.address_country
FROM patients.patient p
LEFT JOIN patients.alias a ON a.retired_id = p.id;

-- The first three functions are for those below, which pin the search_path: to pin it again would
-- cost more than they do.

-- hold takes a patient's row as an update does, for a transaction that has not written it.
-- Nothing stronger: adding an identifier takes a key share of it.
-- +goose StatementBegin
CREATE FUNCTION patients.hold(patient uuid) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable -- a site's table may have columns of any name
BEGIN
    PERFORM FROM patients.patient p WHERE p.id = patient FOR NO KEY UPDATE;
END $$;
-- +goose StatementEnd

-- events_between names what lies between the last event, if there is one, and a state: the
-- first that applies, and two where a merge and a death or its retraction come at once.
-- +goose StatementBegin
CREATE FUNCTION patients.events_between(was patients.outbox, state patients.state) RETURNS text[]
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

-- capture writes the events between a patient's last one and its state, and returns how many;
-- none, when nothing changed since. A patient without events is new; as_found, it was there
-- before the triggers were, and makes one baseline event.
--
-- held: the transaction has written the patient's row, or taken it with patients.hold. Else it is
-- taken here, unless an event of this transaction shows that it was before: nobody else may
-- capture the patient meanwhile. A transaction whose snapshot is older than the last event fails
-- to serialise: INSERT … ON CONFLICT says so by itself where the row in its way is not visible.
--
-- added: an identifier whose addition is the reason to look, as an array of one. Where an event
-- of this transaction has it there is nothing to do, for every other change is a reason of its
-- own: most of the work of registering patients with identifiers is saved by this.
--
-- of_row: the version of the patient's row that is the reason to look. Behind an event of this
-- transaction one that was replaced is no reason, for its successor is. So the commit of a row that
-- was changed thousands of times does not read as many versions each time.
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
    SELECT * INTO STRICT state FROM patients.state s WHERE s.patient_id = patient;
    events := patients.events_between(was, state);
    number := coalesce(was.death_no, 0);
    IF 'died' = ANY (events) OR was.version IS NULL AND state.death_status = 'void' THEN
        number := greatest(number, (SELECT l.death_no FROM patients.lost_death l WHERE l.patient_id = patient)) + 1;
    END IF;

    IF as_found THEN
        events := events[1:1];
    END IF;
    FOR i IN 1 .. cardinality(events) LOOP
        INSERT INTO patients.outbox (
            event, baseline, patient_id, version, recorded_at, death_no,
            death_status, death_earliest, death_latest, death_precision, merged_into, identifiers,
            family_name, given_name, birth_date, sex,
            address_line, address_city, address_postcode, address_country)
        VALUES (
            events[i], as_found, patient, coalesce(was.version, 0) + i,
            greatest(clock_timestamp(), was.recorded_at), number,
            state.death_status, state.death_earliest, state.death_latest, state.death_precision,
            state.merged_into, state.identifiers,
            state.family_name, state.given_name, state.birth_date, state.sex,
            state.address_line, state.address_city, state.address_postcode, state.address_country)
        ON CONFLICT (patient_id, version) DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'patient % was changed by another transaction', patient
                USING ERRCODE = 'serialization_failure', HINT = 'run the transaction again';
        END IF;
    END LOOP;
    RETURN cardinality(events);
END $$;
-- +goose StatementEnd

-- The triggers' functions run as their owner: a service writes patients and need not, and
-- should not, have any right to the outbox. An assignment calls capture without a query's
-- overhead, which PERFORM has.
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

-- capture_retraction captures, before a patient is declared dead again, that the death which an event
-- has reported was taken back in this transaction: the next one is a new death.
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
