package exporter

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/health"
)

// Status is what the patients service's database says of the log.
type Status struct {
	Batch      int64      `json:"batch"` // the last published; -1 before the genesis
	Generation int32      `json:"generation"`
	WindowTo   time.Time  `json:"window_to"`
	Planned    *int64     `json:"planned,omitempty"` // a batch that an interrupted run left unpublished
	Waiting    int64      `json:"waiting"`           // committed events in no batch yet
	Oldest     *time.Time `json:"oldest,omitempty"`  // when the oldest of them was recorded
	Now        time.Time  `json:"now"`               // the database's clock
	// Ailing is how the store looked from machines whose last run failed to use it.
	Ailing []health.Store `json:"ailing,omitempty"`
}

// ReadStatus returns where the exporter of this database stands.
func ReadStatus(ctx context.Context, databaseURL string) (Status, error) {
	s := Status{Batch: -1}
	conn, err := connectTo(ctx, databaseURL, "status")
	if err != nil {
		return s, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	cursor := "1:1:"
	err = conn.QueryRow(ctx, `
		SELECT p.batch, p.generation, p.window_to, p.cursor_after::text, (SELECT batch FROM exporter.plan WHERE published_at IS NULL)
		FROM exporter.plan p WHERE p.published_at IS NOT NULL ORDER BY p.batch DESC LIMIT 1`).
		Scan(&s.Batch, &s.Generation, &s.WindowTo, &cursor, &s.Planned)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fault.Database("read", "exporter.plan", err)
	}
	if s.Ailing, err = health.Read(ctx, conn, healthTable); err != nil {
		return s, err
	}
	var now string
	if err := conn.QueryRow(ctx, `SELECT pg_current_snapshot()::text, clock_timestamp()`).Scan(&now, &s.Now); err != nil {
		return s, fault.Database("read", "cursor", err)
	}
	err = conn.QueryRow(ctx, `SELECT count(*), min(recorded_at) FROM patients.outbox WHERE `+between(cursor, now)).Scan(&s.Waiting, &s.Oldest)
	return s, fault.Database("count", "outbox", err)
}

// TracedEvent is an event of one patient: no personal data.
type TracedEvent struct {
	Version    int64     `json:"version"`
	Event      string    `json:"event"`
	DeathNo    int32     `json:"death_no"`
	Baseline   bool      `json:"baseline"`
	RecordedAt time.Time `json:"recorded_at"`
	Batch      *int64    `json:"batch"`            // nil: in none yet, or in one that was pruned
	Pruned     *int64    `json:"pruned,omitempty"` // it went out in a batch below this one
}

// ReadTrace returns the events of one patient, given by UUID, and the batches they went out in.
func ReadTrace(ctx context.Context, databaseURL, patient string) ([]TracedEvent, error) {
	conn, err := connectTo(ctx, databaseURL, "trace")
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		SELECT version, event, death_no, baseline, recorded_at, CASE WHEN gone.batch IS NULL THEN
		    (SELECT min(batch) FROM exporter.plan WHERE kind <> 'genesis' AND published_at IS NOT NULL AND pg_visible_in_snapshot(tx, cursor_after)) END,
		    gone.batch
		FROM patients.outbox LEFT JOIN LATERAL (
		    SELECT f.batch FROM exporter.floor f JOIN exporter.plan p USING (batch)
		    WHERE pg_visible_in_snapshot(tx, p.cursor_before) ORDER BY f.batch DESC LIMIT 1) AS gone ON true
		WHERE patient_id = $1 ORDER BY version`, patient)
	if err != nil {
		return nil, fault.Database("trace", "outbox", err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TracedEvent])
	return events, fault.Database("trace", "outbox", err)
}

func connectTo(ctx context.Context, databaseURL, purpose string) (*pgx.Conn, error) {
	return connect.To(ctx, databaseURL, "patients database", map[string]string{"application_name": "waybill " + purpose})
}
