-- +goose Up

-- Each job's state between its runs, for all machines.
CREATE TABLE job (
    name       text PRIMARY KEY,
    ticked_at  timestamptz NOT NULL,                -- the next tick counts from here
    covered_at timestamptz,                         -- the start of the last successful run
    paused_at  timestamptz,
    paused_by  text,
    paused_why text
);

-- Which machine is running a job. The key prevents a job from running twice at the same time.
CREATE TABLE lease (
    job           text PRIMARY KEY,
    run           bigint NOT NULL UNIQUE REFERENCES river_job ON DELETE CASCADE,
    machine       text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid           integer NOT NULL,                 -- the backend that stands for the machine's life,
    backend_start timestamptz NOT NULL,             -- without doubt: process ids are used again
    role          name NOT NULL,                    -- of that backend: other roles can't see when it started
    until         timestamptz NOT NULL,
    done          bigint NOT NULL DEFAULT 0,
    total         bigint NOT NULL DEFAULT 0,        -- 0: not known
    cancelled_by  text
);

-- Every run, from the time it was asked for; read only. The rows are in River's table: the request in args, the
-- outcome in metadata.
CREATE VIEW run AS
SELECT q.id, q.args->>'job' AS job, q.args->'arguments' AS arguments, q.args->>'cause' AS cause,
    q.args->>'person' AS person, q.args->>'reason' AS reason, q.created_at AS queued_at, q.scheduled_at AS due_at,
    coalesce(l.machine, q.metadata->>'machine') AS machine,
    coalesce(l.started_at, (q.metadata->>'started_at')::timestamptz) AS started_at,
    q.finalized_at AS finished_at,
    coalesce(l.done, (q.metadata->>'done')::bigint, 0) AS done,
    coalesce(l.total, (q.metadata->>'total')::bigint, 0) AS total,
    CASE WHEN q.finalized_at IS NOT NULL THEN coalesce(q.metadata->>'outcome', 'lost') END AS outcome,
    q.metadata->>'class' AS class, q.metadata->>'message' AS message, q.metadata->>'hint' AS hint, q.metadata->'output' AS output
FROM river_job q LEFT JOIN lease l ON l.run = q.id
WHERE q.kind = 'run';

-- For reading the history from its end, of one job or of all.
CREATE INDEX run_ended_of_job ON river_job ((args->>'job'), finalized_at) WHERE finalized_at IS NOT NULL;
CREATE INDEX run_ended ON river_job (finalized_at) WHERE finalized_at IS NOT NULL;
CREATE INDEX run_open ON river_job ((args->>'job')) WHERE finalized_at IS NULL;
