package reconcile

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// Each batch that a consumer has applied must be in its ledger, as the log has it.
func TestLedgers(t *testing.T) {
	tally := newTally()
	tally.Rows = 3
	for _, test := range []struct {
		name   string
		alter  func(c *Consumer, b *Batch)
		should string // the finding's kind
	}{
		{"as it should be", func(*Consumer, *Batch) {}, ""},
		{"the last, as it should be", func(_ *Consumer, b *Batch) { b.Batch, b.Manifest = 4, "four" }, ""},
		{"the last, with fewer rows", func(c *Consumer, b *Batch) { b.Batch, b.Manifest, c.Ledger[2].Rows = 4, "four", 2 }, Ledger},
		{"with more rows", func(c *Consumer, _ *Batch) { c.Ledger[1].Rows = 4 }, Ledger},
		{"with more rows, of erased patients", func(c *Consumer, b *Batch) { c.Ledger[1].Rows, b.Erased = 4, 1 }, ""},
		{"another manifest", func(c *Consumer, _ *Batch) { c.Ledger[1].Manifest = "other" }, Manifest},
		{"another manifest, of a batch that was passed", func(c *Consumer, _ *Batch) { c.Ledger[1] = Applied{Batch: 3, Passed: true} }, ""},
		{"another manifest in the checkpoint", func(c *Consumer, b *Batch) { b.Batch, b.Manifest, c.Manifest = 4, "four", "other" }, Manifest},
		{"no row", func(c *Consumer, _ *Batch) { c.Ledger = []Applied{c.Ledger[0], c.Ledger[2]} }, Unknown},
		{"no row of the last", func(c *Consumer, b *Batch) { b.Batch, b.Manifest, c.Ledger = 4, "four", c.Ledger[:2] }, Unknown},
		{"no row, before a snapshot", func(c *Consumer, _ *Batch) {
			c.Ledger = []Applied{c.Ledger[0], c.Ledger[2]}
			c.Ledger[1].Kind = schemas.Snapshot
		}, ""},
		{"no row of a batch before those that are compared", func(_ *Consumer, b *Batch) { b.Batch = 1 }, ""},
		{"no row of a batch that was not applied yet", func(_ *Consumer, b *Batch) { b.Batch = 5 }, ""},
	} {
		c := &Consumer{
			Name: "morgue", Events: []string{schemas.Died}, From: 2, Checkpoint: 4, Manifest: "four",
			Ledger: []Applied{{Batch: 2, Manifest: "two", Rows: 3}, {Batch: 3, Manifest: "three", Rows: 3}, {Batch: 4, Manifest: "four", Rows: 3}},
		}
		b := &Batch{Batch: 3, Manifest: "three", Events: map[string]*Tally{schemas.Died: tally, schemas.Merged: tally}}
		test.alter(c, b)
		r := &run{Options: Options{Consumers: []*Consumer{c}}, report: &Report{}}
		r.checkLedgers(b)
		kind := ""
		for _, f := range r.report.Findings {
			kind += f.Kind
		}
		if kind != test.should {
			t.Errorf("%s: found %q, want %q", test.name, kind, test.should)
		}
	}
}

// A consumer has what it has loaded: not what it passed, nor what is behind its checkpoint.
func TestWhatAConsumerHasLoaded(t *testing.T) {
	c := &Consumer{Checkpoint: 5, Ledger: []Applied{{Batch: 2}, {Batch: 3, Passed: true}, {Batch: 5}, {Batch: 6}}}
	for batch, want := range map[int64]bool{1: false, 2: true, 3: false, 4: false, 5: true, 6: false, 7: false} {
		if got := c.loaded(batch); got != want {
			t.Errorf("batch %d: loaded %t", batch, got)
		}
	}
}

