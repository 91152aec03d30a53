-- +goose Up
-- For the first steps of a generation: the database was restored, and its log has events that the database has lost.

-- erase_again erases a person whom the log reports as erased. If the person is not in this database, it records the
-- erasure, so that the person can't come back.
-- +goose StatementBegin
CREATE FUNCTION patients.erase_again(patient uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable -- a site's table may have columns of any name
BEGIN
    IF EXISTS (SELECT FROM patients.patient p WHERE p.id = patient) THEN
        PERFORM patients.erase_patient(patient);
        RETURN;
    END IF;
    INSERT INTO patients.outbox (event, baseline, patient_id, version, recorded_at, death_no, death_status, identifiers)
    VALUES ('erased', false, patient, 1, clock_timestamp(), 0, 'none', '[]') ON CONFLICT DO NOTHING;
    INSERT INTO patients.erasure (patient_id, version) VALUES (patient, 1) ON CONFLICT DO NOTHING;
END $$;
-- +goose StatementEnd

-- hold_capture blocks capture until the transaction's end. It waits for running commits for less than deadlock_timeout,
-- because one of them may wait for this transaction.
-- +goose StatementBegin
CREATE FUNCTION patients.hold_capture() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    LOCK TABLE patients.outbox IN SHARE MODE;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION patients.erase_again(uuid), patients.hold_capture() FROM PUBLIC;
