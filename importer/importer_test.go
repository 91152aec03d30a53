package importer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

func TestMain(m *testing.M) { pgtest.Main(m, hosttest.Stop) }

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// site is a morgue that follows a log.
type site struct {
	*logtest.Producer
	root   string // of the stream, on disk
	conn   *pgx.Conn
	config importer.Config
	now    time.Time // the consumer's clock
}

func morgueConsumer(t testing.TB) *importer.Consumer {
	t.Helper()
	c, err := importer.LoadConsumer(morgue.Files())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSite(t testing.TB) *site {
	t.Helper()
	place := hosttest.New(t)
	return follow(t, logtest.NewProducer(t, place.Open(t), start), filepath.Join(place.Path, schemas.Stream))
}

// follow returns a morgue with an empty database for a log that is there already.
func follow(t testing.TB, p *logtest.Producer, root string) *site {
	t.Helper()
	consumer := morgueConsumer(t)
	url := pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, "morgue")
	s := &site{Producer: p, root: root, now: start}
	s.config = importer.Config{
		DatabaseURL: url, Store: p.Store, Consumer: consumer, Instance: "east", Spool: t.TempDir(),
		Grace: 10 * time.Minute, Now: func() time.Time { return s.now },
	}
	s.connect(url)
	return s
}

func (s *site) connect(url string) { s.conn = s.connection(url) }

func (s *site) connection(url string) *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), url)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (s *site) run(options importer.Options) (importer.Summary, error) {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	return i.Run(s.Context(), options)
}

func (s *site) load() importer.Summary {
	s.Helper()
	summary, err := s.run(importer.Options{})
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

func (s *site) rerun(options importer.RerunOptions) importer.Summary {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	summary, err := i.Rerun(s.Context(), options)
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// span lists batches, both ends included.
func span(from, to int64) (batches []int64) {
	for batch := from; batch <= to; batch++ {
		batches = append(batches, batch)
	}
	return batches
}

// value returns one value as text.
func (s *site) value(sql string) string {
	s.Helper()
	var v *string
	if err := s.conn.QueryRow(s.Context(), `SELECT (`+sql+`)::text`).Scan(&v); err != nil {
		s.Fatal(err)
	}
	if v == nil {
		return "null"
	}
	return *v
}

func (s *site) cases() string {
	s.Helper()
	return s.value(`SELECT string_agg(state || ' ' || n, ', ') FROM (SELECT state, count(*) AS n FROM morgue.case_file GROUP BY state ORDER BY state) t`)
}

// refused runs an import that must fail and leave everything as it was.
func (s *site) refused(class fault.Class, is error) error {
	s.Helper()
	const state = `SELECT jsonb_build_object('batch', (SELECT batch FROM morgue.checkpoint), 'patients', (SELECT count(*) FROM morgue.patient),
		'cases', (SELECT count(*) FROM morgue.case_file), 'ledger', (SELECT count(*) FROM morgue.ledger))`
	before := s.value(state)
	_, err := s.run(importer.Options{})
	if fault.ClassOf(err) != class || err == nil || is != nil && !errors.Is(err, is) {
		s.Errorf("got %v (%s), want %v (%s)", err, fault.ClassOf(err), is, class)
	}
	if fault.HintOf(err) == "" {
		s.Errorf("%v names no next step", err)
	}
	if after := s.value(state); after != before {
		s.Errorf("refused, but the state went from %s to %s", before, after)
	}
	return err
}

func died(n int) logtest.State {
	return logtest.State{
		Event: schemas.Died, Patient: logtest.Patient(n), Version: 2, DeathNo: 1, Status: "formal",
		Earliest: start.Add(-time.Hour), Latest: start, Precision: "minute", Family: fmt.Sprintf("Family%d", n), Given: "Given",
	}
}

func found(n int, latest time.Time) logtest.State {
	s := died(n)
	s.Baseline, s.Earliest, s.Latest = true, latest.Add(-time.Hour), latest
	return s
}

func retracted(n int) logtest.State {
	return logtest.State{Event: schemas.DeathRetracted, Patient: logtest.Patient(n), Version: 3, DeathNo: 1}
}

func TestBatchesLoadOnceWhateverIsRunAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.Changes(retracted(2), logtest.State{Event: schemas.Updated, Patient: logtest.Patient(3)})
	if got := s.load(); got.From != -1 || got.To != 2 || len(got.Batches) != 3 {
		t.Errorf("the first run: %+v", got)
	}
	const want = "expected 1, void 1"
	if got := s.cases(); got != want {
		t.Errorf("cases: %s, want %s", got, want)
	}
	if got := s.load(); len(got.Batches) != 0 {
		t.Errorf("the second run loaded %+v", got.Batches)
	}
	// Out of order, and all again.
	for _, r := range []importer.RerunOptions{{Batches: span(2, 2)}, {Batches: span(1, 1)}, {Batches: span(0, 2)}, {Batches: span(1, 2), Reapply: true}} {
		r.Reason = "a test"
		for _, b := range s.rerun(r).Batches {
			if b.Changed != 0 || len(b.Effects) != 0 {
				t.Errorf("re-run %+v: %+v", r, b)
			}
		}
	}
	if got := s.cases(); got != want {
		t.Errorf("after re-runs: %s, want %s", got, want)
	}
	if got := s.value(`SELECT count(*) FROM morgue.patient WHERE patient_id = '` + logtest.Patient(3).String() + `'`); got != "0" {
		t.Error("an event that the morgue does not subscribe to was loaded")
	}
}

// Heartbeats share transactions. Each is verified all the same: the run stops at the first that is wrong, with
// all before it applied.
func TestHeartbeatsLoadInGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const heartbeats = 450
	for range heartbeats {
		s.Changes()
	}
	s.Manifest = func(m *schemas.Manifest) { m.Previous = strings.Repeat("0", 64) }
	s.Changes()
	s.Manifest = nil
	summary, err := s.run(importer.Options{})
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), fmt.Sprint(heartbeats+1)) || len(summary.Batches) != heartbeats+1 {
		t.Fatalf("%d batches, %v; want all before the one that is wrong", len(summary.Batches), err)
	}
	if got := s.value(`SELECT batch || ' ' || (SELECT count(*) FROM morgue.ledger) FROM morgue.checkpoint`); got != fmt.Sprint(heartbeats, " ", heartbeats+1) {
		t.Errorf("checkpoint and rows of the ledger: %s", got)
	}
	if got := s.value(`SELECT count(DISTINCT xmin::text) < 50 FROM morgue.ledger`); got != "true" {
		t.Errorf("%s transactions for %d heartbeats", s.value(`SELECT count(DISTINCT xmin::text) FROM morgue.ledger`), heartbeats)
	}
}

