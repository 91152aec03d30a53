-- +goose Up
-- The longest record of decisions that a consumer's receipts have reported, and whether a later receipt had a shorter one, or
-- one as long that ends otherwise; NULL: they have reported none.
ALTER TABLE exporter.consumer ADD COLUMN decisions bigint, ADD COLUMN decided text NOT NULL DEFAULT '', ADD COLUMN cut boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE exporter.consumer DROP COLUMN decisions, DROP COLUMN decided, DROP COLUMN cut;
