-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'database % has encoding %, and events are UTF8', current_database(), current_setting('server_encoding')
            USING ERRCODE = 'feature_not_supported', HINT = 'move the service to a database made WITH ENCODING ''UTF8''';
    END IF;
END $$;
-- +goose StatementEnd

-- The contract's ranges. PostgreSQL compiles a domain once per session, but a CHECK of a table
-- anew for every statement: an outbox with a CHECK per column took in half as many events.
CREATE DOMAIN patients.short_text AS text CONSTRAINT at_most_200_characters CHECK (char_length(VALUE) <= 200);
CREATE DOMAIN patients.partial_date AS text -- a range of letters depends on collations, but not in "C"
    CONSTRAINT year_month_or_day CHECK (VALUE ~ '^(([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])(-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8]))?|-(0[13-9]|1[0-2])-(29|30)|-(0[13578]|1[02])-31)?|([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29)$' COLLATE "C");
CREATE DOMAIN patients.sex AS text CHECK (VALUE IN ('male', 'female', 'other', 'unknown'));
CREATE DOMAIN patients.death_status AS text CHECK (VALUE IN ('none', 'informal', 'formal', 'void'));
CREATE DOMAIN patients.death_precision AS text CHECK (VALUE IN ('year', 'month', 'day', 'minute'));
CREATE DOMAIN patients.death_time AS timestamptz
    CONSTRAINT from_1800_to_9999 CHECK (VALUE >= '1800-01-01 00:00:00+00' AND VALUE < '10000-01-01 00:00:00+00');
CREATE DOMAIN patients.recorded_time AS timestamptz
    CONSTRAINT from_1900_to_9999 CHECK (VALUE >= '1900-01-01 00:00:00+00' AND VALUE < '10000-01-01 00:00:00+00');
CREATE DOMAIN patients.event AS text
    CHECK (VALUE IN ('registered', 'updated', 'died', 'death_retracted', 'death_corrected', 'merged', 'erased'));
CREATE DOMAIN patients.version AS bigint CONSTRAINT from_1 CHECK (VALUE >= 1);
CREATE DOMAIN patients.death_no AS integer CONSTRAINT from_0 CHECK (VALUE >= 0);
CREATE DOMAIN patients.identifiers AS jsonb
    CONSTRAINT array_of_at_most_1000 CHECK (jsonb_typeof(VALUE) = 'array' AND jsonb_array_length(VALUE) <= 1000)
    -- The limit is that of the text, which is measured only where the binary form is large.
    CONSTRAINT at_most_1_MiB CHECK (pg_column_size(VALUE) < 100000 OR octet_length(VALUE::text) <= 1048576);

-- If these tables exist, they and their rows stay.
CREATE TABLE IF NOT EXISTS patients.patient (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    family_name      text,
    given_name       text,
    birth_date       text,                         -- as exactly as it is known: YYYY, YYYY-MM or YYYY-MM-DD
    sex              text,
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    death_status     text NOT NULL DEFAULT 'none', -- dead when informal or formal; void: the death was an error
    death_earliest   timestamptz,                  -- the period in which the death is known to lie
    death_latest     timestamptz,
    death_precision  text
);

CREATE TABLE IF NOT EXISTS patients.identifier (
    patient_id uuid NOT NULL REFERENCES patients.patient,
    authority  text NOT NULL,
    type       text NOT NULL,
    value      text NOT NULL,
    PRIMARY KEY (authority, type, value)
);

-- A row is a merge: it retires one record in favour of another, for ever.
CREATE TABLE IF NOT EXISTS patients.alias (
    retired_id  uuid PRIMARY KEY REFERENCES patients.patient,
    survivor_id uuid NOT NULL REFERENCES patients.patient,
    merged_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (retired_id <> survivor_id)
);

-- One row, which each transaction that merges updates. So merges run one after the other, and a transaction whose
-- snapshot misses an earlier merge fails to serialise.
CREATE TABLE patients.merge_turn (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    tx  xid8 NOT NULL
);
INSERT INTO patients.merge_turn (tx) VALUES (pg_current_xact_id());

-- The greatest death number of a patient in a log that knows more than this database, which was restored. The next death
-- gets a greater number, so that no decision about the lost death applies to it.
CREATE TABLE patients.lost_death (
    patient_id uuid PRIMARY KEY,
    death_no   patients.death_no NOT NULL
);

-- The contract's columns, without the two that the export adds: first those that number an event, then the
-- patient's state, in the order of view patients.state. A patient's next change is compared with the
-- patient's last row, so pruning leaves that one.
CREATE TABLE patients.outbox (
    position         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx               xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event            patients.event NOT NULL,
    baseline         boolean NOT NULL,
    version          patients.version NOT NULL,
    recorded_at      patients.recorded_time NOT NULL,
    death_no         patients.death_no NOT NULL,
    patient_id       uuid NOT NULL,
    merged_into      uuid,
    identifiers      patients.identifiers NOT NULL,
    death_status     patients.death_status NOT NULL, -- from here on, columns of the table patient
    death_earliest   patients.death_time,
    death_latest     patients.death_time,
    death_precision  patients.death_precision,
    family_name      patients.short_text,
    given_name       patients.short_text,
    birth_date       patients.partial_date,
    sex              patients.sex,
    address_line     patients.short_text,
    address_city     patients.short_text,
    address_postcode patients.short_text,
    address_country  patients.short_text,
    UNIQUE (patient_id, version),
    CONSTRAINT death_period CHECK (
        num_nulls(death_earliest, death_latest, death_precision) IN (0, 3) AND death_earliest < death_latest)
);
CREATE INDEX outbox_tx ON patients.outbox (tx);

-- Who was erased, for ever; no personal data. The events before that version are blank, so the batches that held them
-- can't be written again.
CREATE TABLE patients.erasure (
    patient_id uuid PRIMARY KEY,
    version    patients.version NOT NULL, -- of the event that says so
    erased_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- +goose StatementBegin
DO $$
DECLARE
    wrong text;
BEGIN
    -- A write to a partition or child does not fire the triggers of its parent.
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) INTO wrong
    FROM pg_class c
    WHERE c.relnamespace = 'patients'::regnamespace AND c.relname IN ('patient', 'identifier', 'alias')
      AND (c.relkind <> 'r' OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)));
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'a view, a partitioned table or one with parents or children can''t be captured; in schema patients: %', wrong
            USING ERRCODE = 'feature_not_supported', HINT = 'keep plain tables of these names up to date from yours, by triggers, then migrate again';
    END IF;
    SELECT string_agg(format('%s.%s %s', tab, col, type), ', ') INTO wrong
    FROM (VALUES ('patient', 'id', 'uuid'),
        ('identifier', 'patient_id', 'uuid'), ('identifier', 'authority', 'text'), ('identifier', 'type', 'text'),
        ('identifier', 'value', 'text'),
        ('alias', 'retired_id', 'uuid'), ('alias', 'survivor_id', 'uuid'), ('alias', 'merged_at', 'timestamptz')
        UNION ALL
        SELECT 'patient', a.attname, format_type(t.typbasetype, NULL) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = 'patients.outbox'::regclass AND a.attnum > (
            SELECT i.attnum FROM pg_attribute i WHERE i.attrelid = a.attrelid AND i.attname = 'identifiers')
    ) AS wanted (tab, col, type)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = format('patients.%I', tab)::regclass AND a.attname = col AND a.atttypid = type::regtype);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the existing tables lack columns, or have them with another type: %', wrong
            USING ERRCODE = 'datatype_mismatch', HINT = 'add or alter these columns, then migrate again';
    END IF;
END $$;
-- +goose StatementEnd
