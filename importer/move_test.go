package importer_test

import (
	"errors"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

const earlier = "patient-events-0"

// moves is a consumer that has applied three batches of an earlier stream, and a store with the stream that this release
// follows, which continues that one as the test says.
func moves(t *testing.T, continues func(followed schemas.Continued) *schemas.Continued) *site {
	t.Helper()
	s := newSite(t)
	s.Contract = lenient()
	s.config.QuarantineRows = 1
	bad := died(9)
	bad.BirthDate = "1950-13-99"
	s.Changes(died(1), died(2))          // 1
	s.Changes()                          // 2
	last := s.Changes(erased(2, 3), bad) // 3, which the new stream does not reach for now
	s.load()
	s.exec(`UPDATE morgue.checkpoint SET stream = $1`, earlier) // as if an earlier release had followed it
	s.Producer = logtest.NewProducerAs(t, hosttest.New(t).Open(t), start, func(m *schemas.Manifest) {
		if m.Kind == schemas.Genesis {
			m.Continues = continues(schemas.Continued{Stream: earlier, Log: last.Log, Batch: last.Batch})
		}
	})
	s.config.Store = s.Store
	return s
}

// A consumer moves to the stream that continues its own: its states take what the new stream says of the same versions, known
// deaths act no second time, the erased stay erased, and what was noted of the old stream's batches is gone.
func TestAConsumerMoves(t *testing.T) {
	t.Parallel()
	s := moves(t, func(c schemas.Continued) *schemas.Continued { return &c })
	restated := found(1, start)
	restated.Given = "Restated"
	s.Snapshot(1, restated, found(2, start)) // 1
	s.Changes(died(3))                       // 2
	if _, err := s.again(importer.RerunOptions{Batches: span(1, 1), Reason: "a test"}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("a re-run before it has moved: %v", err)
	}
	s.refusedAs(fault.Usage, resync(1))
	summary := s.load()
	var effects []string
	for _, b := range summary.Batches {
		for kind := range b.Effects {
			effects = append(effects, kind)
		}
	}
	if got := strings.Join(effects, " "); got != "updated opened" {
		t.Errorf("effects: %s", got)
	}
	for what, want := range map[string][2]string{
		"states":     {`SELECT string_agg(concat_ws(' ', given_name, event, version, revision), ', ' ORDER BY given_name) FROM morgue.patient`, "Given died 2 0, Restated died 2 0, erased 3 0"},
		"ledger":     {`SELECT string_agg(batch || ' ' || kind, ', ' ORDER BY batch) FROM morgue.ledger`, "0 genesis, 1 snapshot, 2 changes"},
		"quarantine": {`SELECT count(*) FROM morgue.quarantine`, "0"},
		"checkpoint": {`SELECT stream || ' ' || batch || ' ' || receipt FROM morgue.checkpoint`, schemas.Stream + " 2 2"},
	} {
		if got := s.value(want[0]); got != want[1] {
			t.Errorf("%s: %s, want %s", what, got, want[1])
		}
	}
	receipts, err := exchange.NewReader(s.Store).Receipts(t.Context())
	if err != nil || len(receipts) != 1 || receipts[0].Batch != 2 || receipts[0].Batches != 3 {
		t.Errorf("receipts: %+v, %v", receipts, err)
	}
	if again := s.load(); len(again.Batches) != 0 {
		t.Errorf("and again: %+v", again)
	}
}

// It moves only behind all that the new stream's beginning repeats; otherwise a person has it begin at a snapshot.
func TestAConsumerThatMayNotMove(t *testing.T) {
	t.Parallel()
	const another = "01234567-89ab-4cde-8f01-23456789abcd"
	for name, c := range map[string]struct {
		continues func(schemas.Continued) *schemas.Continued
		class     fault.Class
	}{
		"that continues none":           {func(schemas.Continued) *schemas.Continued { return nil }, fault.Poison},
		"that continues another stream": {func(c schemas.Continued) *schemas.Continued { c.Stream = "other"; return &c }, fault.Poison},
		"that continues another log":    {func(c schemas.Continued) *schemas.Continued { c.Log = another; return &c }, fault.Poison},
		"that continues a later batch":  {func(c schemas.Continued) *schemas.Continued { c.Batch++; return &c }, fault.Usage},
		"without its beginning":         {func(c schemas.Continued) *schemas.Continued { return &c }, fault.NotYet},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moves(t, c.continues)
			s.Changes(died(3))                              // 1
			s.Snapshot(1, found(1, start), found(3, start)) // 2
			if c.class == fault.NotYet {
				s.remove(schemas.ManifestName(0, 0))
			}
			s.refused(c.class, nil)
			s.refusedAs(fault.Usage, importer.Options{FromSnapshot: &importer.Decision{Batch: 1, Reason: "a test"}})
			if _, err := s.run(importer.Options{FromSnapshot: &importer.Decision{Batch: 2, Reason: "a test", Person: "ann"}}); err != nil {
				t.Fatal(err)
			}
			if got := s.value(`SELECT string_agg(kind || ' ' || subject, ', ') FROM morgue.decision`); got != "from-snapshot snapshot 2 of "+schemas.Stream+", from batch 3 of "+earlier {
				t.Errorf("decisions: %s", got)
			}
			if got := s.value(`SELECT string_agg(batch || ' ' || kind, ', ') FROM morgue.ledger`) + "; " + s.cases(); got != "2 snapshot; expected 2, void 1" {
				t.Errorf("it has %s", got)
			}
		})
	}
}

