-- What each role may do in the appointments service's database. Run it as the owner of the
-- database, after `waybill migrate appointments`; running it again does no harm. The roles are the site's:
-- CREATE ROLE appointments_import LOGIN …; CREATE ROLE appointments_app LOGIN …

-- A new database lets every role make temporary tables and call every function.
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA appointments FROM PUBLIC;

DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO appointments_app', current_database()); END $$;
DO $$ BEGIN EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO appointments_import', current_database()); END $$;

-- `waybill import appointments`. apply.sql may use any table of the schema, and those that later migrations
-- bring. All machines connect as this role: PostgreSQL hides other roles' sessions.
GRANT USAGE ON SCHEMA appointments TO appointments_import;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA appointments TO appointments_import;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA appointments TO appointments_import;
ALTER DEFAULT PRIVILEGES IN SCHEMA appointments GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO appointments_import;
-- What people decided stays.
REVOKE UPDATE, DELETE ON appointments.decision FROM appointments_import;

-- The staff's program. Triggers run with the rights of the role that books.
GRANT USAGE ON SCHEMA appointments TO appointments_app;
GRANT SELECT ON appointments.kind TO appointments_app;
GRANT SELECT, INSERT, UPDATE ON appointments.appointment, appointments.vital, appointments.worklist TO appointments_app;
GRANT EXECUTE ON FUNCTION appointments.applying(), appointments.signed(text) TO appointments_app;
GRANT EXECUTE ON PROCEDURE appointments.resolve(bigint, text) TO appointments_app;

-- `waybill run appointments` and `waybill jobs`.
GRANT USAGE ON SCHEMA jobs TO appointments_import;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO appointments_import;
REVOKE UPDATE, DELETE ON jobs.decision FROM appointments_import; -- what people decided stays
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO appointments_import;
