-- +goose Up
-- One row per batch. It fixes the batch's content before a byte is written and, once the manifest is stored, the exact
-- bytes that are published.
CREATE TABLE exporter.plan (
    stream            text NOT NULL,
    batch             bigint NOT NULL CHECK (batch BETWEEN 0 AND 999999999999),
    plan_id           uuid NOT NULL,
    log_id            uuid NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('genesis', 'changes', 'snapshot', 'correction', 'retired')),
    generation        integer NOT NULL CHECK (generation >= 1),
    cursor_before     pg_snapshot NOT NULL,
    cursor_after      pg_snapshot NOT NULL,
    window_from       timestamptz NOT NULL,
    window_to         timestamptz NOT NULL CHECK (window_to >= window_from),
    snapshot          bigint,
    previous          text CHECK ((previous IS NULL) = (kind = 'genesis')),
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    planned_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    manifest          bytea,
    manifest_sha256   text,
    events            bigint,
    published_at      timestamptz,
    -- A correction repeats the events of earlier batches, under a higher revision.
    covers_from       bigint,
    covers_to         bigint,
    revision          integer NOT NULL DEFAULT 0 CHECK ((revision > 0) = (kind = 'correction')),
    PRIMARY KEY (stream, batch),
    CHECK ((manifest IS NULL) = (manifest_sha256 IS NULL)),
    CHECK (published_at IS NULL OR manifest IS NOT NULL),
    CHECK ((kind = 'correction') = (covers_from IS NOT NULL)),
    CHECK ((covers_from IS NULL) = (covers_to IS NULL)),
    CHECK (covers_from BETWEEN 1 AND covers_to AND covers_to < batch)
);
CREATE INDEX plan_corrections ON exporter.plan (stream, covers_to) WHERE kind = 'correction';

-- At most one batch of a stream is unpublished: the next is planned when this one is published.
CREATE UNIQUE INDEX plan_unpublished ON exporter.plan (stream) WHERE published_at IS NULL;

-- The streams that have begun and were not retired, each with the cursor before its oldest plan: the outbox must have every
-- event after it.
CREATE VIEW exporter.stream AS
SELECT DISTINCT ON (p.stream) p.stream, p.cursor_before FROM exporter.plan p
WHERE NOT EXISTS (SELECT FROM exporter.plan r WHERE r.stream = p.stream AND r.kind = 'retired' AND r.published_at IS NOT NULL)
ORDER BY p.stream, p.batch;

-- The consumers whose receipts were seen. So `status` can report a consumer whose receipts are gone.
CREATE TABLE exporter.consumer (
    stream   text NOT NULL,
    instance text NOT NULL,
    batch    bigint NOT NULL, -- of the newest
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (stream, instance)
);