func TestTheFirstErasureStays(t *testing.T) {
	erasure := state{batch: 3, order: order{1, 4, 0}, erased: true}
	again := state{batch: 7, order: order{2, 9, 0}, erased: true}
	if got := newest([]state{erasure, {batch: 5, order: order{1, 8, 0}}, again}); len(got) != 1 || got[0] != erasure {
		t.Errorf("of two erasures in different batches stays %+v", got)
	}
	again.batch = erasure.batch
	if got := newest([]state{erasure, again}); len(got) != 1 || got[0] != again {
		t.Errorf("of two erasures in one batch stays %+v", got)
	}
}

// Only what lacks a column, and differs in nothing else, is of an older revision.
func TestWhatLacksColumns(t *testing.T) {
	for _, test := range []struct {
		is, want uint64
		lacks    bool
	}{{0b11, 0b01, true}, {0b01, 0b11, false}, {0b10, 0b01, false}, {0b01, 0b01, false}} {
		if got := (state{nulls: test.is}).lacks(state{nulls: test.want}); got != test.lacks {
			t.Errorf("NULLs %b, where the log has %b: %t", test.is, test.want, got)
		}
	}
}

// With a snapshot of a new generation those vanish who are not in it, not even as a bad row.
func TestWhoVanished(t *testing.T) {
	bad, absent := uuid.UUID{1}, uuid.UUID{2}
	snapshot := func(kind string) *schemas.Manifest {
		return &schemas.Manifest{Kind: kind, Batch: 5, Generation: 2}
	}
	for name, test := range map[string]struct {
		kind   string
		append bool
		state  state
		want   bool
	}{
		"absent":                     {schemas.Snapshot, false, state{patient: absent, batch: 3, order: order{generation: 1}}, true},
		"a bad row":                  {schemas.Snapshot, false, state{patient: bad, batch: 3, order: order{generation: 1}}, false},
		"known since":                {schemas.Snapshot, false, state{patient: absent, batch: 5, order: order{generation: 1}}, false},
		"of the same generation":     {schemas.Snapshot, false, state{patient: absent, batch: 3, order: order{generation: 2}}, false},
		"by changes":                 {schemas.Changes, false, state{patient: absent, batch: 3, order: order{generation: 1}}, false},
		"of a consumer that appends": {schemas.Snapshot, true, state{patient: absent, batch: 3, order: order{generation: 1}}, false},
	} {
		c := &Consumer{Append: test.append}
		c.note(snapshot(test.kind), []part.BadRow{{PatientID: bad.String()}})
		if got := c.vanished(test.state); got != test.want {
			t.Errorf("%s: vanished %t", name, got)
		}
	}
}

// What a consumer should have is unsure if it loaded a batch that can't be read. The run ends if the store can't be reached.
func TestWhoseStateIsUnsure(t *testing.T) {
	poison := fault.New(fault.Poison, "read", "batch 3", errors.New("torn"), "")
	for name, test := range map[string]struct {
		consumer Consumer
		err      error
		unsure   bool
		ends     bool
	}{
		"loaded":              {Consumer{Checkpoint: 5, Ledger: []Applied{{Batch: 3}}}, poison, true, false},
		"passed":              {Consumer{Checkpoint: 5, Ledger: []Applied{{Batch: 3, Passed: true}}}, poison, false, false},
		"not reached":         {Consumer{Checkpoint: 2}, poison, false, false},
		"before its snapshot": {Consumer{From: 4, Checkpoint: 5, Ledger: []Applied{{Batch: 3}}}, poison, false, false},
		"unreachable":         {Consumer{Checkpoint: 5, Ledger: []Applied{{Batch: 3}}}, fault.New(fault.Transient, "read", "batch 3", errors.New("gone"), ""), false, true},
	} {
		r := &run{Options: Options{Consumers: []*Consumer{&test.consumer}}, report: &Report{}}
		err := r.unreadable(t.Context(), 3, test.err)
		if (err != nil) != test.ends || test.consumer.unsure != test.unsure || len(r.report.Findings) == 1 == test.ends {
			t.Errorf("%s: unsure %t, %v, %+v", name, test.consumer.unsure, err, r.report.Findings)
		}
	}
}
