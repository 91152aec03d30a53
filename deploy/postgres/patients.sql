-- What each role may do in the patients service's database. Run it as the owner of
-- the database, after `waybill migrate patients`; running it again does no harm. The roles are the
-- site's: CREATE ROLE patients_app LOGIN …; CREATE ROLE patients_export LOGIN …

-- A new database lets every role make temporary tables and call every function.
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA patients, exporter FROM PUBLIC;

DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO patients_app, patients_export', current_database()); END $$;

-- The service itself. It needs no right to the outbox: triggers write that as their owner.
GRANT USAGE ON SCHEMA patients TO patients_app;
GRANT SELECT, INSERT, UPDATE ON patients.patient TO patients_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON patients.identifier TO patients_app;
GRANT SELECT, INSERT ON patients.alias TO patients_app;
GRANT EXECUTE ON FUNCTION patients.record_death(uuid, text, timestamptz, timestamptz, text), patients.survivor(uuid) TO patients_app;

-- `waybill export`, and `status` and `trace` at the producer; status remembers whose receipts it has seen.
GRANT USAGE ON SCHEMA patients, exporter TO patients_export;
GRANT SELECT ON patients.outbox, patients.erasure, exporter.floor, exporter.stream TO patients_export;
GRANT SELECT ON patients.migration, exporter.migration, exporter.decision_migration, exporter.contract TO patients_export; -- the release compares itself with them
GRANT SELECT, INSERT, UPDATE ON exporter.plan TO patients_export;
-- Patients that differ from their last event, and triggers that are off; not the patients themselves.
GRANT SELECT ON patients.divergence, patients.disarmed TO patients_export;
GRANT EXECUTE ON FUNCTION patients.differ(patients.state, patients.outbox), patients.remembered_erased() TO patients_export;
GRANT SELECT, UPDATE ON exporter.sample TO patients_export;
-- For `rerun export`: it compares in a temporary table.
DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO patients_export', current_database()); END $$;
-- What people decided.
GRANT SELECT, INSERT ON exporter.decision TO patients_export;
GRANT EXECUTE ON FUNCTION exporter.decision_hash(exporter.decision) TO patients_export;
GRANT SELECT, INSERT, UPDATE, DELETE ON exporter.last_run TO patients_export;
GRANT SELECT, INSERT, UPDATE, DELETE ON exporter.consumer TO patients_export;

-- `waybill run patients` and `waybill jobs`.
GRANT USAGE ON SCHEMA jobs TO patients_export;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO patients_export;
REVOKE UPDATE, DELETE ON jobs.decision FROM patients_export; -- what people decided stays
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO patients_export;
