package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// From the first batch that must be signed on, each counts only with a trusted signature; those before it if the chain leads
// there; floors if what they name lies before it, or with a signature.
func TestWhichBatchesMustBeSigned(t *testing.T) {
	t.Parallel()
	log, key := adopted(t)
	other, err := trust.NewPrivate("another", bytes.NewReader(bytes.Repeat([]byte{9}, 32)))
	must(t, err)
	for name, c := range map[string]struct {
		policy *trust.Policy
		batch  int64
		class  fault.Class
		is     error
	}{
		"no policy":                       {nil, 8, 0, nil},
		"a policy about receipts alone":   {&trust.Policy{From: 3}, 8, 0, nil},
		"the first signed one":            {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9}, 9, 0, nil},
		"the one before":                  {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9}, 8, 0, nil},
		"the oldest":                      {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9}, 0, 0, nil},
		"of the log that is named":        {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9, Log: manifest(0).Log}, 9, 0, nil},
		"unsigned, at the bound":          {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 8}, 8, fault.Poison, trust.ErrUntrusted},
		"unsigned, after the bound":       {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 3}, 8, fault.Poison, trust.ErrUntrusted},
		"signed by another":               {&trust.Policy{Keys: []trust.Public{other.Public()}, From: 9}, 9, fault.Poison, trust.ErrUntrusted},
		"before what another signed":      {&trust.Policy{Keys: []trust.Public{other.Public()}, From: 9}, 5, fault.Poison, trust.ErrUntrusted},
		"the first signed one is missing": {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 10}, 9, fault.Usage, nil},
	} {
		_, err := exchange.NewReader(log.store).Trusting(c.policy).Anew().Open(t.Context(), c.batch)
		if (err == nil) != (c.class == 0) || err != nil && fault.ClassOf(err) != c.class || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for from, counts := range map[int64]bool{8: false, 9: true} { // the floor's snapshot is 8
		floor, err := exchange.NewReader(log.store).Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: from}).Floor(t.Context())
		if counts != (err == nil && floor.Floor == 1) || !counts && !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("an unsigned floor, signed from %d on: %v", from, err)
		}
	}
}

// What lies before the first signed batch is attested once and in any order, also a batch that is asked for again.
func TestAttestedInAnyOrder(t *testing.T) {
	t.Parallel()
	log, key := adopted(t)
	read := 0
	reader := exchange.NewReader(&exchangetest.Faulty{Store: log.store, Fail: func(exchangetest.Op, string) error { read++; return nil }}).
		Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9})
	for _, batch := range []int64{7, 8, 3, 5, 3} {
		if e, err := reader.Open(t.Context(), batch); err != nil || e.Manifest.Batch != batch {
			t.Errorf("batch %d: %v", batch, err)
		}
	}
	if read > 5+1+5 { // each that is asked for, the signed one, and those down to 4
		t.Errorf("%d files were read", read)
	}
}

