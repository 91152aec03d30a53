-- +goose Up
-- forget_erased blanks what is left of all erased records, or of one: every column but the keys, also columns that this
-- release does not know. Events become erasures, too. `waybill migrate` calls it for data that earlier releases left.
-- +goose StatementBegin
CREATE FUNCTION patients.forget_erased(record uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
#variable_conflict use_variable
DECLARE
    erased uuid[] := ARRAY(SELECT e.patient_id FROM patients.erasure e WHERE e.patient_id = record OR record IS NULL);
BEGIN
    DELETE FROM patients.identifier i WHERE i.patient_id = ANY (erased);
    DELETE FROM patients.intake_told t WHERE t.patient_id = ANY (erased);
    DELETE FROM patients.intake_unlinked u WHERE u.retired_id = ANY (erased);
    PERFORM patients.forget('patients.patient', 'id', '{}', erased);
    UPDATE patients.outbox o SET event = 'erased', baseline = false WHERE o.patient_id = ANY (erased) AND o.event <> 'erased';
    PERFORM patients.forget('patients.outbox', 'patient_id', '{tx,event,baseline,version,recorded_at,patient_id}', erased);
END $$;
-- +goose StatementEnd

-- remembered_erased returns the erased patients of whom data is left.
-- +goose StatementBegin
CREATE FUNCTION patients.remembered_erased() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased uuid[] := ARRAY(SELECT e.patient_id FROM patients.erasure e);
BEGIN
    RETURN QUERY SELECT i.patient_id FROM patients.identifier i WHERE i.patient_id = ANY (erased)
        UNION SELECT * FROM patients.remembered('patients.patient', 'id', '{}', erased)
        UNION SELECT * FROM patients.remembered('patients.outbox', 'patient_id', '{tx,event,baseline,version,recorded_at,patient_id}', erased);
END $$;
-- +goose StatementEnd

-- erase_patient removes what is known of a person and returns how many records it erased: the one given, those merged into
-- it, and the one that it was merged into with all of its own; 0 if the person was erased before. Identifiers are
-- deleted. The row keeps its id and nothing else. Its events become erasures: one that was not exported yet may be in
-- an earlier batch than the last, and blank it would read as a death taken back. One more event, erased, is for the
-- consumers. Merges wait for this function, so it does not wait for long itself.
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
    -- It takes the turn of merges, so that no other record is merged into this person meanwhile.
    UPDATE patients.merge_turn SET tx = pg_current_xact_id() WHERE tx <> pg_current_xact_id();
    FOR record IN
        WITH RECURSIVE person (id) AS (
            SELECT patients.survivor(patient)
            UNION ALL
            SELECT a.retired_id FROM person p JOIN patients.alias a ON a.survivor_id = p.id)
        SELECT p.id FROM person p ORDER BY p.id
    LOOP
        -- A stronger lock than an update's: it waits for sessions that add an identifier.
        PERFORM FROM patients.patient p WHERE p.id = record FOR UPDATE;
        SELECT * INTO was FROM patients.outbox o WHERE o.patient_id = record ORDER BY o.version DESC LIMIT 1;
        CONTINUE WHEN was.event = 'erased';
        INSERT INTO patients.erasure (patient_id, version) VALUES (record, coalesce(was.version, 0) + 1);
        PERFORM patients.forget_erased(record);
        INSERT INTO patients.outbox (event, baseline, patient_id, version, recorded_at, death_no, death_status, identifiers)
        VALUES ('erased', false, record, coalesce(was.version, 0) + 1, greatest(clock_timestamp(), was.recorded_at), 0, 'none', '[]')
        ON CONFLICT (patient_id, version) DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'patient % was changed by another transaction', record
                USING ERRCODE = 'serialization_failure', HINT = 'run the transaction again';
        END IF;
        erased := erased + 1;
    END LOOP;
    RETURN erased;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION patients.erase_patient(uuid), patients.forget_erased(uuid), patients.remembered_erased() FROM PUBLIC;