func TestReceiptIsWrittenAndOwedAfterACrash(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	name := filepath.Join(s.root, schemas.ReceiptName("morgue@east", 1))
	read := func() (r schemas.Receipt) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := read()
	if first.Batch != 1 || first.Rows != 1 || first.Effects["opened"] != 1 {
		t.Errorf("receipt %+v", first)
	}
	// As if the process had died between the commit and the receipt.
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.Exec(t.Context(), `UPDATE morgue.checkpoint SET receipt = -1`); err != nil {
		t.Fatal(err)
	}
	s.load()
	if diff := cmp.Diff(first, read()); diff != "" {
		t.Error(diff)
	}
}

// Receipts don't grow without bound: each takes the place of the one before, where the account may delete.
func TestAConsumerDeletesItsPreviousReceipt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	receipts := func() (names []string) {
		err := fs.WalkDir(os.DirFS(s.root), "receipts", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	s.config.Delete = undeletable{}
	s.load()
	if want := []string{schemas.ReceiptName("morgue@east", 1), schemas.ReceiptName("morgue@east", 2)}; !slices.Equal(receipts(), want) {
		t.Errorf("an account that may not delete leaves %q, want %q", receipts(), want)
	}
	s.Changes(died(3))
	s.config.Delete = s.Store.(exchange.Deleter)
	s.load()
	if want := []string{schemas.ReceiptName("morgue@east", 1), schemas.ReceiptName("morgue@east", 3)}; !slices.Equal(receipts(), want) {
		t.Errorf("an account that may delete leaves %q, want %q", receipts(), want)
	}
}

type undeletable struct{}

func (undeletable) Delete(context.Context, string) error {
	return fault.New(fault.Usage, "delete", "receipt", errors.New("permission denied"), "")
}

func (undeletable) Tidy(context.Context, string) {}

// A receipt covers only what others can see: a crash right after it takes nothing back.
func TestAReceiptIsOfWhatIsCommitted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Changes(died(2))
	receipts := 0
	s.config.Store = &exchangetest.Faulty{Store: s.Store, Fail: func(op exchangetest.Op, name string) error {
		if _, batch, ok := schemas.ParseReceiptName(name); ok && op == exchangetest.Publish {
			receipts++
			if got, want := s.value(`SELECT batch FROM morgue.checkpoint`), fmt.Sprint(batch); got != want {
				t.Errorf("a receipt for batch %s, and the checkpoint is at %s", want, got)
			}
		}
		return nil
	}}
	s.load()
	if receipts != 1 {
		t.Errorf("%d receipts, want 1", receipts)
	}
}

