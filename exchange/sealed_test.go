package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/internal/fault"
	"waybill/schemas"
)

// A part whose hash is right and which does not open is the producer's mistake: poison.
func TestASealThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	reader := exchange.NewReader(nil)
	keys := newKeys(t)
	p := schemas.Part{Name: "part", Bytes: 5, Seal: &schemas.Sealed{Form: schemas.SealForm}}
	if _, err := reader.Opening(keys).Opened(p, strings.NewReader("wrong")); fault.ClassOf(err) != fault.Poison {
		t.Errorf("%v", err)
	}
}

func newKeys(t *testing.T) seal.Keys {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if _, err := seal.New(file, time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.ReadKeys([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// beginning is a store of which no more may be read than that.
type beginning struct {
	exchange.ReadStore
	data []byte
}

func (b beginning) Get(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.data), iotest.ErrReader(errors.New("more was read")))), nil
}

// Whether a part can be opened is asked often, and parts are large.
func TestWhetherAPartOpensIsSeenAtItsBeginning(t *testing.T) {
	t.Parallel()
	ours, others := newKeys(t), newKeys(t)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, ours[0].Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 2*seal.MaxHeader)); err != nil {
		t.Fatal(err)
	}
	reader := exchange.NewReader(beginning{data: sealed.Bytes()[:seal.MaxHeader]})
	p := schemas.Part{Name: "part", Bytes: int64(sealed.Len()), Seal: &schemas.Sealed{Form: schemas.SealForm}}
	for name, c := range map[string]struct {
		keys seal.Keys
		want error
	}{"ours": {ours, nil}, "one of two": {append(others, ours...), nil}, "another's": {others, seal.ErrNotForUs}, "none": {nil, seal.ErrNotForUs}} {
		if err := reader.Opening(c.keys).Opens(t.Context(), p); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	damaged := exchange.NewReader(beginning{data: make([]byte, seal.MaxHeader)})
	if err := damaged.Opening(ours).Opens(t.Context(), p); err == nil || errors.Is(err, seal.ErrNotForUs) {
		t.Errorf("what is no age file: %v", err)
	}
}
