-- What `waybill intake`, `waybill quarantine` and `waybill partner` need in the patients service's database. Run it as the
-- owner of the database, after `waybill migrate patients`; running it again does no harm. The role is the
-- site's: CREATE ROLE patients_intake LOGIN …

DO $$ BEGIN EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO patients_intake', current_database()); END $$;
GRANT USAGE ON SCHEMA patients, intake TO patients_intake;

-- It writes what partners say of patients, as the service itself does.
GRANT SELECT, INSERT, UPDATE ON patients.patient TO patients_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON patients.identifier TO patients_intake;
GRANT SELECT, INSERT ON patients.alias TO patients_intake;
GRANT SELECT ON patients.erasure TO patients_intake;
GRANT SELECT, UPDATE ON patients.merge_turn TO patients_intake; -- merges take place one after the other
GRANT SELECT, INSERT, UPDATE, DELETE ON patients.intake_row, patients.intake_told, patients.intake_known TO patients_intake;

-- The register.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA intake TO patients_intake;
REVOKE ALL ON intake.migration FROM patients_intake;

-- For --dry-run, which shows the events that would come of it. Leave it out where that is not wanted.
GRANT SELECT (position, tx, patient_id, event) ON patients.outbox TO patients_intake;
