package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

var content = bytes.Repeat([]byte("0123456789"), 10_000)

func partOf(data []byte) schemas.Part {
	hash := schemas.Hash(data)
	return schemas.Part{
		Name:   schemas.PartName(schemas.Died, epoch, 42, hash, 0),
		Bytes:  int64(len(data)),
		SHA256: hash,
	}
}

func TestFetch(t *testing.T) {
	log := newLog(t, -1)
	part := partOf(content)
	log.place(part.Name, content)
	var got bytes.Buffer
	must(t, exchange.NewReader(log.store).Fetch(t.Context(), part, &got))
	if !bytes.Equal(got.Bytes(), content) {
		t.Errorf("got %d bytes, want %d", got.Len(), len(content))
	}
}

func TestFetchSaysWhyAPartIsPending(t *testing.T) {
	part := partOf(content)
	for _, test := range []struct {
		name   string
		place  []byte
		reason string
	}{
		{"missing", nil, exchange.NoPart},
		{"empty", []byte{}, exchange.Short},
		{"short by a byte", content[:len(content)-1], exchange.Short},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := newLog(t, -1)
			if test.place != nil {
				log.place(part.Name, test.place)
			}
			err := exchange.NewReader(log.store).Fetch(t.Context(), part, io.Discard)
			wantPending(t, err, exchange.Pending{Batch: 42, Reason: test.reason, File: part.Name})
		})
	}
}

func TestFetchRefusesDamage(t *testing.T) {
	part := partOf(content)
	flipped := bytes.Clone(content)
	flipped[50_000] ^= 1
	absurd := part
	absurd.Bytes = 1000
	for _, test := range []struct {
		name  string
		part  schemas.Part
		place []byte
	}{
		{"a flipped bit", part, flipped},
		{"a byte too many", part, append(bytes.Clone(content), 'x')},
		{"fewer bytes announced than there are", absurd, content},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := newLog(t, -1)
			log.place(part.Name, test.place)
			var got bytes.Buffer
			err := exchange.NewReader(log.store).Fetch(t.Context(), test.part, &got)
			if !errors.Is(err, exchange.ErrDamaged) || fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), "repair 42") {
				t.Errorf("%v (%v, hint %q), want damaged", err, fault.ClassOf(err), fault.HintOf(err))
			}
			if int64(got.Len()) > test.part.Bytes+1 {
				t.Errorf("%d bytes were read of %d announced", got.Len(), test.part.Bytes)
			}
		})
	}
}

func TestFetchRefusesNamesThatAreNoParts(t *testing.T) {
	log := newLog(t, 1)
	part := partOf(log.files[0])
	hash := part.SHA256
	for _, name := range []string{
		"", "log/000000000/000000000000.json", "../" + part.Name, part.Name + "/x",
		schemas.PartName(schemas.Died, epoch, 42, strings.Repeat("0", 64), 0),
	} {
		err := exchange.NewReader(log.store).Fetch(t.Context(), schemas.Part{Name: name, Bytes: math.MaxInt64, SHA256: hash}, io.Discard)
		if fault.ClassOf(err) != fault.Poison || !errors.Is(err, schemas.ErrInvalid) {
			t.Errorf("%q: %v (%v), want invalid", name, err, fault.ClassOf(err))
		}
	}
}

func TestFetchFailsAsItsEndsDo(t *testing.T) {
	log := newLog(t, -1)
	part := partOf(content)
	log.place(part.Name, content)
	reader := exchange.NewReader(log.store)

	read, write := io.Pipe()
	must(t, read.CloseWithError(io.ErrShortWrite)) // a spool that is full
	if err := reader.Fetch(t.Context(), part, write); !errors.Is(err, io.ErrShortWrite) || fault.ClassOf(err) != fault.Transient {
		t.Errorf("%v (%v), want the spool's error", err, fault.ClassOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reader.Fetch(ctx, part, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	down := &exchangetest.Faulty{Store: log.store, Fail: func(exchangetest.Op, string) error { return exchangetest.ErrCut }}
	if err := exchange.NewReader(down).Fetch(t.Context(), part, io.Discard); !errors.Is(err, exchangetest.ErrCut) {
		t.Errorf("%v, want %v", err, exchangetest.ErrCut)
	}
}
