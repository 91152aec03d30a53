package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

// A window begins when the one before ends, or later: not a moment before, even if it begins after that one's beginning.
func TestWindowsFollowEachOther(t *testing.T) {
	for by, want := range map[time.Duration]error{
		-5 * time.Minute: schemas.ErrInvalid, -time.Minute: schemas.ErrInvalid, -time.Microsecond: schemas.ErrInvalid,
		0: exchange.ErrNothingNew, time.Minute: exchange.ErrNothingNew,
	} {
		log := newLog(t, 2)
		log.publish(log.next(func(m *schemas.Manifest) { m.Window.From = schemas.At(windowOf(2).To.Add(by)) }))
		if err := readToEnd(t.Context(), exchange.NewReader(log.store), log.at(2)); !errors.Is(err, want) {
			t.Errorf("%v after the end of the one before: %v, want %v", by, err, want)
		}
	}
}

// A floor counts as long as its snapshot is whole: that makes up for what was pruned. If its oldest batch was lost since, or is
// damaged, the floor still says what was pruned.
func TestAFloorOfWhatWasLostSince(t *testing.T) {
	for _, c := range []struct {
		batch  int64
		torn   bool
		counts bool
	}{{4, false, true}, {4, true, true}, {8, false, false}, {8, true, false}} {
		log := newLog(t, 9)
		log.floor(1, 4, 8)
		log.remove(schemas.ManifestName(c.batch, 0))
		if c.torn {
			log.place(schemas.ManifestName(c.batch, 0), log.files[c.batch][:100])
		}
		reader := exchange.NewReader(log.store)
		wrong, err := reader.FalseFloors(t.Context())
		if err != nil || (len(wrong) == 0) != c.counts {
			t.Errorf("batch %d, torn %v: %v, %v; want a floor that counts: %v", c.batch, c.torn, wrong, err, c.counts)
		}
		if got, err := reader.Begins(t.Context()); err != nil || (got == 4) != c.counts {
			t.Errorf("batch %d, torn %v: the log begins at %d, %v", c.batch, c.torn, got, err)
		}
	}
}

// A receipt that does not count hides none before it: anybody who may write could put one there.
func TestAReceiptThatDoesNotCountHidesNone(t *testing.T) {
	log := newLog(t, -1)
	key := func(name string, seed byte) *trust.Private {
		k, err := trust.NewPrivate(name, bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
		must(t, err)
		return k
	}
	east, west := key("east", 1), key("west", 2)
	must(t, exchange.PublishReceipt(t.Context(), log.store, receipt("morgue@east", 10), east))
	must(t, exchange.PublishReceipt(t.Context(), log.store, receipt("morgue@east", 11)))
	must(t, exchange.PublishReceipt(t.Context(), log.store, receipt("morgue@east", 12), west))
	must(t, exchange.PublishReceipt(t.Context(), log.store, receipt("morgue@west", 3)))
	reader := exchange.NewReader(log.store).Trusting(&trust.Policy{Receipts: map[string]trust.Public{"morgue@east": east.Public()}})
	got, err := reader.Receipts(t.Context())
	if err != nil || len(got) != 2 || got[0].Batch != 10 || got[1].Batch != 3 {
		t.Errorf("%+v, %v; want batch 10 of the one whose key is named, and 3 of the other", got, err)
	}
}

// deleter deletes through a store that may refuse.
type deleter struct {
	exchange.Deleter
	err error
}

func (d deleter) Delete(ctx context.Context, name string) error {
	if d.err != nil {
		return d.err
	}
	return d.Deleter.Delete(ctx, name)
}

// A part is put back where it was: a whole one stays as it is, also where nothing may be deleted; a damaged one is replaced, or
// deleted first, and if that fails for now, a later attempt does it.
func TestAPartIsPutBack(t *testing.T) {
	refused := fault.New(fault.Usage, "delete", "part", errors.New("not allowed"), "")
	passing := fault.New(fault.Transient, "delete", "part", errors.New("no route"), "")
	for _, c := range []struct {
		lies      string // what is in its place
		overwrite bool
		deletes   bool
		err       error // of deleting
		want      fault.Class
	}{
		{lies: "nothing"},
		{lies: "nothing", overwrite: true},
		{lies: "whole"},
		{lies: "whole", overwrite: true},
		{lies: "whole", deletes: true, err: refused},
		{lies: "whole", deletes: true, err: passing},
		{lies: "torn", overwrite: true},
		{lies: "torn", deletes: true},
		{lies: "longer", deletes: true},
		{lies: "other", deletes: true},
		{lies: "torn", want: fault.Usage},
		{lies: "longer", want: fault.Usage},
		{lies: "other", want: fault.Usage},
		{lies: "torn", deletes: true, err: refused, want: fault.Usage},
		{lies: "torn", deletes: true, err: passing, want: fault.Transient},
	} {
		name := fmt.Sprintf("%+v", c)
		log := newLog(t, -1)
		part := partOf(content)
		switch c.lies {
		case "whole":
			log.place(part.Name, content)
		case "torn":
			log.place(part.Name, content[:100])
		case "longer":
			log.place(part.Name, append(bytes.Clone(content), 'x'))
		case "other":
			log.place(part.Name, bytes.Repeat([]byte("x"), len(content)))
		}
		store := log.store
		if !c.overwrite {
			store = exchangetest.WithoutOverwrite(store)
		}
		restore := func(err error) error {
			var may exchange.Deleter
			if c.deletes {
				may = deleter{log.store.(exchange.Deleter), err}
			}
			return exchange.NewWriter(store).Restore(t.Context(), part, bytes.NewReader(content), may)
		}
		err := restore(c.err)
		if fault.ClassOf(err) != c.want && err != nil || (err == nil) != (c.want == 0) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want == fault.Transient {
			err = restore(nil)
		}
		if whole := exchange.NewReader(log.store).Fetch(t.Context(), part, io.Discard); (whole == nil) != (err == nil) {
			t.Errorf("%s: %v, and then reading it: %v", name, err, whole)
		}
	}
}
