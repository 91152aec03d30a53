-- +goose Up
-- By which secret and for which readers a batch's parts are sealed, so that they have the same bytes whenever they are
-- written; NULL: they are not sealed.
ALTER TABLE exporter.plan ADD COLUMN seal jsonb;

-- +goose Down
ALTER TABLE exporter.plan DROP COLUMN seal;
