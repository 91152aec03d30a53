package register

import (
	"context"
	"slices"
	"time"

	"waybill/internal/fault"
	"waybill/internal/lastrun"
	"waybill/internal/migrate"
)

// Status is what the register says about a partner's files.
type Status struct {
	TakenAt *time.Time `json:"taken_at,omitempty"` // when a file was last taken
	LastRun *time.Time `json:"last_run,omitempty"`
	Held    []Held     `json:"held,omitempty"` // files that the last run still saw
	// Waiting counts the other files that the last run saw and did not take. The next two fields are about the file
	// that was seen first.
	Waiting int64      `json:"waiting"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	Why     string     `json:"why,omitempty"`
	Missing int64      `json:"missing"` // numbers that were skipped
	First   *int64     `json:"first_missing,omitempty"`
	Refused int64      `json:"refused"`     // whole files that await a person's decision
	Records int64      `json:"quarantined"` // records that await a person's decision
	Now     time.Time  `json:"now"`         // the database's clock
	// Runs say how the last runs ended.
	Runs []lastrun.Run `json:"last_runs,omitempty"`
}

const lastRuns = schema + ".last_run"

// Work returns the name of a partner's intake among the last runs.
func Work(partner string) string { return "intake of " + partner }

// NoteRun keeps how an intake ended, for [ReadStatus].
func NoteRun(ctx context.Context, databaseURL string, run lastrun.Run) error {
	conn, err := migrate.Connect(ctx, databaseURL, run.Work, map[string]string{"application_name": "waybill intake"}, CheckTables)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return lastrun.Note(ctx, conn, lastRuns, run)
}

// ReadStatus returns the state of a partner's intake. It gives a missing number as an ordinal.
func ReadStatus(ctx context.Context, databaseURL, partner string) (s Status, err error) {
	conn, err := migrate.Connect(ctx, databaseURL, partner, map[string]string{"application_name": "waybill status"}, CheckTables)
	if err != nil {
		return s, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `
		WITH seen AS (SELECT * FROM intake.sighting s WHERE partner = $1
		    AND NOT EXISTS (SELECT FROM intake.held h WHERE h.partner = s.partner AND h.name = s.name)),
		missed AS (SELECT count(*), min(ordinal) FROM intake.missing WHERE partner = $1),
		aside AS (SELECT count(*) FILTER (WHERE NOT record) AS files, count(*) FILTER (WHERE record) AS records
		    FROM intake.quarantine WHERE partner = $1 AND status = 'open')
		SELECT (SELECT taken_at FROM intake.partner WHERE partner = $1), (SELECT max(ended_at) FROM intake.last_run WHERE work = $2),
		    (SELECT count(*) FROM seen), (SELECT min(first_seen) FROM seen), coalesce((SELECT why FROM seen ORDER BY first_seen, name LIMIT 1), ''),
		    missed.count, missed.min, aside.files, aside.records, clock_timestamp()
		FROM missed, aside`, partner, Work(partner)).
		Scan(&s.TakenAt, &s.LastRun, &s.Waiting, &s.Oldest, &s.Why, &s.Missing, &s.First, &s.Refused, &s.Records, &s.Now)
	if err == nil {
		s.Held, err = held(ctx, conn, partner, true)
	}
	if err != nil {
		return s, fault.Database("read", "register of "+partner, err)
	}
	runs, err := lastrun.Read(ctx, conn, lastRuns)
	s.Runs = slices.DeleteFunc(runs, func(r lastrun.Run) bool { return r.Work != Work(partner) })
	return s, err
}
