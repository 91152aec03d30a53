-- +goose Up
-- For the first steps of a generation, in a database that was restored and whose log knows more.

-- erase_again erases a person who was erased according to the log. If this database does not have the person, it records the
-- erasure, so that nothing brings them back.
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

-- hold_capture blocks capture until the transaction's end. It waits for running commits for less than deadlock_timeout: one
-- of them may wait for this transaction in turn.
-- +goose StatementBegin
CREATE FUNCTION patients.hold_capture() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    LOCK TABLE patients.outbox IN SHARE MODE;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION patients.erase_again(uuid), patients.hold_capture() FROM PUBLIC;
