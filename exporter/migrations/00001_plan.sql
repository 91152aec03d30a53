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

-- How the store looked from the machines whose last run failed to use it.
CREATE TABLE exporter.store_health (
    machine    text PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('closed', 'open', 'half-open')),
    failures   integer NOT NULL,
    since      timestamptz NOT NULL,
    next_try   timestamptz,
    last_error text NOT NULL
);

-- +goose Down
DROP TABLE exporter.store_health, exporter.plan;
