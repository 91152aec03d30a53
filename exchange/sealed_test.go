package exchange_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/internal/fault"
	"waybill/schemas"
)

// A part whose hash is right and which does not open is the producer's mistake: poison.
func TestASealThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	reader := exchange.NewReader(nil)
	file := filepath.Join(t.TempDir(), "key")
	if _, err := seal.New(file, time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.ReadKeys([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	p := schemas.Part{Name: "part", Bytes: 5, Seal: &schemas.Sealed{Form: schemas.SealForm}}
	if _, err := reader.Opening(keys).Opened(p, strings.NewReader("wrong")); fault.ClassOf(err) != fault.Poison {
		t.Errorf("%v", err)
	}
}
