package importer_test

import (
	"context"
	"testing"

	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/lab/await"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

// A small batch costs what is new, not what is known: it reads no table from end to end, be the planner's statistics
// of these tables there, or not yet, as in a catch-up.
func TestASmallBatchReadsNoTableWhole(t *testing.T) {
	t.Parallel()
	const known = 500
	for _, test := range []struct {
		consumer   string
		statistics string
	}{{"morgue", ""}, {"morgue", "ANALYZE"}, {"appointments", ""}, {"appointments", "ANALYZE"}} {
		t.Run(test.consumer+" "+test.statistics, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			files := morgue.Files()
			if test.consumer == "appointments" {
				files = appointments.Files()
			}
			consumer, err := importer.LoadConsumer(files)
			if err != nil {
				t.Fatal(err)
			}
			s.config.Consumer = consumer
			s.config.DatabaseURL = pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, test.consumer)
			s.connect(s.config.DatabaseURL)
			var all []logtest.State
			for n := range known {
				all = append(all, died(n+1))
			}
			s.Changes(all...)
			s.load()
			s.exec(`SET search_path = ` + test.consumer + `;
				INSERT INTO patient SELECT it.* FROM patient p, generate_series(1, 200) n, jsonb_populate_record(p, jsonb_build_object('patient_id', md5(p.patient_id::text || n)::uuid)) AS it;
				INSERT INTO notice SELECT patient_id, death_no, now(), false FROM patient ON CONFLICT DO NOTHING`)
			s.exec(test.statistics)
			before := s.counted(test.consumer)
			s.Changes(died(known + 1))
			merged := died(9)
			merged.Event, merged.Version, merged.MergedInto = schemas.Merged, 3, logtest.Patient(10)
			s.Changes(retracted(7), merged)
			s.Changes(died(known+2), died(known+3), retracted(8))
			s.load()
			after := s.counted(test.consumer)
			if read := after.scanned - before.scanned; read > 4*known { // a table of 500 rows is read faster than looked up
				t.Errorf("six events, with 200 times %d patients known: whole scans read %d rows", known, read)
			}
			s.load()
			if idle := s.counted(test.consumer); idle.made != after.made {
				t.Errorf("a run that found nothing new made tables: %d rows of pg_class, then %d", after.made, idle.made)
			}
		})
	}
}

// counters are PostgreSQL's counts for sessions that have ended.
type counters struct{ scanned, made int64 }

// counted waits until the importers' sessions have ended: PostgreSQL adds their counts only then, and this session's once a second.
func (s *site) counted(schema string) (c counters) {
	s.Helper()
	s.exec(`SELECT pg_stat_force_next_flush()`)
	await.SQL(s, s.conn, `NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'waybill %' AND datname = current_database())`)
	if err := s.conn.QueryRow(s.Context(), `
		SELECT coalesce(sum(seq_tup_read) FILTER (WHERE schemaname = $1 AND relname IN ('patient', 'notice', 'case_file', 'alert', 'vital', 'appointment', 'worklist')), 0),
		       sum(n_tup_ins) FILTER (WHERE relname = 'pg_class') FROM pg_stat_all_tables`, schema).Scan(&c.scanned, &c.made); err != nil {
		s.Fatal(err)
	}
	return c
}