func TestHistoricDeathsHaveNoEffects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := found(1, start.AddDate(0, -2, 0))
	undated := found(3, start)
	undated.Earliest, undated.Latest, undated.Precision = time.Time{}, time.Time{}, ""
	seen := died(4) // a change that was seen, however old the death
	seen.Earliest, seen.Latest = start.AddDate(-1, 0, 0), start.AddDate(-1, 0, 1)
	s.Changes(old, found(2, start.AddDate(0, 0, -2)), undated, seen)
	corrected := old
	corrected.Event, corrected.Baseline, corrected.Version, corrected.Family = schemas.DeathCorrected, false, 3, "Corrected"
	s.Changes(corrected)
	summary := s.load()
	if got := summary.Batches[1].Effects; got["historic"] != 2 || got["opened"] != 2 {
		t.Errorf("effects %v, want 2 historic and 2 opened", got)
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("cases: %s; a correction must not open a historic death's", got)
	}
	corrected.Version, corrected.Earliest, corrected.Latest = 4, start.Add(-time.Hour), start // a mistyped year
	s.Changes(corrected)
	if got := s.load().Batches[0].Effects; fmt.Sprint(got) != "map[opened:1]" {
		t.Errorf("effects %v of a correction that makes a historic death recent", got)
	}
	unlimited := follow(t, s.Producer, s.root)
	unlimited.config.ActWithin = importer.Unlimited
	unlimited.load()
	if got := unlimited.cases(); got != "expected 4" {
		t.Errorf("unlimited: %s, want expected 4", got)
	}
}

// A death that was found counts by the latest time that it can have.
func TestActWithinGoesByTheLatestTimeOfADeath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	days := func(ago int) time.Time { return time.Now().AddDate(0, 0, -ago) }
	within, past := found(1, days(20)), found(2, days(40))
	within.Earliest, within.Precision = days(50), "month"
	s.Changes(within, past)
	if got := s.load().Batches[1].Effects; fmt.Sprint(got) != "map[historic:1 opened:1]" {
		t.Errorf("effects %v", got)
	}
	if got := s.value(`SELECT string_agg(family_name, ' ') FROM morgue.case_file`); got != "Family1" {
		t.Errorf("cases of %s, want Family1", got)
	}
}

// Registering somebody dead is seen, so that no date is no age.
func TestRegisteredDead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	arrival, old := died(1), died(2)
	arrival.Version, arrival.Earliest, arrival.Latest, arrival.Precision = 1, time.Time{}, time.Time{}, ""
	old.Version, old.Earliest, old.Latest = 1, start.AddDate(-1, 0, 0), start.AddDate(-1, 0, 1)
	s.Changes(arrival, old)
	if got := s.load().Batches[1].Effects; fmt.Sprint(got) != "map[historic:1 opened:1]" {
		t.Errorf("effects %v", got)
	}
	certified := died(1)
	certified.Event, certified.Version = schemas.DeathCorrected, 2
	s.Changes(certified)
	if got := s.load().Batches[0].Effects; fmt.Sprint(got) != "map[updated:1]" {
		t.Errorf("effects %v of the certificate", got)
	}
}

