-- +goose Up
-- Unqualified: the search_path is the partner's schema.

-- The events for the partner, in order. The newest row of each patient stays for good: it says
-- what the partner knows.
CREATE TABLE queue (
    position         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    batch            bigint NOT NULL,
    queued_at        timestamptz NOT NULL,
    event            text NOT NULL,
    baseline         boolean NOT NULL,
    patient_id       uuid NOT NULL,
    generation       integer NOT NULL,
    version          bigint NOT NULL,
    revision         integer NOT NULL,
    recorded_at      timestamptz NOT NULL,
    death_no         integer NOT NULL,
    death_status     text NOT NULL,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    merged_into      uuid,
    identifiers      jsonb NOT NULL,
    family_name      text,
    given_name       text,
    birth_date       text,
    sex              text,
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    PRIMARY KEY (patient_id, generation, version, revision)
);

-- How far the queue has been made into files. One row.
CREATE TABLE cursor (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    "to"   bigint NOT NULL,          -- the last position that a file covers, or passed over
    origin bigint NOT NULL,          -- baseline rows up to here were found at the start, and are not sent
    pruned bigint NOT NULL DEFAULT 0, -- rows up to here were looked at by pruning
    held   text,                     -- why the next file awaits a person; ids, no values
    since  timestamptz
);

-- Events that can't be written, and that a person decided to leave out: the table decision has who, when and why.
CREATE TABLE skipped (position bigint PRIMARY KEY);

-- One row per file. What is committed here fixes the file, to the byte, before it is written.
CREATE TABLE file (
    number         bigint PRIMARY KEY,   -- 1, 2, 3, …: no partner sees it
    sequence       bigint NOT NULL,      -- the number in the file's name, which wraps
    name           text NOT NULL,        -- with its folder
    trigger        text,                 -- the name of the file that says that this one is there
    trigger_text   bytea,
    after          bigint NOT NULL,      -- it covers the queue behind this position,
    "to"           bigint NOT NULL,      -- up to this one,
    seen           bigint NOT NULL,      -- as the queue was up to this one,
    known          bigint NOT NULL,      -- but with survivors, and what replaces unwritable values, as they were up to this one
    rows           bigint NOT NULL,
    unsaid         bigint NOT NULL,      -- events that the format can't say
    skipped        bigint NOT NULL,      -- events that a person left out
    restated       bigint NOT NULL,      -- events with the personal data of the patient's newest one
    replaced       bigint NOT NULL,      -- characters
    transliterated bigint NOT NULL,
    cut            bigint NOT NULL,      -- values
    blank          bigint NOT NULL,
    escaped        bigint NOT NULL,
    bytes          bigint NOT NULL,
    sha256         text NOT NULL,
    plain_sha256   text NOT NULL,        -- of what is sealed in it; without a seal the same
    content        bytea,                -- until it is delivered
    planned_at     timestamptz NOT NULL,
    placed_at      timestamptz,          -- it is there, the trigger may not be
    delivered_at   timestamptz,
    CHECK ((trigger IS NULL) = (trigger_text IS NULL)),
    CHECK (delivered_at IS NULL OR placed_at IS NOT NULL),
    CHECK (content IS NOT NULL OR delivered_at IS NOT NULL)
);

-- Files are written one after the other: the next is planned when this one is delivered.
CREATE UNIQUE INDEX file_undelivered ON file ((true)) WHERE delivered_at IS NULL;

-- +goose Down
DROP TABLE file, skipped, cursor, queue;
