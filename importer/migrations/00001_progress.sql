-- +goose Up
-- How far a consumer is, and what its loads did. Unqualified: the search_path is the consumer's schema.

-- How far this consumer is. One row; it moves in the same transaction as the rows and effects.
CREATE TABLE checkpoint (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    stream        text NOT NULL,
    batch         bigint NOT NULL,            -- the last batch applied; -1 before the genesis
    hash          text NOT NULL,              -- sha256 of its manifest; '' before the genesis
    log_id        uuid,
    generation    integer NOT NULL DEFAULT 1,
    window_to     timestamptz,
    heartbeat     interval,
    applied_at    timestamptz NOT NULL,
    receipt       bigint NOT NULL DEFAULT -1, -- the last batch a receipt was written for
    pending_batch bigint,                     -- what is waited for, why, and since when
    pending_why   text,
    pending_since timestamptz,
    held_batch    bigint,                     -- a batch that a bound on effects stopped
    held_effects  jsonb,
    seen_batch    bigint,                     -- the batch that a run last named to a person, and the hash of its
    seen_hash     text                        -- manifest, which a decision by number is about; '' if unreadable
);

-- Who may load: the backend of the running importer. After the lease has expired, a successor
-- terminates exactly that backend, so that a frozen importer can't continue.
CREATE TABLE lease (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    pid           integer NOT NULL,
    backend_start timestamptz NOT NULL,
    role          name NOT NULL DEFAULT session_user, -- other roles can't see its start
    until         timestamptz NOT NULL
);

-- One row per batch that was applied or passed over, and one more for each time it was re-run.
CREATE TABLE ledger (
    batch       bigint NOT NULL,
    rerun       integer NOT NULL DEFAULT 0,
    hash        text NOT NULL,
    kind        text NOT NULL,
    generation  integer NOT NULL,
    window_from timestamptz,
    window_to   timestamptz,
    rows        bigint NOT NULL,              -- events of the subscribed types
    changed     bigint NOT NULL,              -- patients whose projected state changed
    quarantined bigint NOT NULL DEFAULT 0,
    effects     jsonb NOT NULL DEFAULT '{}',  -- counts by kind
    observed    boolean NOT NULL DEFAULT false,
    passed      boolean NOT NULL DEFAULT false,
    reason      text,                         -- of an approval or a pass
    person      text,
    started_at  timestamptz NOT NULL,
    applied_at  timestamptz NOT NULL,
    PRIMARY KEY (batch, rerun)
);

-- The effects of each batch, by patient; ids only.
CREATE TABLE effect_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream     text NOT NULL,
    batch      bigint NOT NULL,
    kind       text NOT NULL,
    patient_id uuid,
    death_no   integer,
    subject    text,
    observed   boolean NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX ON effect_log (patient_id);
CREATE INDEX ON effect_log (batch);

-- Rows set aside; their content stays in the part.
CREATE TABLE quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch      bigint NOT NULL,
    part       text NOT NULL,
    row        bigint NOT NULL,
    column_name text NOT NULL,
    reason     text NOT NULL,
    patient_id uuid,
    at         timestamptz NOT NULL
);

-- +goose Down
DROP TABLE quarantine, effect_log, ledger, lease, checkpoint;