// A reader that fails at the store says so, wherever it fails: a floor or a receipt is not missing because it can't be read.
func TestWhatCanNotBeReadIsNotMissing(t *testing.T) {
	t.Parallel()
	log := newLog(t, 9)
	log.floor(1, 4, 8)
	log.floor(2, 5, 8)
	log.remove(schemas.ManifestName(3, 0))
	must(t, exchange.PublishReceipt(t.Context(), log.store, receipt("morgue", 1)))
	log.place(partOf(content).Name, content)
	down := fault.New(fault.Transient, "get", "file", errors.New("no route"), "")
	eight, err := exchange.NewReader(log.store).Open(t.Context(), 8)
	must(t, err)
	calls := map[string]func(context.Context, *exchange.Reader) error{
		"floor":       func(ctx context.Context, r *exchange.Reader) error { _, err := r.Floor(ctx); return err },
		"falsefloors": func(ctx context.Context, r *exchange.Reader) error { _, err := r.FalseFloors(ctx); return err },
		"begins":      func(ctx context.Context, r *exchange.Reader) error { _, err := r.Begins(ctx); return err },
		"nextfloor":   func(ctx context.Context, r *exchange.Reader) error { _, err := r.NextFloor(ctx); return err },
		"next":        func(ctx context.Context, r *exchange.Reader) error { _, err := r.Next(ctx, log.at(2)); return err },
		"last":        func(ctx context.Context, r *exchange.Reader) error { _, err := r.Last(ctx); return err },
		"newest":      func(ctx context.Context, r *exchange.Reader) error { _, err := r.Newest(ctx); return err },
		"present":     func(ctx context.Context, r *exchange.Reader) error { _, err := r.Present(ctx, 2); return err },
		"overdue":     func(ctx context.Context, r *exchange.Reader) error { return r.Overdue(ctx, log.at(2)) },
		"receipts":    func(ctx context.Context, r *exchange.Reader) error { _, err := r.Receipts(ctx); return err },
		"below":       func(ctx context.Context, r *exchange.Reader) error { _, err := r.Below(ctx, eight); return err },
		"planned": func(ctx context.Context, r *exchange.Reader) error {
			_, _, err := r.Planned(ctx, 9, epoch, epoch)
			return err
		},
		"recorded": func(ctx context.Context, r *exchange.Reader) error {
			_, err := r.Recorded(ctx, 9, epoch, epoch)
			return err
		},
		"entries": func(ctx context.Context, r *exchange.Reader) error {
			for _, err := range r.Entries(ctx, 0, -1) {
				if err != nil && !strings.Contains(err.Error(), "pruned") {
					return err
				}
			}
			return nil
		},
	}
	for name, call := range calls {
		var ops []string
		count := &exchangetest.Faulty{Store: log.store, Fail: func(op exchangetest.Op, n string) error { ops = append(ops, string(op)+" "+n); return nil }}
		_ = call(t.Context(), exchange.NewReader(count))
		for i, op := range ops {
			n := 0
			failing := &exchangetest.Faulty{Store: log.store, Fail: func(exchangetest.Op, string) error {
				if n++; n == i+1 {
					return down
				}
				return nil
			}}
			if err := call(t.Context(), exchange.NewReader(failing)); !errors.Is(err, down) {
				t.Errorf("%s, of which call %d of %d, %s, failed: %v", name, i+1, len(ops), op, err)
			}
		}
		if len(ops) == 0 {
			t.Errorf("%s asks nothing of the store", name)
		}
	}
}

// Each of the newest floors that does not count is reported, and the newest that counts is used.
func TestFalseFloorsAreReportedInTurn(t *testing.T) {
	t.Parallel()
	log := newLog(t, 9)
	log.floor(1, 4, 8)
	reader := exchange.NewReader(log.store)
	valid, err := reader.Floor(t.Context())
	must(t, err)
	for n := int64(2); n < 5; n++ {
		planted := *valid
		planted.Floor, planted.Batch, planted.Manifest = n, 4+n, schemas.Hash(nil)
		if n == 3 { // a true one between false ones
			planted.Batch, planted.Previous, planted.Manifest = 7, log.at(6).Hash, valid.Manifest
		}
		must(t, exchange.NewWriter(log.store).Floor(t.Context(), &planted))
	}
	got, err := reader.Floor(t.Context())
	wrong, failed := reader.FalseFloors(t.Context())
	if err != nil || failed != nil || got.Floor != 3 || len(wrong) != 1 || !strings.Contains(wrong[0].Error(), "floor 4") {
		t.Errorf("floor %+v, %v; false: %v, %v", got, err, wrong, failed)
	}
	_, err = reader.Open(t.Context(), 6)
	must(t, err)
	log.remove(schemas.ManifestName(6, 0))
	for _, err := range reader.Entries(t.Context(), 6, 6) {
		wantPruned(t, err, 6, 7)
		if day := epoch.Format(time.DateOnly); !strings.Contains(err.Error(), day) || !strings.Contains(err.Error(), "begins at batch 7") {
			t.Errorf("%v; want the day %s and the batch", err, day)
		}
	}
}

