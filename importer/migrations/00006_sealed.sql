-- +goose Up
-- Whether this consumer has ever loaded a sealed part. From then on it loads no open one, unless its settings say so.
ALTER TABLE checkpoint ADD COLUMN sealed boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE checkpoint DROP COLUMN sealed;
