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
