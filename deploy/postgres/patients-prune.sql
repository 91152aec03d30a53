-- What `waybill prune patients` needs. Its role may not delete from the outbox: the function does, and only
-- what a published snapshot replaces. CREATE ROLE patients_prune LOGIN …
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO patients_prune', current_database()); END $$;
GRANT USAGE ON SCHEMA patients, exporter TO patients_prune;
GRANT SELECT, DELETE ON exporter.plan TO patients_prune;
GRANT SELECT ON patients.migration, exporter.migration, exporter.decision_migration, exporter.contract TO patients_prune; -- the release compares itself with them
GRANT SELECT, INSERT ON exporter.floor TO patients_prune;
GRANT SELECT, INSERT, UPDATE, DELETE ON exporter.last_run TO patients_prune;
GRANT SELECT ON exporter.consumer TO patients_prune;
GRANT EXECUTE ON FUNCTION exporter.prune_outbox(text, bigint, bigint, integer, boolean) TO patients_prune;
