package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/schemas"
)

func newKey(t testing.TB) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// After a sealed batch none that lies open is loaded, however many heartbeats come between, unless a person has named a
// later batch as the first that must be sealed again.
func TestNoOpenPartAfterASealedOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key := newKey(t)
	s.config.Open.Keys = seal.Keys{key}
	batch := int64(0)
	publish := func(sealed bool) {
		s.Seal = nil
		if sealed {
			s.Seal = key.Recipient()
		}
		batch++
		s.Changes(died(int(batch)))
	}
	loads := func(what string, from int64) {
		t.Helper()
		s.config.Open.From = from
		s.load()
		if got := s.value(`SELECT batch FROM morgue.checkpoint`); got != fmt.Sprint(batch) {
			t.Fatalf("%s: the checkpoint is at batch %s, not %d", what, got, batch)
		}
	}
	refuses := func(what string, from int64) {
		t.Helper()
		s.config.Open.From = from
		if err := s.refused(fault.Poison, nil); !strings.Contains(fmt.Sprint(err), "not sealed") || !strings.Contains(fault.HintOf(err), fmt.Sprintf("open.from to %d", batch+1)) {
			t.Fatalf("%s: %v; next: %s", what, err, fault.HintOf(err))
		}
	}
	publish(false)
	loads("open, before any that is sealed", 0)
	publish(true)
	loads("sealed", 0)
	s.Changes()
	batch++
	loads("a heartbeat", 0)
	publish(false)
	refuses("open", 0)
	refuses("open, and again", 0)
	refuses("the first that must be sealed again", batch)
	loads("the last that may lie open", batch+1)
	publish(false)
	refuses("behind it", batch)
	loads("allowed, too", batch+1)
	publish(true)
	loads("sealed again", batch)
	publish(false)
	refuses("open, after it was sealed again", batch)
	loads("allowed by a later batch", batch+100)
	// What was loaded once may be loaded again.
	s.config.Open.From = 0
	for _, b := range s.rerun(importer.RerunOptions{Batches: span(0, batch), Reason: "a test"}).Batches {
		if b.Changed != 0 {
			t.Errorf("re-run: %+v", b)
		}
	}
	s.Seal = nil
	s.Snapshot(1, deaths(1, int(batch))...)
	resync := importer.Options{Resync: &importer.Decision{Batch: batch + 1, Reason: "a test"}}
	if _, err := s.run(resync); fault.ClassOf(err) != fault.Poison || !strings.Contains(fmt.Sprint(err), "not sealed") {
		t.Errorf("a resync with an open snapshot: %v", err)
	}
}

// A part that is sealed to others moves nothing, and is loaded as soon as its key is there.
func TestAPartSealedToOthersWaitsForTheKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old, key := newKey(t), newKey(t)
	s.config.Open.Keys = seal.Keys{old}
	s.Seal = old.Recipient()
	s.Changes(died(1))
	s.load()
	s.Seal = key.Recipient()
	m := s.Changes(died(2))
	if m.MinReader != schemas.FormatSealed {
		t.Fatal("the batch is not sealed: this tests nothing")
	}
	for name, keys := range map[string]seal.Keys{"no key": nil, "another's": {newKey(t)}, "the key of the batch before": {old}} {
		s.config.Open.Keys = keys
		if err := s.refused(fault.Usage, seal.ErrNotForUs); !strings.Contains(fmt.Sprint(err), m.Parts[0].Name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.config.Open.Keys = seal.Keys{old, key}
	if got := s.load(); got.To != 2 || s.cases() != "expected 2" {
		t.Errorf("with both keys: %+v, cases %s", got, s.cases())
	}
}

// A batch that stays sealed to others is left behind with a snapshot. The hint names the command, and it works.
func TestTheHintOfASealLeadsPastIt(t *testing.T) {
	t.Parallel()
	for name, delivers := range map[string]bool{"a consumer": false, "a delivery": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			key := newKey(t)
			s.config.Open.Keys = seal.Keys{key}
			s.Seal = key.Recipient()
			s.Changes(died(1))
			s.load()
			s.Seal = newKey(t).Recipient()
			m := s.Changes(died(2))
			entry, err := exchange.NewReader(s.Store).Open(t.Context(), m.Batch)
			if err != nil {
				t.Fatal(err)
			}
			decision := &importer.Decision{Batch: m.Batch + 1, Reason: "the key was not named"}
			options, want := importer.Options{Resync: decision}, "`waybill import morgue --resync N@HASH --reason TEXT`"
			if delivers {
				consumer := *s.config.Consumer
				consumer.Command = "waybill deliver morgue"
				s.config.Consumer = &consumer
				decision.Batch, decision.Seen = m.Batch, importer.Digits(entry.Hash)
				options = importer.Options{Pass: decision}
				want = fmt.Sprintf("`waybill deliver morgue --pass %d@%s --reason TEXT`", m.Batch, decision.Seen)
			}
			hint := fault.HintOf(s.refused(fault.Usage, seal.ErrNotForUs))
			if !strings.Contains(hint, want) {
				t.Errorf("%s: does not name %s", hint, want)
			}
			s.Seal = key.Recipient()
			s.Snapshot(1, died(1), died(2))
			if _, err := s.run(options); err != nil {
				t.Fatal(err)
			}
			if got := s.load(); got.To != m.Batch+1 || s.cases() != "expected 2" {
				t.Errorf("%+v, cases %s", got, s.cases())
			}
		})
	}
}
