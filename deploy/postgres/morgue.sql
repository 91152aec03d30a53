-- What each role may do in the morgue service's database. Run it as the owner of the
-- database, after `waybill migrate morgue`; running it again does no harm. The roles are the site's:
-- CREATE ROLE morgue_import LOGIN …; CREATE ROLE morgue_app LOGIN …

-- A new database lets every role make temporary tables and call every function.
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA morgue FROM PUBLIC;

DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO morgue_app', current_database()); END $$;
DO $$ BEGIN EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO morgue_import', current_database()); END $$;

-- `waybill import morgue`. apply.sql may use any table of the schema, and those that later migrations
-- bring. All machines connect as this role: PostgreSQL hides other roles' sessions.
GRANT USAGE ON SCHEMA morgue TO morgue_import;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA morgue TO morgue_import;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA morgue TO morgue_import;
ALTER DEFAULT PRIVILEGES IN SCHEMA morgue GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO morgue_import;
-- What people decided stays.
REVOKE UPDATE, DELETE ON morgue.decision FROM morgue_import;

-- The staff's program.
GRANT USAGE ON SCHEMA morgue TO morgue_app;
GRANT SELECT, UPDATE ON morgue.case_file, morgue.alert TO morgue_app;
GRANT INSERT ON morgue.case_file TO morgue_app; -- a body may come without a notice
GRANT SELECT, INSERT ON morgue.trail TO morgue_app;
GRANT SELECT ON morgue.open_case TO morgue_app;
GRANT EXECUTE ON FUNCTION morgue.applying(), morgue.signed(text), morgue.facts(morgue.case_file),
    morgue.facts(text, text, text, text, jsonb, text, text, text, text, text, timestamptz, timestamptz, text),
    morgue.name_key(text, text), morgue.name_letters(text), morgue.name_sound(text) TO morgue_app;
GRANT EXECUTE ON PROCEDURE morgue.receive(bigint, text, text), morgue.release(bigint, text), morgue.resolve(bigint, text),
    morgue.take_in(text, text, bigint), morgue.reassign(bigint, bigint, text) TO morgue_app;

-- `waybill run morgue` and `waybill jobs`.
GRANT USAGE ON SCHEMA jobs TO morgue_import;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO morgue_import;
REVOKE UPDATE, DELETE ON jobs.decision FROM morgue_import; -- what people decided stays
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO morgue_import;