// Times are those of the batches that exist: the last may be missing, and a day is how wrong a clock may be.
func TestTheEdgesOfTimes(t *testing.T) {
	t.Parallel()
	place, err := dir.Open(t.TempDir())
	must(t, err)
	p := logtest.NewProducer(t, place, epoch)
	event := func(hours int) logtest.State {
		return logtest.State{Event: schemas.Died, Patient: logtest.Patient(hours), Recorded: epoch.Add(time.Duration(hours) * time.Hour)}
	}
	for n := range 4 { // batch n ends n hours after the epoch
		p.Now = p.Now.Add(time.Hour)
		p.Changes(event(n+25), event(n))
	}
	reader := exchange.NewReader(place)
	ask := func(last int64, since, until float64) []int64 {
		at := func(hours float64) time.Time { return epoch.Add(time.Duration(hours * float64(time.Hour))) }
		got, err := reader.Recorded(t.Context(), last, at(since), at(until))
		must(t, err)
		return got
	}
	// Batch 1 ends 24 hours before 25: too early by a moment.
	for _, c := range []struct {
		last         int64
		since, until float64
		want         []int64
	}{
		{4, 24.9, 25.1, []int64{1, 2, 3, 4}},
		{4, 25, 25.1, []int64{2, 3, 4}},
		{4, 1, 1.1, []int64{1, 2}},
		{3, 1, 9, []int64{1, 2, 3}},
		{2, 26, 99, nil},
		{4, 26, 27, []int64{3, 4}},
		{4, 28, 29, nil},
		{4, 29, 99, nil},
		{4, 0, 0.1, []int64{1}},
	} {
		if got := ask(c.last, c.since, c.until); !slices.Equal(got, c.want) {
			t.Errorf("up to %d, from %v to %v: %v, want %v", c.last, c.since, c.until, got, c.want)
		}
	}
	must(t, exchange.Delete(t.Context(), place, []string{schemas.ManifestName(4, 0)}))
	if got := ask(4, 1, 99); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("without the last: %v", got)
	}
	if from, to, err := reader.Planned(t.Context(), 4, epoch.Add(90*time.Minute), epoch.Add(99*time.Hour)); err != nil || from != 2 || to != 3 {
		t.Errorf("without the last: planned %d..%d, %v", from, to, err)
	}
}

// Which names a folder shows: files and folders whose names every store can hold.
func TestWhichNamesAreListed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		mode fs.FileMode
		as   string
		yes  bool
	}{
		{"a.json", 0o600, "a.json", true},
		{"a", fs.ModeDir, "a/", true},
		{"a", fs.ModeSymlink, "a", false},
		{"a", fs.ModeNamedPipe, "a", false},
		{".a", 0o600, ".a", false},
		{".a", fs.ModeDir, ".a/", false},
		{"a b", 0o600, "a b", false},
		{"ä", fs.ModeDir, "ä/", false},
	} {
		if as, yes := exchange.Listed(c.name, c.mode); as != c.as || yes != c.yes {
			t.Errorf("%s, %v: %q, %v", c.name, c.mode, as, yes)
		}
	}
	for name, hidden := range map[string]bool{".a": true, "a": false, "a.b": false, "": false} {
		if exchange.IsHidden(name) != hidden {
			t.Errorf("%q: hidden %v", name, !hidden)
		}
	}
}

// What is pending names the file, if it is about one, and the text says which of the reasons it is.
func TestWhatPendsIsNamed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, reason := range []string{exchange.Gap, exchange.Torn, exchange.NoPart, exchange.Short, exchange.Purged, exchange.RolledBack} {
		p := exchange.Pending{Batch: 3, Reason: reason}
		text := p.Error()
		p.File = "parts/x"
		if text == "" || seen[text] || p.Error() != text+": parts/x" || errors.Is(&p, schemas.ErrTorn) != (reason == exchange.Torn) {
			t.Errorf("%s: %q, of a file %q", reason, text, p.Error())
		}
		seen[text] = true
	}
}

// A wrong body never leaves as many bytes as were announced: its last read fails, whether or not its end comes with the last byte.
func TestExactlyReadsNothingAfterItsEnd(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 3} {
		r := exchange.Exactly(t.Context(), strings.NewReader("abc"[:size]), size)
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Errorf("an empty read at the start: %d, %v", n, err)
		}
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != size {
			t.Errorf("%q, %v", data, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %d, %v", n, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := exchange.Exactly(done, strings.NewReader("abc"), 3).Read(make([]byte, 3)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("of a call that has ended: %d, %v", n, err)
	}
	if _, err := io.ReadAll(exchange.Exactly(t.Context(), strings.NewReader("abcde"), 3)); err == nil || !strings.Contains(err.Error(), "at least 4 bytes, not 3") {
		t.Errorf("too long: %v", err)
	}
	if _, err := io.ReadAll(exchange.Exactly(t.Context(), strings.NewReader("abcde"), 7)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d bytes, not %d", 5, 7)) {
		t.Errorf("too short: %v", err)
	}
}
