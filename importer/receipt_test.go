package importer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

func TestReceiptIsWrittenAndOwedAfterACrash(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	name := schemas.ReceiptName("morgue@east", 1)
	read := func() (r schemas.Receipt) {
		if err := json.Unmarshal(s.read(s.Store, name), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := read()
	if first.Batch != 1 || first.Rows != 1 || first.Effects["opened"] != 1 {
		t.Errorf("receipt %+v", first)
	}
	// As if the process had died between the commit and the receipt.
	s.remove(name)
	if _, err := s.conn.Exec(t.Context(), `UPDATE morgue.checkpoint SET receipt = -1`); err != nil {
		t.Fatal(err)
	}
	s.load()
	if diff := cmp.Diff(first, read()); diff != "" {
		t.Error(diff)
	}
}

// A receipt that another database has left under the instance is said once, and not again by each poll of a follower.
func TestAReceiptOfAnotherDatabaseIsSaidOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.exec(`UPDATE morgue.ledger SET applied_at = applied_at + interval '1 second' WHERE batch = 1`) // as a copy would have it
	s.exec(`UPDATE morgue.checkpoint SET receipt = 0`)
	for _, want := range []bool{true, false} {
		summary, err := s.run(importer.Options{})
		if err != nil || errors.Is(summary.ReceiptOwed, exchange.ErrExists) != want {
			t.Errorf("said %v, %v; want it said: %v", summary.ReceiptOwed, err, want)
		}
	}
}

// Receipts don't grow without bound: each takes the place of the one before, where the account may delete.
func TestAConsumerDeletesItsPreviousReceipt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	s.config.Delete = undeletable{}
	s.load()
	if want := []string{schemas.ReceiptName("morgue@east", 1), schemas.ReceiptName("morgue@east", 2)}; !slices.Equal(s.receipts(), want) {
		t.Errorf("an account that may not delete leaves %q, want %q", s.receipts(), want)
	}
	s.Changes(died(3))
	s.Changes(died(4))
	s.config.Delete = s.Store.(exchange.Deleter)
	s.load()
	if want := []string{schemas.ReceiptName("morgue@east", 1), schemas.ReceiptName("morgue@east", 4)}; !slices.Equal(s.receipts(), want) {
		t.Errorf("an account that may delete leaves %q, want %q", s.receipts(), want)
	}
}

// receipts are the names of the instance's receipts, in order.
func (s *site) receipts() (names []string) {
	s.Helper()
	const folder = "receipts/morgue@east/000000000"
	for name, err := range s.Store.List(s.Context(), folder) {
		if err != nil {
			s.Fatal(err)
		}
		names = append(names, folder+"/"+name)
	}
	slices.Sort(names)
	return names
}

type undeletable struct{}

func (undeletable) Delete(context.Context, string) error {
	return fault.New(fault.Usage, "delete", "receipt", errors.New("permission denied"), "")
}

func (undeletable) Tidy(context.Context, string) {}

// A receipt covers only committed loads: a crash right after it takes nothing back.
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
