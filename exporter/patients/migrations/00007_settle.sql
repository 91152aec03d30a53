-- +goose Up
-- Every patient has an event: what only served the installation goes.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE patients.patient, patients.identifier, patients.alias IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER baseline ON patients.patient;
DROP TRIGGER baseline_arrival ON patients.patient;
DROP TRIGGER baseline ON patients.identifier;
DROP TRIGGER baseline ON patients.alias;
DROP FUNCTION patients.baseline_patient();
DROP FUNCTION patients.baseline_identifier();
DROP FUNCTION patients.baseline_alias();
DROP PROCEDURE patients.backfill(integer);
DROP FUNCTION patients.baseline(uuid);
DROP TABLE patients.arrival;
