-- +goose Up
-- Whether this consumer has ever demanded that manifests are signed. From then on it does.
ALTER TABLE checkpoint ADD COLUMN trusts boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE checkpoint DROP COLUMN trusts;
