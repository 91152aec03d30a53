package importer_test

import (
	"regexp"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

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
