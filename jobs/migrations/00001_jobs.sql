-- +goose Up

-- What is remembered of each job between its runs, on whichever machine they are.
CREATE TABLE job (
    name       text PRIMARY KEY,
    ticked_at  timestamptz NOT NULL,                -- the next tick counts from here
    failures   integer NOT NULL DEFAULT 0,          -- transient ones in a row
    retry_at   timestamptz,
    paused_at  timestamptz,
    paused_by  text,
    paused_why text
);

-- Every run that was asked for, and the history of those that ended.
CREATE TABLE run (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job           text NOT NULL,
    arguments     text[] NOT NULL DEFAULT '{}',
    cause         text NOT NULL CHECK (cause IN ('tick', 'retry', 'person', 'taken over', 'handed back')),
    attempt       integer NOT NULL DEFAULT 1,       -- grows with each machine that was lost under it
    person        text,
    reason        text,
    queued_at     timestamptz NOT NULL DEFAULT clock_timestamp(),

    delivery      bigint,                           -- the row of river_job that hands it to a machine
    delivered_at  timestamptz,

    machine       text,
    started_at    timestamptz,
    pid           integer,                          -- the backend that stands for the machine's life,
    backend_start timestamptz,                      -- beyond doubt: process ids are used again
    role          name,                             -- of that backend: others don't see when it started
    until         timestamptz,                      -- the lease
    done          bigint,
    total         bigint,
    cancelled_by  text,
    cancelled_why text,

    finished_at   timestamptz,
    outcome       text CHECK (outcome IN ('done', 'nothing', 'busy', 'failed', 'cancelled', 'handed back', 'lost')),
    class         text,
    message       text,
    hint          text,

    CHECK ((finished_at IS NULL) = (outcome IS NULL)),
    CHECK ((started_at IS NULL) = (until IS NULL))
);

-- No job runs twice at the same time.
CREATE UNIQUE INDEX run_at_work ON run (job) WHERE started_at IS NOT NULL AND finished_at IS NULL;
-- Nothing waits twice.
CREATE UNIQUE INDEX run_waiting ON run (job, arguments) WHERE started_at IS NULL AND finished_at IS NULL;
CREATE INDEX run_ended ON run (job, finished_at) WHERE finished_at IS NOT NULL;
