-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '500ms';

-- The contract's ranges for what people write. The columns keep their plain types: giving a
-- filled table's a domain would rewrite it under an exclusive lock. A table whose rows break a
-- rule is left as it is; else the rules hold for new rows at once, and are then validated for
-- all beside the writers.
-- +goose StatementBegin
DO $$
DECLARE
    ranges constant text := 'num_nulls(
        family_name::patients.short_text, given_name::patients.short_text,
        birth_date::patients.partial_date, sex::patients.sex,
        address_line::patients.short_text, address_city::patients.short_text,
        address_postcode::patients.short_text, address_country::patients.short_text,
        death_status::patients.death_status, death_earliest::patients.death_time,
        death_latest::patients.death_time, death_precision::patients.death_precision) >= 0';
    period constant text := 'num_nulls(death_earliest, death_latest, death_precision) IN (0, 3) AND death_earliest < death_latest';
    broken bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM patients.patient WHERE NOT (%s AND (%s))', ranges, period) INTO broken;
    IF broken > 0 THEN
        RAISE EXCEPTION 'the period of death of % patients ends before it begins, or is half given', broken
            USING ERRCODE = 'check_violation',
                  HINT = 'give death_earliest, death_latest (later) and death_precision all three or not at all, then migrate again';
    END IF;
    ALTER TABLE patients.patient DROP CONSTRAINT IF EXISTS contract, DROP CONSTRAINT IF EXISTS death_period;
    EXECUTE format('ALTER TABLE patients.patient ADD CONSTRAINT contract CHECK (%s) NOT VALID, ADD CONSTRAINT death_period CHECK (%s) NOT VALID', ranges, period);
END $$;
-- +goose StatementEnd

ALTER TABLE patients.identifier DROP CONSTRAINT IF EXISTS contract, ADD CONSTRAINT contract
    CHECK (greatest(char_length(authority), char_length(type), char_length(value)) <= 200) NOT VALID;

ALTER TABLE patients.patient VALIDATE CONSTRAINT contract;
ALTER TABLE patients.patient VALIDATE CONSTRAINT death_period;
ALTER TABLE patients.identifier VALIDATE CONSTRAINT contract;

-- Dropped first: a build that was interrupted leaves an invalid index behind.
DROP INDEX IF EXISTS patients.identifier_patient;
SET lock_timeout = 0; -- it waits for old transactions, and keeps nobody waiting
CREATE INDEX CONCURRENTLY identifier_patient ON patients.identifier (patient_id);

RESET lock_timeout;