func TestBrakeHoldsARunsEffectsUntilApproved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 3
	s.Changes(died(1), died(2))
	s.Changes(died(3), died(4)) // under the brake alone, over it with the first
	s.Changes(died(5))
	_, err := s.run(importer.Options{})
	if fault.ClassOf(err) != fault.Held {
		t.Fatalf("got %v, want held", err)
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("held at batch 2, and cases are: %s", got)
	}
	// The next run, in which the batch alone would pass, is held as well.
	if s.refused(fault.Held, nil); s.value(`SELECT held_batch FROM morgue.checkpoint`) != "2" {
		t.Error("the checkpoint does not name the held batch")
	}
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 3, Reason: "no"}}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("approving a batch that is not held: %v", err)
	}
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 2}}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("approving without a reason: %v", err)
	}
	dry, err := s.run(importer.Options{DryRun: true})
	if err != nil || len(dry.Batches) != 2 || dry.Batches[0].Effects["opened"] != 2 {
		t.Errorf("dry run of the held batch: %+v, %v", dry, err)
	}
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 2, Reason: "a bus accident", Person: "ann"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.cases(); got != "expected 5" {
		t.Errorf("approved, and cases are: %s", got)
	}
	if got := s.value(`SELECT reason || ' ' || person FROM morgue.ledger WHERE batch = 2`); got != "a bus accident ann" {
		t.Errorf("the ledger says %q", got)
	}
}

func TestObserveRecordsEffectsAndAppliesNone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Observe = true
	s.Changes(died(1), died(2))
	if got := s.load().Batches[1].Effects["opened"]; got != 2 {
		t.Errorf("observed %d opened, want 2", got)
	}
	if got := s.cases(); got != "null" {
		t.Errorf("observe mode made cases: %s", got)
	}
	if got := s.value(`SELECT count(*) FROM morgue.effect_log WHERE observed AND kind = 'opened'`); got != "2" {
		t.Errorf("%s effects recorded, want 2", got)
	}
	s.config.Observe = false
	s.rerun(importer.RerunOptions{Reason: "a test", Batches: span(1, 1), Reapply: true})
	if got := s.cases(); got != "expected 2" {
		t.Errorf("re-applied after observing: %s", got)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(retracted(1))
	s.Changes(died(2), died(3))
	dry, err := s.run(importer.Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(dry.Batches[0].Effects, dry.Batches[1].Effects); got != "map[voided:1] map[opened:2]" {
		t.Errorf("dry run: %s", got)
	}
	if got := s.cases() + s.value(`SELECT batch FROM morgue.checkpoint`); got != "expected 11" {
		t.Errorf("after a dry run: %s", got)
	}
	entries, err := os.ReadDir(filepath.Join(s.root, "receipts", "morgue@east"))
	if err != nil || len(entries) != 1 {
		t.Errorf("a dry run left receipts: %v %v", entries, err)
	}
}

func TestANewConsumerBeginsAtTheNewestSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Snapshot(1, found(1, start))
	s.Changes(died(2))
	if got := s.load(); got.From != 1 || got.To != 3 || len(got.Batches) != 2 {
		t.Errorf("from %d to %d in %d batches, want from 1 to 3 in 2", got.From, got.To, len(got.Batches))
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("cases: %s", got)
	}
}

func TestANewGenerationIsTakenAsTheTruth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(3))
	s.load()
	// The source was rolled back: 2 is dead as before, 1 lives again in an older version, 3 is unknown.
	again := found(2, start)
	again.Version = 1
	s.Snapshot(2, again, logtest.State{Event: schemas.Registered, Baseline: true, Patient: logtest.Patient(1), Version: 1})
	summary := s.load()
	if got := summary.Batches[0].Effects; got["vanished"] != 2 || got["voided"] != 2 {
		t.Errorf("effects %v, want 2 vanished and 2 voided", got)
	}
	if got := s.cases(); got != "expected 1, void 2" {
		t.Errorf("cases: %s", got)
	}
	next := died(1)
	next.Version = 2
	s.Changes(next)
	s.load()
	if got := s.cases(); got != "expected 2, void 1" {
		t.Errorf("after a death in the new generation: %s", got)
	}
}

func TestTwoImportersAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	if _, err := s.conn.Exec(t.Context(), `INSERT INTO morgue.lease (pid, backend_start, until)
		SELECT pid, backend_start, clock_timestamp() + interval '1 minute' FROM pg_stat_activity WHERE pid = pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	if got := s.load(); !got.Running || len(got.Batches) != 0 {
		t.Errorf("while another importer runs: %+v", got)
	}
	if _, err := s.conn.Exec(t.Context(), `UPDATE morgue.lease SET until = clock_timestamp() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if got := s.load(); got.Running || got.To != 2 {
		t.Errorf("past another's lease: %+v", got)
	}
	if err := s.conn.Ping(t.Context()); err == nil {
		t.Error("the backend past its lease is still alive")
	}
}

func TestWhatIsWrongOnTheStoreIsRefusedByName(t *testing.T) {
	t.Parallel()
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	for name, test := range map[string]struct {
		spoil   func(s *site)
		class   fault.Class
		is      error
		pending bool // not yet at first, poison after the grace time
	}{
		"flipped byte":  {func(s *site) { s.Part = flip; s.Changes(died(2)) }, fault.Poison, exchange.ErrDamaged, false},
		"zeroed part":   {func(s *site) { s.Part = func(d []byte) []byte { return make([]byte, len(d)) }; s.Changes(died(2)) }, fault.Poison, exchange.ErrDamaged, false},
		"part missing":  {func(s *site) { s.Part = func([]byte) []byte { return nil }; s.Changes(died(2)) }, fault.NotYet, nil, true},
		"part short":    {func(s *site) { s.Part = func(d []byte) []byte { return d[:len(d)-9] }; s.Changes(died(2)) }, fault.NotYet, nil, true},
		"batch missing": {func(s *site) { s.Changes(died(2)); s.Changes(died(3)); s.remove(schemas.ManifestName(2, 0)) }, fault.NotYet, nil, true},
		"torn manifest": {func(s *site) { s.Changes(died(2)); s.truncate(schemas.ManifestName(2, 0)) }, fault.NotYet, schemas.ErrTorn, true},
		"forked chain": {func(s *site) {
			s.Manifest = func(m *schemas.Manifest) { m.Previous = schemas.Hash(nil) }
			s.Changes(died(2))
		}, fault.Poison, exchange.ErrFork, false},
		"own changed": {func(s *site) { s.replaceOwn(); s.Changes(died(2)) }, fault.Poison, exchange.ErrFork, false},
		"unknown format": {func(s *site) {
			s.Text = replace(`"min_reader": 1`, `"min_reader": 9`, `"format": 1`, `"format": 9`)
			s.Changes(died(2))
		}, fault.Poison, schemas.ErrUnsupported, false},
		"unknown contract": {func(s *site) {
			s.Text = replace(`"version": "1.0.0"`, `"version": "9.0.0"`)
			s.Changes(died(2))
		}, fault.Poison, schemas.ErrUnsupported, false},
		"wrong counts": {func(s *site) {
			s.Manifest = func(m *schemas.Manifest) { m.Parts[0].Rows++; m.Parts[0].Events[schemas.Died]++; m.Totalled() }
			s.Changes(died(2))
		}, fault.Poison, nil, false},
		"absurd claims": {func(s *site) {
			s.Text = func(text string) string {
				return regexp.MustCompile(`"bytes": [0-9]+`).ReplaceAllString(text, `"bytes": 549755813888`)
			}
			s.Changes(died(2))
		}, fault.Poison, nil, false},
		"another log's manifest": {func(s *site) { s.Manifest = func(m *schemas.Manifest) { m.Batch++ }; s.misplace() }, fault.Poison, exchange.ErrForeign, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Changes(died(1))
			s.load()
			test.spoil(s)
			s.refused(test.class, test.is)
			if test.pending {
				s.now = s.now.Add(11 * time.Minute)
				s.refused(fault.Poison, test.is)
			}
		})
	}
}

