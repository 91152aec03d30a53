-- +goose Up
-- A correction states the events of earlier batches again, under a higher revision. Its content is
-- that of their cursors.
ALTER TABLE exporter.plan
    ADD covers_from bigint,
    ADD covers_to   bigint,
    ADD revision    integer NOT NULL DEFAULT 0 CHECK ((revision > 0) = (kind = 'correction')),
    ADD CHECK ((kind = 'correction') = (covers_from IS NOT NULL)),
    ADD CHECK ((covers_from IS NULL) = (covers_to IS NULL)),
    ADD CHECK (covers_from BETWEEN 1 AND covers_to AND covers_to < batch);
CREATE INDEX plan_corrections ON exporter.plan (covers_to) WHERE kind = 'correction';

-- +goose Down
ALTER TABLE exporter.plan DROP covers_from, DROP covers_to, DROP revision;
