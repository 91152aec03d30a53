package importer

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"waybill/lab/pg/pgtest"
)

// TestManyFirstDeathsAreNotComparedInPairs has thousands die where PostgreSQL's statistics know of nobody who is dead. It fails for
// `changed JOIN patient p LEFT JOIN seen s` with a condition on p alone: the planner then expects one dead patient.
func TestManyFirstDeathsAreNotComparedInPairs(t *testing.T) {
	t.Parallel()
	consumer, err := LoadConsumer(fstest.MapFS{
		"consumer.yaml":       {Data: []byte("name: mirror\nevents: [registered, died]\n")},
		"apply.sql":           {Data: []byte("SELECT;")},
		"migrations/1_up.sql": {Data: []byte("-- +goose Up\nSELECT;")},
	})
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t, func(ctx context.Context, url string) error { return Migrate(ctx, url, consumer) }, "mirror")
	i, err := New(Config{DatabaseURL: url, Consumer: consumer})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := i.connect(t.Context(), importName, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO patient (patient_id, generation, version, revision, baseline, event, recorded_at, death_no, death_status, identifiers)
			SELECT md5(n::text)::uuid, 1, 1, 0, false, 'registered', now(), 0, 'none', '[]' FROM generate_series(1, 50000) n`,
		`ANALYZE patient`,
		i.sql.temporary,
		`INSERT INTO run VALUES (2, 1, 'changes', now(), '1 day', 'UTC')`,
		`UPDATE patient SET death_no = 1, death_status = 'informal', version = 2, event = 'died' WHERE patient_id < '10000000-0000-0000-0000-000000000000'`,
		`INSERT INTO staging SELECT s.* FROM patient p, jsonb_populate_record(NULL::pg_temp.staging, to_jsonb(p)) s WHERE p.event = 'died'`,
		`INSERT INTO changed SELECT patient_id FROM staging`,
		`ANALYZE run; ANALYZE staging (patient_id, event); ANALYZE changed`,
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	rows, _ := tx.Query(t.Context(), "EXPLAIN "+notice("staging", touched))
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if strings.Contains(line, "Join Filter") && strings.Contains(line, "patient_id") {
			t.Errorf("each of 3,000 is compared with each: %s\n%s", line, strings.Join(lines, "\n"))
		}
	}
}
