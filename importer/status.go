package importer

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/lastrun"
	"waybill/internal/migrate"
)

// Status is a consumer's position and state according to its database.
type Status struct {
	Consumer   string           `json:"consumer"`
	Stream     string           `json:"stream"`
	Moving     bool             `json:"moving,omitempty"` // this release follows a later stream; the next import begins it
	Batch      int64            `json:"batch"`            // the last applied one; -1 before the genesis
	Hash       string           `json:"hash"`
	Generation int64            `json:"generation"`
	WindowTo   time.Time        `json:"window_to"` // the source's state up to here is in
	AppliedAt  time.Time        `json:"applied_at"`
	Heartbeat  humanize.Seconds `json:"heartbeat_seconds"`

	Running      bool             `json:"running"` // an importer is running
	Held         *int64           `json:"held,omitempty"`
	HeldEffects  map[string]int64 `json:"held_effects,omitempty"`
	HeldHash     string           `json:"held_hash,omitempty"` // of its manifest
	Pending      *int64           `json:"pending,omitempty"`   // a batch that is incomplete on the store
	PendingWhy   string           `json:"pending_why,omitempty"`
	PendingSince *time.Time       `json:"pending_since,omitempty"`
	Quarantined  int64            `json:"quarantined"`
	Observed     int64            `json:"observed,omitempty"` // patients whose effects mode observe only recorded
	Now          time.Time        `json:"now"`                // the database's clock
	// Runs are how the last import and the last prune ended.
	Runs []lastrun.Run `json:"last_runs,omitempty"`

	command string // what a person types to load for the consumer
}

// ReadStatus returns the status of the consumer in this database. A consumer that has never
// run is at batch -1.
func ReadStatus(ctx context.Context, databaseURL string, consumer *Consumer) (Status, error) {
	s := Status{Consumer: consumer.Name, command: consumer.command(), Stream: consumer.Stream, Batch: -1}
	conn, err := connectTo(ctx, databaseURL, consumer, "status")
	if err != nil {
		return s, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if s.Runs, err = lastrun.Read(ctx, conn, lastRuns); err != nil {
		return s, err
	}
	var why *string
	var windowTo *time.Time
	var heartbeat *time.Duration
	err = conn.QueryRow(ctx, `
		SELECT stream, batch, hash, generation, window_to, heartbeat, applied_at, held_batch, held_effects, CASE WHEN held_batch = seen_batch THEN seen_hash ELSE '' END,
		    pending_batch, pending_why, pending_since, (SELECT count(*) FROM quarantine), (SELECT count(*) FROM observed), clock_timestamp(),
		    EXISTS (SELECT FROM lease JOIN pg_stat_activity a ON `+holdsLease+`)
		FROM checkpoint`).Scan(&s.Stream, &s.Batch, &s.Hash, &s.Generation, &windowTo, &heartbeat, &s.AppliedAt, &s.Held, &s.HeldEffects, &s.HeldHash,
		&s.Pending, &why, &s.PendingSince, &s.Quarantined, &s.Observed, &s.Now, &s.Running)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, fault.Database("read", "checkpoint of "+consumer.Name, err)
	}
	s.Moving = s.Stream != consumer.Stream
	if why != nil {
		s.PendingWhy = *why
	}
	if windowTo != nil {
		s.WindowTo, s.Heartbeat = *windowTo, humanize.Seconds(*heartbeat)
	}
	return s, nil
}

const lastRuns = "last_run"

// NoteRun keeps how a run ended, for [ReadStatus].
func NoteRun(ctx context.Context, databaseURL string, consumer *Consumer, run lastrun.Run) error {
	conn, err := connectTo(ctx, databaseURL, consumer, run.Work)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return lastrun.Note(ctx, conn, lastRuns, run)
}

// Decide keeps a person's decision.
func Decide(ctx context.Context, databaseURL string, consumer *Consumer, d decision.Decision) error {
	conn, err := connectTo(ctx, databaseURL, consumer, d.Kind)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return decision.Note(ctx, conn, consumer.Name, d)
}

// Trace is what a consumer knows of one patient, and its effects: ids and states, no personal data.
type Trace struct {
	Consumer    string         `json:"consumer"`
	Known       bool           `json:"known"`
	Generation  int64          `json:"generation"`
	Version     int64          `json:"version"`
	DeathNo     int32          `json:"death_no"`
	DeathStatus string         `json:"death_status"` // or erased
	MergedInto  *string        `json:"merged_into,omitempty"`
	Effects     []TracedEffect `json:"effects"`
}

// TracedEffect is a row of effect_log.
type TracedEffect struct {
	Batch    int64     `json:"batch"`
	Kind     string    `json:"kind"`
	DeathNo  *int32    `json:"death_no,omitempty"`
	Subject  *string   `json:"subject,omitempty"`
	Observed bool      `json:"observed"`
	At       time.Time `json:"at"`
}

// ReadTrace follows one patient, given by UUID, through the consumer's database.
func ReadTrace(ctx context.Context, databaseURL string, consumer *Consumer, patient string) (Trace, error) {
	t := Trace{Consumer: consumer.Name}
	conn, err := connectTo(ctx, databaseURL, consumer, "trace")
	if err != nil {
		return t, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if consumer.Append == "" {
		err = conn.QueryRow(ctx, `SELECT generation, version, death_no, CASE event WHEN 'erased' THEN event ELSE death_status END, merged_into::text FROM patient WHERE patient_id = $1`, patient).
			Scan(&t.Generation, &t.Version, &t.DeathNo, &t.DeathStatus, &t.MergedInto)
		t.Known = err == nil
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return t, fault.Database("trace", "projection of "+consumer.Name, err)
		}
	}
	rows, err := conn.Query(ctx, `SELECT batch, kind, death_no, subject, observed, at FROM effect_log WHERE patient_id = $1 ORDER BY id`, patient)
	if err == nil {
		t.Effects, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TracedEffect])
	}
	return t, fault.Database("trace", "effects of "+consumer.Name, err)
}

func connectTo(ctx context.Context, databaseURL string, consumer *Consumer, purpose string) (*pgx.Conn, error) {
	return openTables(ctx, databaseURL, consumer, map[string]string{"application_name": "waybill " + purpose})
}

// openTables connects to a consumer's tables, if they are of this release.
func openTables(ctx context.Context, databaseURL string, consumer *Consumer, settings map[string]string) (*pgx.Conn, error) {
	settings["search_path"] = consumer.Name
	return migrate.Connect(ctx, databaseURL, consumer.Name+" database", settings, consumer.CheckTables)
}