func replace(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func (s *site) remove(name string) {
	s.Helper()
	if err := os.Remove(filepath.Join(s.root, name)); err != nil {
		s.Fatal(err)
	}
}

func (s *site) truncate(name string) {
	s.Helper()
	if err := os.Truncate(filepath.Join(s.root, name), 200); err != nil {
		s.Fatal(err)
	}
}

// replaceOwn puts another valid manifest in the place of the one applied last.
func (s *site) replaceOwn() {
	s.Helper()
	other := s.TempDir()
	place, err := dir.Open(other)
	if err != nil {
		s.Fatal(err)
	}
	logtest.NewProducer(s, place, start).Changes(died(9))
	s.move(filepath.Join(other, schemas.ManifestName(1, 0)), schemas.ManifestName(1, 0))
}

// misplace puts a manifest under the number before its own.
func (s *site) misplace() {
	s.Helper()
	other := s.TempDir()
	place, err := dir.Open(other)
	if err != nil {
		s.Fatal(err)
	}
	p := logtest.NewProducer(s, place, start)
	p.Changes(died(9))
	p.Changes(died(8))
	p.Changes(died(7))
	s.move(filepath.Join(other, schemas.ManifestName(3, 0)), schemas.ManifestName(2, 0))
}

func (s *site) move(from, to string) {
	s.Helper()
	if err := os.Rename(from, filepath.Join(s.root, to)); err != nil {
		s.Fatal(err)
	}
}

func TestAStoreWithoutALogIsNotNothingNew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	right := s.config.Store
	s.config.Store = hosttest.New(t).Open(t)
	if _, err := s.run(importer.Options{}); fault.ClassOf(err) != fault.NotYet || fault.HintOf(err) == "" {
		t.Errorf("an empty folder: %v", err)
	}
	s.config.Store = right
	s.Changes(died(1))
	if got := s.load(); got.To != 1 {
		t.Errorf("once the store is right: %+v", got)
	}
}

func TestSilenceIsLateAndNotNothingNew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	for _, after := range []time.Duration{s.Heartbeat, s.Heartbeat + s.config.Grace} {
		s.now = start.Add(after)
		if got := s.load(); len(got.Batches) != 0 {
			t.Errorf("after %s, within heartbeat and grace: %+v", after, got)
		}
	}
	s.now = start.Add(s.Heartbeat + 11*time.Minute)
	s.refused(fault.NotYet, nil)
	s.Now = s.now
	s.Changes() // the heartbeat comes
	if got := s.load(); got.To != 2 {
		t.Errorf("after the heartbeat: %+v", got)
	}
}

// A forger who announces the next batch for next year, from a window that ends then, does not silence
// lateness.
func TestAnAnnouncedHeartbeatIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Heartbeat = 366 * 24 * time.Hour
	s.Now = time.Now().AddDate(50, 0, 0)
	s.Changes(died(1))
	s.load()
	s.now = time.Now().Add(24 * time.Hour)
	if got := s.load(); len(got.Batches) != 0 {
		t.Errorf("within a day: %+v", got)
	}
	s.now = s.now.Add(11 * time.Minute)
	s.refused(fault.NotYet, nil)
	s.config.LateAfter = 400 * 24 * time.Hour
	s.Changes()
	s.load()
	s.now = time.Now().Add(365 * 24 * time.Hour)
	s.load()
}

func TestAPoisonBatchIsPassedOnlyIfSomethingCoversIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Part = func(d []byte) []byte { d[len(d)/2] ^= 1; return d }
	s.Changes(died(2))
	s.Part = nil
	s.Changes(died(3))
	pass := importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "disk fault", Person: "ann"}}
	if _, err := s.run(pass); fault.ClassOf(err) != fault.Poison {
		t.Errorf("passed without a snapshot: %v", err)
	}
	s.Snapshot(1, found(1, start), found(2, start), found(3, start))
	if _, err := s.run(pass); err != nil {
		t.Fatal(err)
	}
	if got := s.cases() + " at " + s.value(`SELECT batch FROM morgue.checkpoint`); got != "expected 3 at 4" {
		t.Errorf("after the pass: %s", got)
	}
	if got := s.value(`SELECT passed || ' ' || reason FROM morgue.ledger WHERE batch = 2`); got != "true disk fault" {
		t.Errorf("the ledger says %q", got)
	}
}
