// Package lastrun keeps, in a party's own database, how its last runs ended, so that `status` shows
// it on any machine, also for runs that cron started.
package lastrun

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// Migrate makes the table last_run in the schema that is being migrated.
var Migrate = migrate.Statement(`CREATE TABLE IF NOT EXISTS last_run (
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
)`)

// Run is how the last run of one kind of work ended.
type Run struct {
	Work    string    `json:"work"`    // "export", "import", "prune"
	Machine string    `json:"machine"` // where it ran
	EndedAt time.Time `json:"ended_at"`
	// Since is the end of the first run of the present series: all its runs, up to this one, have
	// failed, or all have succeeded.
	Since time.Time `json:"since"`
	Class string    `json:"class,omitempty"` // of its error; "": it succeeded
	Error string    `json:"error,omitempty"` // its text, with no data of patients
	Hint  string    `json:"hint,omitempty"`
	// StoreFailures counts the attempts on the store that have failed in a row, and Breaker is the state
	// of the store's circuit breaker.
	StoreFailures int    `json:"store_failures,omitempty"`
	Breaker       string `json:"breaker,omitempty"`
}

// Failed reports whether the run ended with an error.
func (r Run) Failed() bool { return r.Class != "" }

// longest bounds an error's text.
const longest = 2000

// Of describes a run of that work on this machine: its error, which may be nil, how often the store failed
// in a row, and the state of its circuit breaker.
func Of(work string, err error, storeFailures int, breaker string) (Run, error) {
	machine, failed := os.Hostname()
	if failed != nil {
		return Run{}, fault.New(fault.Transient, "note", "last run", failed, "")
	}
	r := Run{Work: work, Machine: machine, StoreFailures: storeFailures, Breaker: breaker}
	if err != nil {
		r.Class, r.Error, r.Hint = fault.ClassOf(err).String(), cut(err.Error()), cut(fault.HintOf(err))
	}
	return r, nil
}

// cut shortens a text for a row, and drops what PostgreSQL can't hold.
func cut(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text[:min(len(text), longest)], ""), "\x00", "")
}

// remembered is how long the row of a failed machine that no longer runs is kept.
const remembered = 24 * time.Hour

// Note writes the run into the table, in place of the machine's previous one. Other machines' rows stay
// only if they failed: one machine's success says nothing about another's disk or key.
func Note(ctx context.Context, conn *pgx.Conn, table string, r Run) error {
	_, err := conn.Exec(ctx, `
		WITH last AS (SELECT * FROM `+table+` WHERE work = $1 ORDER BY ended_at DESC LIMIT 1),
		gone AS (DELETE FROM `+table+` WHERE work = $1 AND machine <> $2 AND (class = '' OR ended_at < clock_timestamp() - $8::interval))
		INSERT INTO `+table+` AS t (work, machine, ended_at, since, failures, class, error, hint, store_failures, breaker)
		VALUES ($1, $2, clock_timestamp(), coalesce((SELECT since FROM last WHERE (class = '') = ($3 = '')), clock_timestamp()),
		    CASE $3 WHEN '' THEN 0 ELSE 1 END, $3, $4, $5, CASE $6::integer WHEN 0 THEN 0 ELSE $6 + coalesce((SELECT store_failures FROM last), 0) END, $7)
		ON CONFLICT (work, machine) DO UPDATE SET ended_at = excluded.ended_at,
		    since = CASE WHEN (t.class = '') = (excluded.class = '') THEN least(t.since, excluded.since) ELSE excluded.since END,
		    failures = CASE excluded.class WHEN '' THEN 0 ELSE t.failures + 1 END,
		    class = excluded.class, error = excluded.error, hint = excluded.hint,
		    store_failures = excluded.store_failures, breaker = excluded.breaker`,
		r.Work, r.Machine, r.Class, r.Error, r.Hint, r.StoreFailures, r.Breaker, remembered)
	return fault.Database("note", "last run", err)
}

// Read returns the last run of each kind of work, and before it the runs of other machines that keep failing. If a
// machine failed only once and another succeeded afterwards, it is left out: this happens when a pod is replaced.
func Read(ctx context.Context, conn *pgx.Conn, table string) ([]Run, error) {
	rows, _ := conn.Query(ctx, `
		SELECT work, machine, ended_at, since, class, error, hint, store_failures, breaker FROM `+table+`
		WHERE (work, ended_at) IN (SELECT work, max(ended_at) FROM `+table+` GROUP BY work)
		   OR failures > 1 AND ended_at > clock_timestamp() - $1::interval
		ORDER BY work, ended_at`, remembered)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Run])
	return list, fault.Database("read", "last runs", err)
}
