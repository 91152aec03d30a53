package exporter

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/plan"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/lastrun"
	"waybill/internal/migrate"
	"waybill/schemas"
)

// Status is what the patients service's database says about the log.
type Status struct {
	Stream     string     `json:"stream"`
	Retired    bool       `json:"retired,omitempty"` // the last published batch ends the stream
	Batch      int64      `json:"batch"`             // the last published one; -1 before the genesis
	Hash       string     `json:"hash"`              // of its manifest
	Generation int32      `json:"generation"`
	WindowTo   time.Time  `json:"window_to"`
	Planned    *int64     `json:"planned,omitempty"` // a batch that an interrupted run left unpublished
	Waiting    int64      `json:"waiting"`           // committed events in no batch yet
	Oldest     *time.Time `json:"oldest,omitempty"`  // when the oldest of them was recorded
	Floor      int64      `json:"floor"`             // the newest that this database has announced; 0: none
	Now        time.Time  `json:"now"`               // the database's clock
	// Runs are how the last export, snapshot and prune ended.
	Runs []lastrun.Run `json:"last_runs,omitempty"`
}

const lastRuns = "exporter.last_run"

// ReadStatus returns where the exporter of this database stands with a stream.
func ReadStatus(ctx context.Context, databaseURL, stream string) (Status, error) {
	s := Status{Stream: stream, Batch: -1}
	conn, err := connectTo(ctx, databaseURL, "status")
	if err != nil {
		return s, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	cursor := plan.BeforeAll
	err = conn.QueryRow(ctx, `
		SELECT p.batch, p.kind = 'retired', p.manifest_sha256, p.generation, p.window_to, p.cursor_after::text, (SELECT batch FROM exporter.plan WHERE stream = $1 AND published_at IS NULL)
		FROM exporter.plan p WHERE p.stream = $1 AND p.published_at IS NOT NULL ORDER BY p.batch DESC LIMIT 1`, stream).
		Scan(&s.Batch, &s.Retired, &s.Hash, &s.Generation, &s.WindowTo, &cursor, &s.Planned)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fault.Database("read", "exporter.plan", err)
	}
	if s.Runs, err = lastrun.Read(ctx, conn, lastRuns); err != nil {
		return s, err
	}
	var now plan.Cursor
	err = conn.QueryRow(ctx, `SELECT pg_current_snapshot()::text, clock_timestamp(), (SELECT coalesce(max(batch), 0) FROM exporter.floor WHERE stream = $1)`, stream).Scan(&now, &s.Now, &s.Floor)
	if err != nil {
		return s, fault.Database("read", "cursor", err)
	}
	err = conn.QueryRow(ctx, `SELECT count(*), min(recorded_at) FROM patients.outbox WHERE `+plan.Between(cursor, now)).Scan(&s.Waiting, &s.Oldest)
	return s, fault.Database("count", "outbox", err)
}

// Published is a batch that this database has planned, and when it was published; nil: not yet.
type Published struct {
	Batch       int64
	WindowFrom  time.Time
	Events      *int64 // nil until it is written
	PublishedAt *time.Time
}

// ReadPublished returns the plans of a stream from a batch on.
func ReadPublished(ctx context.Context, databaseURL, stream string, from int64) ([]Published, error) {
	conn, err := connectTo(ctx, databaseURL, "status")
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, _ := conn.Query(ctx, `SELECT batch, window_from, events, published_at FROM exporter.plan WHERE stream = $1 AND batch >= $2 ORDER BY batch`, stream, from)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Published])
	return list, fault.Database("read", "exporter.plan", err)
}

// NoteRun keeps how a run ended, for [ReadStatus].
func NoteRun(ctx context.Context, databaseURL string, run lastrun.Run) error {
	conn, err := connectTo(ctx, databaseURL, run.Work)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return lastrun.Note(ctx, conn, lastRuns, run)
}

// Decide keeps a person's decision.
func Decide(ctx context.Context, databaseURL string, d decision.Decision) error {
	conn, err := connectTo(ctx, databaseURL, d.Kind)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return decision.Note(ctx, conn, "exporter", d)
}

// Known is what this database knows of a consumer's receipt.
type Known struct {
	Instance string
	Batch    int64     // of the receipt that is on the store now, or of the last that was seen
	Hash     string    // of that batch's manifest, as this database published it; "": it can't tell
	SeenAt   time.Time // when that receipt was first seen
	Moved    string    // the later stream that it has receipts on; "": none
	Cut      string    // how a later receipt showed that the end of its record of decisions is gone; "": none did
}

