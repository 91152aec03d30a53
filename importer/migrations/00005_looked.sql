-- +goose Up
-- When a run that found nothing new last looked closely at the log's end.
ALTER TABLE checkpoint ADD COLUMN looked_at timestamptz;

-- +goose Down
ALTER TABLE checkpoint DROP COLUMN looked_at;
