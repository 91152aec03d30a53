-- +goose NO TRANSACTION
-- +goose Up
-- Every patient that has no event gets one, in small transactions while the service writes.
SET default_transaction_isolation = 'read committed';
SET statement_timeout = 0;

-- Rows stay locked until the end of each batch. backfill waits for a writer only while it holds no lock, so it can't
-- take part in a deadlock.
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE patients.backfill(batch integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    patient uuid;
    done    bigint := 0;
BEGIN
    FOR patient IN
        SELECT p.id FROM patients.patient p
        WHERE NOT EXISTS (SELECT FROM patients.outbox o WHERE o.patient_id = p.id)
    LOOP
        PERFORM FROM patients.patient p WHERE p.id = patient FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            COMMIT;
        END IF;
        PERFORM patients.baseline(patient);
        done := done + 1;
        IF done % batch = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

CALL patients.backfill(1000);

RESET default_transaction_isolation;
RESET statement_timeout;
