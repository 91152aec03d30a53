-- +goose NO TRANSACTION
-- +goose Up
-- derive reads the columns that come after identifiers in the outbox; the table patient has them too. From these it
-- makes the view of a patient's state, a function that reads that of the living without their identifiers, the
-- comparison of a state with an event, and the ranges of what people write.
-- `waybill migrate` calls it after the migrations, so a new column has to be added to the two tables only.
--
-- The columns of patient keep their plain types: giving a filled table's a domain would rewrite it under an exclusive
-- lock. A table whose rows break a range is left as it is; else the ranges hold for new rows at once.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION patients.derive() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    columns name[];
    types   text[];
    listed  text; -- columns, as %s.a, %s.b
    ranges  text;
BEGIN
    SELECT array_agg(a.attname ORDER BY a.attnum), array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) INTO columns, types
    FROM pg_attribute a
    WHERE a.attrelid = 'patients.outbox'::regclass AND NOT a.attisdropped AND a.attnum > (
        SELECT i.attnum FROM pg_attribute i WHERE i.attrelid = a.attrelid AND i.attname = 'identifiers');

    IF (SELECT cardinality(c.conkey) FROM pg_constraint c WHERE c.conrelid = 'patients.patient'::regclass AND c.conname = 'contract')
        IS DISTINCT FROM cardinality(columns) THEN
        SELECT 'num_nulls(' || string_agg(format('%I::%s', u.col, u.type), ', ') || ') >= 0' INTO ranges FROM unnest(columns, types) u (col, type);
        EXECUTE format('SELECT count(*) FROM patients.patient WHERE %s', ranges); -- fails where a row is out of range
        EXECUTE format('ALTER TABLE patients.patient DROP CONSTRAINT IF EXISTS contract, ADD CONSTRAINT contract CHECK (%s) NOT VALID', ranges);
    END IF;

    IF (SELECT c.relnatts - 3 FROM pg_class c WHERE c.oid = to_regclass('patients.state')) IS DISTINCT FROM cardinality(columns) THEN
        SELECT string_agg(format('%%1$s.%I', u.col), ', ') INTO listed FROM unnest(columns) u (col);
        EXECUTE format($view$
            CREATE OR REPLACE VIEW patients.state AS
            SELECT p.id AS patient_id,
                   a.survivor_id AS merged_into,
                   to_jsonb(ARRAY(
                       SELECT jsonb_build_object('authority', i.authority, 'type', i.type, 'value', i.value)
                       FROM patients.identifier i
                       WHERE i.patient_id = p.id
                       ORDER BY i.authority COLLATE "C", i.type COLLATE "C", i.value COLLATE "C")) AS identifiers,
                   %s
            FROM patients.patient p
            LEFT JOIN patients.alias a ON a.retired_id = p.id
            $view$, format(listed, 'p'));
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION patients.state_of_living(patient uuid, known jsonb) RETURNS SETOF patients.state
            LANGUAGE sql STABLE -- it is inlined
            BEGIN ATOMIC
                SELECT s.patient_id, s.merged_into, known, %s FROM patients.state s
                WHERE s.patient_id = patient AND s.death_status NOT IN ('informal', 'formal');
            END
            $function$, format(listed, 's'));
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION patients.differ(state patients.state, event patients.outbox) RETURNS boolean
            LANGUAGE sql IMMUTABLE -- it is inlined
            RETURN (state.identifiers, %s) IS DISTINCT FROM (event.identifiers, %s)
            $function$, format(listed, 'state'), format(listed, 'event'));
        IF to_regproc('patients.capture') IS NOT NULL THEN
            ALTER FUNCTION patients.capture VOLATILE; -- as it is; but sessions that have it in memory compile it again
        END IF;
    END IF;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION patients.derive() FROM PUBLIC;

SET lock_timeout = '500ms';

-- +goose StatementBegin
DO $$
DECLARE
    period constant text := 'num_nulls(death_earliest, death_latest, death_precision) IN (0, 3) AND death_earliest < death_latest';
    broken bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM patients.patient WHERE NOT (%s)', period) INTO broken;
    IF broken > 0 THEN
        RAISE EXCEPTION 'the period of death of % patients ends before it begins, or is half given', broken
            USING ERRCODE = 'check_violation',
                  HINT = 'give death_earliest, death_latest (later) and death_precision all three or not at all, then migrate again';
    END IF;
    PERFORM patients.derive();
    EXECUTE format('ALTER TABLE patients.patient DROP CONSTRAINT IF EXISTS death_period, ADD CONSTRAINT death_period CHECK (%s) NOT VALID', period);
END $$;
-- +goose StatementEnd

ALTER TABLE patients.identifier DROP CONSTRAINT IF EXISTS contract, ADD CONSTRAINT contract
    CHECK (greatest(char_length(authority), char_length(type), char_length(value)) <= 200) NOT VALID;

ALTER TABLE patients.patient VALIDATE CONSTRAINT contract;
ALTER TABLE patients.patient VALIDATE CONSTRAINT death_period;
ALTER TABLE patients.identifier VALIDATE CONSTRAINT contract;

-- An interrupted build leaves an invalid index behind.
DROP INDEX IF EXISTS patients.identifier_patient;
SET lock_timeout = 0; -- it waits for old transactions and blocks no one
CREATE INDEX CONCURRENTLY identifier_patient ON patients.identifier (patient_id);

RESET lock_timeout;
