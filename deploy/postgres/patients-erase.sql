-- For the role that erases people who ask for it: CREATE ROLE patients_privacy LOGIN …
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO patients_privacy', current_database()); END $$;
GRANT USAGE ON SCHEMA patients TO patients_privacy;
GRANT SELECT ON patients.erasure TO patients_privacy;
GRANT EXECUTE ON FUNCTION patients.erase_patient(uuid) TO patients_privacy;