// noteConsumers stores the newest batch of each instance on a stream, and returns all that were ever seen. Others look at the
// same time and may have stored another batch meanwhile: a receipt is compared with the batch that it names.
func noteConsumers(ctx context.Context, conn *pgx.Conn, stream string, batches map[string]int64) ([]Known, error) {
	_, err := conn.Exec(ctx, `
		INSERT INTO exporter.consumer AS c (stream, instance, batch, seen_at) SELECT $2, key, value::bigint, clock_timestamp() FROM jsonb_each_text($1)
		ON CONFLICT (stream, instance) DO UPDATE SET batch = excluded.batch, seen_at = excluded.seen_at WHERE c.batch <> excluded.batch`, batches, stream)
	if err != nil {
		return nil, fault.Database("note", "consumers", err)
	}
	rows, _ := conn.Query(ctx, `
		SELECT c.instance, coalesce(n.value::bigint, c.batch), coalesce(p.manifest_sha256, ''), c.seen_at,
		    coalesce((SELECT max(later.stream) FROM exporter.consumer later WHERE later.instance = c.instance AND array_position($2::text[], later.stream) > array_position($2, c.stream)), ''),
		    CASE WHEN c.cut THEN format('it had reported %s decisions, the last of them %s, and then fewer or others', c.decisions, left(c.decided, 8)) ELSE '' END
		FROM exporter.consumer c LEFT JOIN jsonb_each_text($3) n ON n.key = c.instance
		LEFT JOIN exporter.plan p ON (p.stream, p.batch) = (c.stream, coalesce(n.value::bigint, c.batch)) AND p.published_at IS NOT NULL
		WHERE c.stream = $1 ORDER BY 1`, stream, schemas.Streams(), batches)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Known])
	return list, fault.Database("read", "consumers", err)
}

// Forget removes a consumer that is out of service, so that `status` no longer reports it as missing.
func Forget(ctx context.Context, databaseURL, instance string) error {
	conn, err := connectTo(ctx, databaseURL, "status")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tag, err := conn.Exec(ctx, `DELETE FROM exporter.consumer WHERE instance = $1`, instance)
	if err == nil && tag.RowsAffected() == 0 {
		return fault.New(fault.Usage, "forget", instance, errors.New("no receipt of it was ever seen"), "`waybill status` lists the consumers")
	}
	return fault.Database("forget", instance, err)
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
func ReadTrace(ctx context.Context, databaseURL, stream, patient string) ([]TracedEvent, error) {
	conn, err := connectTo(ctx, databaseURL, "trace")
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, _ := conn.Query(ctx, `
		SELECT version, event, death_no, baseline, recorded_at, CASE WHEN gone.batch IS NULL THEN
		    (SELECT min(batch) FROM exporter.plan WHERE stream = $2 AND kind <> 'genesis' AND published_at IS NOT NULL AND pg_visible_in_snapshot(tx, cursor_after)) END,
		    gone.batch
		FROM patients.outbox LEFT JOIN LATERAL (
		    SELECT f.batch FROM exporter.floor f JOIN exporter.plan p USING (stream, batch)
		    WHERE f.stream = $2 AND pg_visible_in_snapshot(tx, p.cursor_before) ORDER BY f.batch DESC LIMIT 1) AS gone ON true
		WHERE patient_id = $1 ORDER BY version`, patient, stream)
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TracedEvent])
	return events, fault.Database("trace", "outbox", err)
}

func connectTo(ctx context.Context, databaseURL, purpose string) (*pgx.Conn, error) {
	return open(ctx, databaseURL, map[string]string{"application_name": "waybill " + purpose})
}

// open connects to tables of this release. Of a new outbox PostgreSQL has no statistics, and would make a bitmap of all its events to
// find the first.
func open(ctx context.Context, databaseURL string, settings map[string]string) (*pgx.Conn, error) {
	settings["enable_bitmapscan"] = "off"
	return migrate.Connect(ctx, databaseURL, "patients database", settings, CheckTables)
}

// SealedTo returns the newest batch from the database's own floor on that is planned to be sealed to a key; -1: none is. It also
// returns that floor.
func SealedTo(ctx context.Context, databaseURL, stream, key string) (floor, batch int64, err error) {
	conn, err := connectTo(ctx, databaseURL, "keys")
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if floor, err = (plan.DB{Conn: conn, Stream: stream}).Floor(ctx); err != nil {
		return 0, 0, err
	}
	err = conn.QueryRow(ctx, `SELECT coalesce(max(batch), -1) FROM exporter.plan WHERE stream = $1 AND batch >= $2 AND events IS DISTINCT FROM 0
		AND position(to_jsonb($3::text)::text IN seal::text) > 0`, stream, floor, key).Scan(&batch)
	return floor, batch, fault.Database("read", "exporter.plan", err)
}
