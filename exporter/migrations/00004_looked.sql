-- +goose Up
-- When a run last found that nothing follows this batch on the store.
ALTER TABLE exporter.plan ADD COLUMN looked_at timestamptz;
