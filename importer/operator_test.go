package importer_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/schemas"
)

func (s *site) exec(sql string, arguments ...any) {
	s.Helper()
	if _, err := s.conn.Exec(s.Context(), sql, arguments...); err != nil {
		s.Fatal(err)
	}
}

func (s *site) again(options importer.RerunOptions) (importer.Summary, error) {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	return i.Rerun(s.Context(), options)
}

func flip(data []byte) []byte { data[len(data)/2] ^= 1; return data }

// A consumer that passes the snapshot which opens a generation learns from the next one who is gone.
func TestAGenerationWhoseOpeningWasPassed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.Part = flip
	s.Snapshot(2, found(1, start))
	s.Part = nil
	s.Changes(died(3))
	s.Snapshot(2, found(1, start), found(3, start))
	if _, err := s.run(importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "disk fault", Person: "ann"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.cases(); got != "expected 2, void 1" {
		t.Errorf("cases: %s; the second generation knows nothing of patient 2", got)
	}
	s.Snapshot(2, found(1, start), found(3, start))
	if got := s.load().Batches[0].Effects; len(got) != 0 {
		t.Errorf("one more snapshot had effects: %v", got)
	}
}

// A row that was set aside is no proof that its patient is gone.
func TestQuarantineMakesNobodyVanish(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(4))
	s.load()
	s.config.QuarantineRows = 1
	bad := found(2, start)
	bad.BirthDate = "1950-13-99"
	s.Contract = lenient()
	s.Snapshot(2, found(1, start), bad)
	if got := s.load().Batches[0]; got.Quarantined != 1 || got.Effects["vanished"] != 1 {
		t.Errorf("%+v, want 1 quarantined, and patient 4 vanished, who is nowhere", got)
	}
	s.rerun(importer.RerunOptions{Reason: "a test", Batches: span(2, 2)})
	if got := s.value(`SELECT count(*) FROM morgue.quarantine`); got != "1" {
		t.Errorf("%s rows in quarantine after a re-run, want 1", got)
	}
	s.Contract = nil
	s.Changes(died(3))
	s.Correction(3, 3, died(3))
	s.load()
	if got := s.cases(); got != "expected 3, void 1" {
		t.Errorf("after batches that are no snapshots: %s", got)
	}
	// Only the snapshot's own quarantine says that a patient is in it.
	s.Snapshot(2, found(1, start), found(3, start))
	if got := s.load().Batches[0].Effects["vanished"]; got != 1 || s.cases() != "expected 2, void 2" {
		t.Errorf("%d vanished, cases: %s; the second snapshot knows nothing of patient 2", got, s.cases())
	}
}

func TestAManifestThatNobodyCanReadIsPassed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	s.Snapshot(1, found(1, start), found(2, start))
	s.truncate(schemas.ManifestName(2, 0))
	if _, err := s.run(importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "disk fault", Person: "ann"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.cases() + " at " + s.value(`SELECT batch FROM morgue.checkpoint`); got != "expected 2 at 3" {
		t.Errorf("after the pass: %s", got)
	}
	s.load()
}

// A re-run only takes the manifest that was applied, not one that has replaced it.
func TestARerunOfAnotherManifestIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Changes(died(2))
	s.load()
	s.replaceOwn()
	if _, err := s.again(importer.RerunOptions{Reason: "a test", Batches: span(1, 1)}); fault.ClassOf(err) != fault.Poison || !errors.Is(err, exchange.ErrFork) {
		t.Errorf("got %v (%s), want a fork", err, fault.ClassOf(err))
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("cases: %s", got)
	}
}

// A re-run applies effects that were only observed, and the brake bounds it like any other run.
func TestTheBrakeBoundsARerun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Observe = true
	s.Changes(died(1), died(2), died(3))
	s.Changes()
	s.load()
	s.config.Observe, s.config.Brake = false, 2
	options := importer.RerunOptions{Reason: "a test", Batches: span(1, 2), Reapply: true}
	_, err := s.again(options)
	if fault.ClassOf(err) != fault.Held || strings.Contains(fault.HintOf(err), "--approve") || fault.HintOf(err) == "" {
		t.Errorf("got %v, next: %s; a re-run cannot be approved", err, fault.HintOf(err))
	}
	if got := s.cases() + s.value(`SELECT held_batch FROM morgue.checkpoint`); got != "nullnull" {
		t.Errorf("held, and cases and checkpoint say %s", got)
	}
	s.config.Brake = 3
	s.rerun(options)
	if got := s.cases(); got != "expected 3" {
		t.Errorf("cases: %s", got)
	}
}

