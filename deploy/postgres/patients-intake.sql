-- What `waybill intake`, `waybill quarantine` and `waybill partner` need in the patients service's database. Run it as the
-- owner of the database, after `waybill migrate patients`; running it again does no harm. The role is the
-- site's: CREATE ROLE patients_intake LOGIN …

DO $$ BEGIN EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO patients_intake', current_database()); END $$;
GRANT USAGE ON SCHEMA patients, intake TO patients_intake;

-- It parses files that anyone may have made, so it has no right to the patients: it stages what partners
-- say of them, and the functions write that as their owner.
GRANT SELECT, INSERT ON patients.intake_row TO patients_intake;
GRANT EXECUTE ON FUNCTION patients.intake(text), patients.intake_apply(text, text), patients.intake_events(), patients.intake_end(text) TO patients_intake;

-- The register.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA intake TO patients_intake;
REVOKE INSERT, UPDATE, DELETE ON intake.migration, intake.decision_migration, intake.contract FROM patients_intake;
REVOKE UPDATE, DELETE ON intake.decision FROM patients_intake;

-- For --dry-run, which shows the events that would result. Leave it out if you don't want that.
GRANT SELECT (position, tx, patient_id, event) ON patients.outbox TO patients_intake;
