package plan_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/patients"
	"waybill/exporter/plan"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

// Many events that lie together are read in order, not sorted, without any statistics; others are sorted. Either way the batch has
// its own events alone, in the order of their positions, wherever their rows lie.
func TestABatchIsReadInOrder(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t, patients.Migrate, "patients"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const events = 60_000
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(`
		SET work_mem = '64kB'; SET enable_bitmapscan = off; -- as the exporter's connections have it
		ALTER TABLE patients.outbox SET (autovacuum_enabled = off);
		INSERT INTO patients.outbox (position, tx, event, baseline, patient_id, version, recorded_at, death_no, death_status, identifiers)
		OVERRIDING SYSTEM VALUE
		SELECT n, (CASE WHEN n <= 9999 THEN 3 WHEN n %% 2 = 0 THEN 4 WHEN n %% 4 = 1 THEN 5 ELSE 6 END)::text::xid8, 'registered', false, gen_random_uuid(), n, '2026-12-01', 0, 'none', '[]'
		FROM (SELECT i * 7919 %% %d + 1 AS n FROM generate_series(1, %[1]d) i) shuffled`, events)); err != nil {
		t.Fatal(err)
	}
	version := *schemas.PatientEvents()
	version.Columns = version.Columns[:0:0]
	for _, c := range schemas.PatientEvents().Columns {
		if c.Name == "version" {
			version.Columns = append(version.Columns, c)
		}
	}
	for tx, want := range map[int]struct {
		what   string
		sorted bool
	}{
		3: {"few enough to be sorted in memory", true},
		4: {"every second event of its range", false},
		5: {"events that lie apart", true},
	} {
		p := &plan.Plan{Kind: schemas.Changes, Before: plan.Cursor(fmt.Sprintf("%[1]d:%[1]d:", tx)), After: plan.Cursor(fmt.Sprintf("%[1]d:%[1]d:", tx+1))}
		var got, reference bytes.Buffer
		_, err := conn.PgConn().CopyTo(t.Context(), &reference, fmt.Sprintf(`COPY (SELECT version FROM patients.outbox WHERE tx = '%d' ORDER BY position) TO STDOUT (FORMAT binary)`, tx))
		if err != nil {
			t.Fatal(err)
		}
		before := pgtest.Spilled(t, conn)
		if err := p.Copy(t.Context(), plan.DB{Conn: conn, Stream: schemas.Stream}, &version, &got); err != nil {
			t.Fatal(err)
		}
		if sorted := pgtest.Spilled(t, conn) > before; sorted != want.sorted {
			t.Errorf("%s: sorted: %v, want %v", want.what, sorted, want.sorted)
		}
		if !bytes.Equal(got.Bytes(), reference.Bytes()) {
			t.Errorf("%s: %d bytes differ from the %d wanted", want.what, got.Len(), reference.Len())
		}
	}
	var settings string
	if err := conn.QueryRow(t.Context(), `SELECT current_setting('enable_sort')`).Scan(&settings); err != nil || settings != "on" {
		t.Errorf("afterwards: %s, %v", settings, err)
	}
}
