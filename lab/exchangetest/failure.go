package exchangetest

import (
	"errors"
	"io"
	"testing"

	"waybill/exchange"
)

func (s suite) failure(t *testing.T) {
	const size = mB
	for name, body := range map[string]func() io.Reader{
		"a body that fails at once":    func() io.Reader { return failing(0) },
		"a body that fails half-way":   func() io.Reader { return failing(size / 2) },
		"a body that fails at its end": func() io.Reader { return failing(size) },
		"an empty body":                func() io.Reader { return patternOf(1, 0) },
		"a body too short":             func() io.Reader { return patternOf(1, size/2) },
		"a body short by a byte":       func() io.Reader { return patternOf(1, size-1) },
		"a body long by a byte":        func() io.Reader { return patternOf(1, size+1) },
		"a body far too long":          func() io.Reader { return pattern(1) },
	} {
		t.Run(name, func(t *testing.T) { s.failedPut(t, size, body) })
	}
}

// failing yields n bytes and then an error.
func failing(n int64) io.Reader {
	return io.MultiReader(patternOf(1, n), errReader{})
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, ErrCut }

func (s suite) failedPut(t *testing.T, size int64, body func() io.Reader) {
	store := s.open(t).Store
	for _, name := range []string{"top", "parts/type=died/a"} {
		if err := store.Put(t.Context(), name, size, body()); err == nil {
			t.Errorf("put %s = nil", name)
		}
		wantTornOrNothing(t, store, name, size)
	}
	// A failed transfer may not harm the next one, over the same connection for instance.
	putBytes(t, store, "parts/type=died/b", []byte("whole"))
	wantBytes(t, store, "parts/type=died/b", []byte("whole"))
}

func wantTornOrNothing(t *testing.T, store exchange.Store, name string, size int64) {
	t.Helper()
	data, err := getBytes(t, store, name)
	switch {
	case errors.Is(err, exchange.ErrNotFound):
	case err != nil:
		t.Errorf("get %s after a failed put: %v", name, err)
	case int64(len(data)) >= size:
		t.Errorf("a failed put left %d of %d bytes under %s", len(data), size, name)
	}
}
