-- +goose Up
-- One row per batch. What is committed here fixes the batch's content before a byte of it is
-- written, and, once the manifest is stored, the very bytes that anybody may publish.
CREATE TABLE exporter.plan (
    batch             bigint PRIMARY KEY CHECK (batch BETWEEN 0 AND 999999999999),
    plan_id           uuid NOT NULL,
    log_id            uuid NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('genesis', 'changes', 'snapshot', 'correction')),
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
    CHECK ((manifest IS NULL) = (manifest_sha256 IS NULL)),
    CHECK (published_at IS NULL OR manifest IS NOT NULL)
);

-- Batches are written one after the other: the next is planned when this one is published.
CREATE UNIQUE INDEX plan_unpublished ON exporter.plan ((true)) WHERE published_at IS NULL;

-- How the last run of each kind of work ended, for `status`: also of runs that nobody watched. Other
-- machines' rows stay where they failed.
CREATE TABLE exporter.last_run (
    work           text NOT NULL,
    machine        text NOT NULL,
    ended_at       timestamptz NOT NULL,
    since          timestamptz NOT NULL, -- the first of the runs ended that have all failed, or all been well
    failures       integer NOT NULL,     -- of this machine, in a row
    class          text NOT NULL CHECK (class IN ('', 'transient', 'not yet', 'poison', 'held', 'usage')),
    error          text NOT NULL,
    hint           text NOT NULL,
    store_failures integer NOT NULL,
    breaker        text NOT NULL,
    PRIMARY KEY (work, machine)
);

-- The consumers whose receipts have been seen: one whose receipts are gone is missed by this.
CREATE TABLE exporter.consumer (
    instance text PRIMARY KEY,
    batch    bigint NOT NULL, -- of the newest
    seen_at  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE exporter.consumer, exporter.last_run, exporter.plan;
