package exchange_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

func receipt(instance string, batch int64) *schemas.Receipt {
	return &schemas.Receipt{
		Format:     schemas.Format,
		Stream:     schemas.Stream,
		Log:        "6f0a4d5e-3c1b-4b7e-9a51-0d6a3c2f1e00",
		Instance:   instance,
		Events:     []string{schemas.Died},
		Batch:      batch,
		Manifest:   strings.Repeat("cd", 32),
		Generation: 1,
		AppliedAt:  schemas.At(epoch),
		Effects:    map[string]int64{"opened": 1},
		Consumer:   schemas.Software{Software: "waybill", Version: "test"},
	}
}

func TestReceiptsAreTheNewestOfEachInstance(t *testing.T) {
	log := newLog(t, -1)
	for _, r := range []*schemas.Receipt{
		receipt("morgue@east", 9), receipt("morgue@east", 10), receipt("morgue@west", 100), receipt("morgue@west", 20_100), receipt("appointments", 3),
	} {
		must(t, exchange.PublishReceipt(t.Context(), log.store, r))
	}
	whole, err := receipt("morgue@east", 12).Encode()
	must(t, err)
	log.place(schemas.ReceiptName("morgue@east", 11), whole) // under another's number
	log.place(schemas.ReceiptName("morgue@east", 12), whole[:100])
	of, err := receipt("morgue@west", 13).Encode()
	must(t, err)
	log.place(schemas.ReceiptName("morgue@east", 13), of) // in another's folder
	log.place(schemas.ReceiptName("broken", 1), nil)
	log.place("receipts/morgue@east/notes.txt", []byte("of an admin"))
	log.place("receipts/morgue@east/000000001/000000000013.json", whole) // in another thousand's folder
	log.place("receipts/notes.txt", []byte("of an admin"))

	got, err := exchange.NewReader(log.store).Receipts(t.Context())
	must(t, err)
	want := []*schemas.Receipt{receipt("appointments", 3), receipt("morgue@east", 10), receipt("morgue@west", 20_100)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
}

// A consumer writes its next receipt and deletes the one before while somebody reads that.
func TestAReceiptIsReplacedWhileItIsRead(t *testing.T) {
	store := newStore(t)
	must(t, exchange.PublishReceipt(t.Context(), store, receipt("morgue", 999)))
	replaced := &exchangetest.Faulty{Store: store, Fail: func(op exchangetest.Op, name string) error {
		if op == exchangetest.Get && name == schemas.ReceiptName("morgue", 999) {
			must(t, exchange.PublishReceipt(t.Context(), store, receipt("morgue", 1000)))
			must(t, store.(exchange.Deleter).Delete(t.Context(), name))
		}
		return nil
	}}
	got, err := exchange.NewReader(replaced).Receipts(t.Context())
	must(t, err)
	if diff := cmp.Diff([]*schemas.Receipt{receipt("morgue", 1000)}, got); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
}

// A receipt that is listed and never there ends the looking after three times: it is only information.
func TestAReceiptThatIsReplacedAllTheTime(t *testing.T) {
	store := newStore(t)
	must(t, exchange.PublishReceipt(t.Context(), store, receipt("morgue", 7)))
	looks := 0
	gone := &exchangetest.Faulty{Store: store, Fail: func(op exchangetest.Op, _ string) error {
		if op != exchangetest.Get {
			return nil
		}
		if looks++; looks > 3 {
			return errors.New("it looks again and again")
		}
		return exchange.ErrNotFound
	}}
	if got, err := exchange.NewReader(gone).Receipts(t.Context()); err != nil || len(got) != 0 || looks != 3 {
		t.Errorf("%v, %v after %d looks, want none after 3", got, err, looks)
	}
}

// Anyone who can write there can leave receipts for any number of consumers, of any size.
func TestReceiptsOfTooManyConsumers(t *testing.T) {
	log := newLog(t, -1)
	large := receipt("large", 1)
	large.Effects = map[string]int64{strings.Repeat("x", 1<<16): 1}
	data, err := large.Encode()
	must(t, err)
	log.place(schemas.ReceiptName("large", 1), data)
	if got, err := exchange.NewReader(log.store).Receipts(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("a receipt of 64 KiB was read: %v %v", got, err)
	}
	for n := range 1001 {
		name := fmt.Sprintf("consumer%d", n)
		data, err := receipt(name, 1).Encode()
		must(t, err)
		log.place(schemas.ReceiptName(name, 1), data)
	}
	if got, err := exchange.NewReader(log.store).Receipts(t.Context()); fault.ClassOf(err) != fault.Poison || fault.HintOf(err) == "" {
		t.Errorf("%d receipts, %v", len(got), err)
	}
}

func TestReceiptsOfAnEmptyStore(t *testing.T) {
	got, err := exchange.NewReader(newStore(t)).Receipts(t.Context())
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v, want none", got, err)
	}
}

func TestAReceiptIsPublishedOnce(t *testing.T) {
	store := newStore(t)
	first, second := receipt("morgue", 7), receipt("morgue", 7)
	second.Rows = 5
	must(t, exchange.PublishReceipt(t.Context(), store, first))
	must(t, exchange.PublishReceipt(t.Context(), store, second))
	got, err := exchange.NewReader(store).Receipts(t.Context())
	must(t, err)
	if diff := cmp.Diff([]*schemas.Receipt{first}, got); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	if err := exchange.PublishReceipt(t.Context(), store, receipt("../morgue", 1)); err == nil {
		t.Error("a receipt of ../morgue was published")
	}
	copied := receipt("morgue", 7)
	copied.AppliedAt = schemas.At(copied.AppliedAt.Add(time.Microsecond))
	if err := exchange.PublishReceipt(t.Context(), store, copied); fault.ClassOf(err) != fault.Poison {
		t.Errorf("of a database that applied the batch at another time: %v, want poison", err)
	}
}
