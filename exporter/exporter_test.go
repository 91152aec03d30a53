package exporter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

func TestMain(m *testing.M) { pgtest.Main(m, hosttest.Stop) }

// site is a patients service with an exchange folder.
type site struct {
	testing.TB
	url    string
	root   string // of the exchange, on disk, for DuckDB
	store  exchange.Store
	config exporter.Config
	conn   *pgx.Conn
}

func migrate(ctx context.Context, url string) error {
	return errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url))
}

func newSite(t testing.TB) *site {
	return siteAt(t, pgtest.Database(t, migrate, "patients"), hosttest.New(t))
}

func siteAt(t testing.TB, url string, place hosttest.Exchange) *site {
	s := &site{TB: t, url: url, root: place.Path, store: place.Open(t)}
	s.config = exporter.Config{DatabaseURL: url, Store: s.store, Spool: t.TempDir(), Heartbeat: time.Hour}
	s.config.Delete, _ = s.store.(exchange.Deleter)
	s.conn = s.connect()
	return s
}

func (s *site) connect() *pgx.Conn {
	s.Helper()
	return connectTo(s, s.url)
}

func connectTo(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (s *site) exec(sql string, arguments ...any) {
	s.Helper()
	if _, err := s.conn.Exec(s.Context(), sql, arguments...); err != nil {
		s.Fatal(err)
	}
}

func (s *site) exporter() *exporter.Exporter {
	s.Helper()
	e, err := exporter.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

func (s *site) export() exporter.Summary {
	s.Helper()
	summary, err := s.exporter().Run(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// register adds n patients in one transaction each and returns the last one's id.
func (s *site) register(n int) (id uuid.UUID) {
	s.Helper()
	for range n {
		if err := s.conn.QueryRow(s.Context(), `INSERT INTO patients.patient (family_name) VALUES ('Test') RETURNING id`).Scan(&id); err != nil {
			s.Fatal(err)
		}
	}
	return id
}

func (s *site) events() []logtest.Event {
	s.Helper()
	events, err := logtest.Events(s.Context(), s.store)
	if err != nil {
		s.Fatal(err)
	}
	return events
}

func (s *site) last() *exchange.Entry {
	s.Helper()
	entry, err := exchange.NewReader(s.store).Last(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return entry
}

// version is one event in the outbox's terms.
type version struct {
	Patient uuid.UUID
	Version int64
}

// outbox returns the committed events.
func (s *site) outbox() map[version]bool {
	s.Helper()
	rows, err := s.conn.Query(s.Context(), `SELECT patient_id, version FROM patients.outbox`)
	if err != nil {
		s.Fatal(err)
	}
	committed := map[version]bool{}
	var v version
	if _, err := pgx.ForEachRow(rows, []any{&v.Patient, &v.Version}, func() error { committed[v] = true; return nil }); err != nil {
		s.Fatal(err)
	}
	return committed
}

// exactlyOnce compares the delivered events, in order, with the committed ones.
func exactlyOnce(committed map[version]bool, delivered []logtest.Event) error {
	seen := map[version]bool{}
	newest := map[uuid.UUID]logtest.Event{}
	for _, e := range delivered {
		v := version{e.Patient, e.Version}
		switch last := newest[e.Patient]; {
		case seen[v]:
			return fmt.Errorf("doubled: %v", e)
		case !committed[v]:
			return fmt.Errorf("never committed: %v", e)
		case e.Version < last.Version && e.Batch > last.Batch:
			return fmt.Errorf("older version in a later batch: %v after %v", e, last)
		case e.Version > last.Version:
			newest[e.Patient] = e
		}
		seen[v] = true
	}
	if lost := len(committed) - len(seen); lost > 0 {
		return fmt.Errorf("lost: %d of %d", lost, len(committed))
	}
	return nil
}

func TestExportBeginsWithAGenesisAndThenCarriesEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(3)
	summary := s.export()
	var got []string
	for _, b := range summary.Batches {
		got = append(got, fmt.Sprintf("%d %s %d", b.Batch, b.Kind, b.Events))
	}
	if diff := cmp.Diff([]string{"0 genesis 0", "1 changes 3"}, got); diff != "" {
		t.Error(diff)
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
	if again := s.export(); len(again.Batches) != 0 {
		t.Errorf("a second run published %v", again.Batches)
	}
}

func TestSmallBatchesAreOneMixedPartAndLargeOnesOnePartPerType(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.PartRows = 700
	s.exec(`INSERT INTO patients.patient (family_name) SELECT 'Test' FROM generate_series(1, 999)`)
	s.exec(`UPDATE patients.patient SET death_status = 'formal' WHERE id IN (SELECT id FROM patients.patient LIMIT 99)`)
	s.export()
	s.exec(`UPDATE patients.patient SET address_city = 'Elsewhere' WHERE death_status = 'none'`)
	s.exec(`UPDATE patients.patient SET death_status = 'formal' WHERE id IN (SELECT id FROM patients.patient WHERE death_status = 'none' LIMIT 9)`)
	s.exec(`UPDATE patients.patient SET address_city = 'There' WHERE death_status = 'none'`)
	s.export()
	names := func(batch int64) (names []string) {
		entry, err := exchange.NewReader(s.store).Open(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range entry.Manifest.Parts {
			ref, _ := schemas.ParsePartName(p.Name)
			names = append(names, fmt.Sprintf("%s %d", ref.Event, p.Rows))
		}
		return names
	}
	if diff := cmp.Diff([]string{"registered 700", "registered 299", "died 99"}, names(1)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"updated 700", "updated 700", "updated 391", "died 9"}, names(2)); diff != "" {
		t.Error(diff)
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
}

func TestHeartbeatIsPublishedOnlyWhenDue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(1)
	s.export()
	s.exec(`UPDATE exporter.plan SET window_from = window_from - interval '2 hours', window_to = window_to - interval '2 hours',
		planned_at = planned_at - interval '2 hours' WHERE batch = 1`)
	summary := s.export()
	if len(summary.Batches) != 1 || summary.Batches[0].Events != 0 {
		t.Fatalf("published %v, want one empty batch", summary.Batches)
	}
	if again := s.export(); len(again.Batches) != 0 {
		t.Errorf("a run right after the heartbeat published %v", again.Batches)
	}
}

func TestSnapshotReportsEveryPatientsState(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alive, dead, retracted, retired := s.register(1), s.register(1), s.register(1), s.register(1)
	s.exec(`UPDATE patients.patient SET death_status = 'formal' WHERE id = ANY ($1)`, []uuid.UUID{dead, retracted})
	s.exec(`UPDATE patients.patient SET death_status = 'none' WHERE id = $1`, retracted)
	s.exec(`INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)`, retired, alive)
	summary, err := s.exporter().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := summary.Batches[len(summary.Batches)-1].Batch
	got := map[uuid.UUID]string{}
	for _, e := range s.events() {
		if e.Batch == snapshot {
			got[e.Patient] = fmt.Sprintf("%s %d %v", e.Event, e.Version, e.Baseline)
		}
	}
	want := map[uuid.UUID]string{
		alive: "registered 1 true", dead: "died 2 true", retracted: "death_retracted 3 true", retired: "merged 2 true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s.register(1)
	s.export()
	if n := s.last().Manifest.Snapshot; n == nil || *n != snapshot {
		t.Errorf("the batch after names %v as the newest snapshot, want %d", n, snapshot)
	}
	if got := s.last().Manifest.Totals.Rows; got != 1 {
		t.Errorf("the batch after the snapshot has %d events, want 1", got)
	}
}

func TestTwoExportersAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := s.conn.QueryRow(t.Context(), `SELECT pg_try_advisory_lock($1)`, int64(0x77617962696c6c)).Scan(new(bool)); err != nil {
		t.Fatal(err)
	}
	if summary := s.export(); !summary.Running || len(summary.Batches) != 0 {
		t.Errorf("while another exporter runs: %+v", summary)
	}
	// A person's command must fail if it was not done.
	s.config.Wait = time.Millisecond
	e := s.exporter()
	for name, run := range map[string]func() (exporter.Summary, error){
		"snapshot":   func() (exporter.Summary, error) { return e.Snapshot(t.Context()) },
		"generation": func() (exporter.Summary, error) { return e.NewGeneration(t.Context()) },
	} {
		if _, err := run(); err == nil || fault.ClassOf(err) != fault.Transient {
			t.Errorf("%s while another exporter runs: %v (%s)", name, err, fault.ClassOf(err))
		}
	}
}

func TestASnapshotWaitsForAnotherExporter(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, err := s.conn.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(0x77617962696c6c)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.exporter().Snapshot(t.Context())
		done <- err
	}()
	await.SQL(t, s.conn, `EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))`)
	if _, err := s.conn.Exec(t.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if kind := s.last().Manifest.Kind; kind != schemas.Snapshot {
		t.Errorf("the last batch is a %s", kind)
	}
}

func TestMissingTablesAreNamedWithTheNextStep(t *testing.T) {
	t.Parallel()
	s := siteAt(t, pgtest.Database(t, nil, "bare"), hosttest.New(t))
	_, err := s.exporter().Run(t.Context())
	if fault.ClassOf(err) != fault.Usage || fault.HintOf(err) != "run `waybill migrate` with this configuration" {
		t.Errorf("%v (%s), next: %s", err, fault.ClassOf(err), fault.HintOf(err))
	}
}

// However few they are, large events are not all held in memory for one mixed part.
func TestFewLargeEventsAreWrittenAsTheyCome(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 12 {
		id := s.register(1)
		s.exec(`INSERT INTO patients.identifier SELECT $1, $2, repeat('t', 200), lpad(n::text, 200, 'v') FROM generate_series(1, 900) n`, id, id.String())
	}
	summary := s.export()
	if got := summary.Batches[1]; got.Events != 24 || got.Parts != 2 {
		t.Errorf("%+v, want 24 events in parts of registered and updated", got)
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
}

// A refusal may come while rows are still read, or after the last.
func TestARowThatBreaksTheContractIsPoison(t *testing.T) {
	t.Parallel()
	for _, others := range []int{0, 3000} {
		s := newSite(t)
		id := s.register(1)
		s.exec(`INSERT INTO patients.patient (family_name) SELECT 'Other' FROM generate_series(1, $1)`, others)
		s.exec(`ALTER TABLE patients.outbox DISABLE TRIGGER USER, DROP CONSTRAINT death_period`)
		s.exec(`UPDATE patients.outbox SET death_precision = 'day' WHERE patient_id = $1`, id)
		s.exec(`ALTER TABLE patients.outbox ENABLE ALWAYS TRIGGER keep_rows`)
		_, err := s.exporter().Run(t.Context())
		if fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), id.String()) {
			t.Errorf("with %d others: got %v (%s, next: %s), want poison that names the patient", others, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
}

// A log whose beginning was purged is still a log.
func TestALogOfAnotherDatabaseIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(1)
	s.export()
	s.remove(schemas.ManifestName(0, 0))
	s.exec(`DELETE FROM exporter.plan`)
	s.refused("a log that this database did not write")
}
