package exchange_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

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
