package patients_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exporter/patients"
	"waybill/lab/pg/pgtest"
)

// Windows go through all patients, each on from the last one's end, also where one patient has more events than a window; and
// PostgreSQL finds their ends without sorting, though it has no statistics.
func TestWindowsGoThroughAllPatients(t *testing.T) {
	t.Parallel()
	s := connect(t, migrated(t))
	s.do(`ALTER TABLE patients.outbox SET (autovacuum_enabled = off);
		INSERT INTO patients.outbox (event, baseline, patient_id, version, recorded_at, death_no, death_status, identifiers)
		SELECT 'registered', false, CASE WHEN n % 3 = 0 THEN {d} ELSE gen_random_uuid() END, n, '2026-12-01', 0, 'none', '[]' FROM generate_series(1, 12000) n;
		SET work_mem = '64kB'; SET enable_bitmapscan = off`)
	before := pgtest.Spilled(t, s.Conn)
	var windows []patients.Window
	for from, last := uuid.Nil, false; !last; from = windows[len(windows)-1].To {
		w, err := patients.NextWindow(t.Context(), s.Conn, from, 100)
		if err != nil || w.From != from || len(windows) > 100 {
			t.Fatalf("after %d windows: %v, %v", len(windows), w, err)
		}
		windows, last = append(windows, w), w.Last()
	}
	if after := pgtest.Spilled(t, s.Conn); after != before {
		t.Errorf("PostgreSQL made %d files to sort in", after-before)
	}
	for _, w := range windows[:len(windows)-1] {
		rows, _ := s.Query(t.Context(), `SELECT count(*) FROM patients.outbox WHERE patient_id > $1 AND patient_id < $2`, w.From, w.To)
		if events, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64]); err != nil || events > 100 {
			t.Errorf("%d events within a window, %v", events, err)
		}
	}
}