// A decision fails while another importer is running: nobody must believe that it was recorded.
func TestADecisionBesideAnotherImporterFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 1
	s.Changes(died(1), died(2))
	s.refusedAs(fault.Held, importer.Options{})
	s.exec(`INSERT INTO morgue.lease (pid, backend_start, until)
		SELECT pid, backend_start, clock_timestamp() + interval '1 minute' FROM pg_stat_activity WHERE pid = pg_backend_pid()`)
	decision := &importer.Decision{Batch: 1, Reason: "a bus accident", Person: "ann"}
	s.refusedAs(fault.Transient, importer.Options{Approve: decision})
	s.refusedAs(fault.Transient, importer.Options{Pass: decision})
	if _, err := s.again(importer.RerunOptions{Reason: "a test", Batches: span(0, 0), Wait: time.Millisecond}); fault.ClassOf(err) != fault.Transient || err == nil {
		t.Errorf("a re-run while another importer runs: %v", err)
	}
	if got := s.load(); !got.Running {
		t.Errorf("an ordinary run while another importer runs: %+v", got)
	}
}

func (s *site) refusedAs(class fault.Class, options importer.Options) {
	s.Helper()
	if _, err := s.run(options); err == nil || fault.ClassOf(err) != class {
		s.Errorf("%+v: got %v (%s), want %s", options, err, fault.ClassOf(err), class)
	}
}

// with returns the morgue with another text of a file; "": without it.
func (s *site) with(file, text string) *importer.Consumer {
	s.Helper()
	folder := fstest.MapFS{}
	if err := fs.WalkDir(morgue.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(morgue.Files(), path)
		folder[path] = &fstest.MapFile{Data: data}
		return err
	}); err != nil {
		s.Fatal(err)
	}
	if folder[file] = (&fstest.MapFile{Data: []byte(text)}); text == "" {
		delete(folder, file)
	}
	consumer, err := importer.LoadConsumer(folder)
	if err != nil {
		s.Fatal(err)
	}
	return consumer
}

// PostgreSQL's error about a refused value quotes the value.
func TestAnErrorInApplyQuotesNoPatient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Consumer = s.with("apply.sql", `SELECT (birth_date || '-30')::date FROM changed JOIN patient USING (patient_id)`)
	state := died(1)
	state.BirthDate = "1950-02"
	s.Changes(state)
	_, err := s.run(importer.Options{})
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), "22008") || strings.Contains(err.Error(), "1950") {
		t.Errorf("got %v (%s)", err, fault.ClassOf(err))
	}
	for _, kind := range []string{"historic", "vanished", "erased", "opened", "odd"} {
		s.config.Consumer = s.with("apply.sql", `INSERT INTO effect (kind) VALUES ('`+kind+`')`)
		_, err := s.run(importer.Options{DryRun: true})
		if undeclared := fault.ClassOf(err) == fault.Poison && strings.Contains(err.Error(), "is not declared"); undeclared != (kind == "odd") || err != nil && !undeclared {
			t.Errorf("an effect %q: %v", kind, err)
		}
	}
}

// lenient returns the contract of a producer that takes any text for a date of birth.
func lenient() *schemas.Contract {
	c := *schemas.PatientEvents()
	c.Columns = slices.Clone(c.Columns)
	c.Columns[c.Index("birth_date")].Pattern = nil
	return &c
}

func TestManyImportersAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const batches = 12
	for n := 1; n <= batches; n++ {
		s.Changes(died(n))
	}
	var group sync.WaitGroup
	for range 4 {
		i, err := importer.New(s.config)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for running := true; running; {
				summary, err := i.Run(t.Context(), importer.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				running = summary.Running
			}
		})
	}
	group.Wait()
	if got := s.cases(); got != "expected 12" {
		t.Errorf("cases: %s", got)
	}
	if got := s.value(`SELECT count(*) || ' ' || max(rerun) FROM morgue.ledger`); got != "13 0" {
		t.Errorf("the ledger has %s rows and re-runs", got)
	}
}

// doctor checks each right that an import needs separately.
func TestDoctorMissesEachRight(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, right := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
		s.exec(`REVOKE ` + right + ` ON morgue.notice FROM current_user`)
		facts, err := importer.Examine(t.Context(), s.config.DatabaseURL, s.config.Consumer)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Fails && strings.Contains(f.Value, right+" on morgue.notice") }) {
			t.Errorf("without %s: %+v", right, facts)
		}
		s.exec(`GRANT ` + right + ` ON morgue.notice TO current_user`)
	}
}

func TestDoctorSaysHowFarAConsumerIs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	says := func(want string) {
		facts, err := importer.Examine(t.Context(), s.config.DatabaseURL, s.config.Consumer)
		if err != nil || !slices.Contains(facts, fact.Fact{Name: "checkpoint", Value: want}) {
			t.Errorf("%+v %v, want %s", facts, err, want)
		}
	}
	says("nothing loaded yet")
	s.load()
	says("batch 0")
}