// What an old stream's batch waited or was held for says nothing of the new stream's batch of that number, also if the run that
// moves can't load it.
func TestNoBatchOfTheOldStreamHoldsOneOfTheNew(t *testing.T) {
	t.Parallel()
	s := moves(t, func(schemas.Continued) *schemas.Continued { return nil })
	s.Snapshot(1, found(1, start))
	s.exec(`UPDATE morgue.checkpoint SET held_batch = 1, held_effects = '{}', seen_batch = 1, seen_hash = 'old',
		pending_batch = 1, pending_why = 'gap', pending_since = now() - interval '1 day'`)
	whole := s.config.Store
	s.config.Store = &exchangetest.Faulty{Store: s.Store, Fail: func(op exchangetest.Op, name string) error {
		if op == exchangetest.Get && strings.HasPrefix(name, "parts/") {
			return fault.New(fault.Transient, "get", name, errors.New("no route"), "try again")
		}
		return nil
	}}
	if _, err := s.run(importer.Options{FromSnapshot: &importer.Decision{Batch: 1, Reason: "a test", Person: "ann"}}); fault.ClassOf(err) != fault.Transient {
		t.Fatal(err)
	}
	if got := s.value(`SELECT concat_ws(' ', batch, held_batch, held_effects, seen_hash, pending_batch, pending_why, pending_since) FROM morgue.checkpoint`); got != "0" {
		t.Errorf("at the new stream's beginning: %s", got)
	}
	s.config.Store = whole
	s.load()
}

// A consumer that appends events moves as well: it has no states.
func TestAnAppendingConsumerMoves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.journal()
	last := s.Changes(died(1))
	s.load()
	s.exec(`UPDATE journal.checkpoint SET stream = $1`, earlier)
	s.Producer = logtest.NewProducerAs(t, hosttest.New(t).Open(t), start, func(m *schemas.Manifest) {
		if m.Kind == schemas.Genesis {
			m.Continues = &schemas.Continued{Stream: earlier, Log: last.Log, Batch: last.Batch}
		}
	})
	s.config.Store = s.Store
	s.Snapshot(1, found(1, start))
	s.Changes(died(2))
	s.load()
	if got := s.value(`SELECT string_agg(family_name, ' ' ORDER BY family_name) || ' of ' || (SELECT stream FROM journal.checkpoint) FROM journal.event`); got != "Family1 Family2 of "+schemas.Stream {
		t.Errorf("it has %s", got)
	}
}

// A stream that has ended is followed no further, and its consumer says so in each run.
func TestARetiredStreamIsLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Manifest = func(m *schemas.Manifest) { m.Kind = schemas.Retired }
	s.Changes()
	for range 2 {
		if _, err := s.run(importer.Options{}); fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), "install the release") {
			t.Errorf("%v, next: %s", err, fault.HintOf(err))
		}
	}
	if got := s.value(`SELECT batch FROM morgue.checkpoint`) + " " + s.cases(); got != "2 expected 1" {
		t.Errorf("applied up to %s", got)
	}
}
