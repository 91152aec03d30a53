-- +goose Up
-- One row per re-run that changed anything: who asked for it, why, and what it was going to do. It is
-- written before the store is.
CREATE TABLE exporter.rerun (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason    text NOT NULL CHECK (reason <> ''),
    person    text NOT NULL,
    batches   int8multirange NOT NULL, -- that were looked at
    repaired  bigint[] NOT NULL,       -- whose files were put back
    corrected int8multirange NOT NULL  -- that later batches state again
);

-- A correction states the events of earlier batches again, under a higher revision. Its content is
-- that of their cursors.
ALTER TABLE exporter.plan
    ADD covers_from bigint,
    ADD covers_to   bigint,
    ADD revision    integer NOT NULL DEFAULT 0 CHECK ((revision > 0) = (kind = 'correction')),
    ADD rerun       bigint REFERENCES exporter.rerun,
    ADD CHECK ((kind = 'correction') = (covers_from IS NOT NULL)),
    ADD CHECK ((covers_from IS NULL) = (covers_to IS NULL)),
    ADD CHECK (covers_from BETWEEN 1 AND covers_to AND covers_to < batch);
CREATE INDEX plan_corrections ON exporter.plan (covers_to) WHERE kind = 'correction';

-- +goose Down
ALTER TABLE exporter.plan DROP covers_from, DROP covers_to, DROP revision, DROP rerun;
DROP TABLE exporter.rerun;
