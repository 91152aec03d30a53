-- +goose NO TRANSACTION
-- +goose Up
-- Every patient has an event, so the objects that only the installation needed are dropped. One table is locked at a time,
-- because a writer may hold one table and wait for another. Table patient comes last: table arrival must list the new
-- patients as long as any baseline trigger exists.
SET lock_timeout = '500ms';
DROP TRIGGER IF EXISTS baseline ON patients.identifier;
DROP TRIGGER IF EXISTS baseline ON patients.alias;
-- +goose StatementBegin
DO $$
BEGIN
    DROP TRIGGER IF EXISTS baseline ON patients.patient;
    DROP TRIGGER IF EXISTS baseline_arrival ON patients.patient;
END $$;
-- +goose StatementEnd
DROP FUNCTION IF EXISTS patients.baseline_patient();
DROP FUNCTION IF EXISTS patients.baseline_identifier();
DROP FUNCTION IF EXISTS patients.baseline_alias();
DROP PROCEDURE IF EXISTS patients.backfill(integer);
DROP FUNCTION IF EXISTS patients.baseline(uuid);
DROP TABLE IF EXISTS patients.arrival;
RESET lock_timeout;
