package exchangetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"waybill/exchange"
)

func (s suite) content(t *testing.T) {
	t.Run("what was put is got", s.putAndGet)
	t.Run("a large file", s.largeFile)
	t.Run("when it was written", s.dated)
	t.Run("the same bytes again", s.putAgain)
	t.Run("other bytes under a taken name", s.putOther)
	t.Run("not found is one error", s.notFound)
	t.Run("many files at once", s.putConcurrently)
	t.Run("a reader closed early", s.closeEarly)
}

func (s suite) putAndGet(t *testing.T) {
	store := s.open(t).Store
	for i, size := range []int64{0, 1, 511, 32 * kB, 32*kB + 1, mB + 3} {
		for _, name := range []string{fmt.Sprintf("top-%d", size), fmt.Sprintf("a/b=c/d@e/%d.json", size)} {
			data := patternBytes(t, byte(i), size)
			putBytes(t, store, name, data)
			wantBytes(t, store, name, data)
		}
		name := fmt.Sprintf("log/%d.json", size)
		data := patternBytes(t, byte(i), size)
		must(t, store.Publish(t.Context(), name, data))
		wantBytes(t, store, name, data)
	}
}

func (s suite) largeFile(t *testing.T) {
	store := s.open(t).Store
	const size = 64 * mB
	sent := sha256.New()
	must(t, store.Put(t.Context(), "parts/large", size, io.TeeReader(patternOf(1, size), sent)))

	file, err := store.Get(t.Context(), "parts/large")
	must(t, err)
	received := sha256.New()
	n, err := io.Copy(received, file)
	must(t, errors.Join(err, file.Close()))
	if n != size || !bytes.Equal(received.Sum(nil), sent.Sum(nil)) {
		t.Errorf("got %d bytes with hash %x, want %d with %x", n, received.Sum(nil), int64(size), sent.Sum(nil))
	}
}

func (s suite) putAgain(t *testing.T) {
	store := s.open(t).Store
	data := patternBytes(t, 1, 100*kB)
	putBytes(t, store, "parts/a", data)
	err := store.Put(t.Context(), "parts/a", int64(len(data)), bytes.NewReader(data))
	if s.caps.Overwrites {
		must(t, err)
	} else {
		wantIs(t, "put again", err, exchange.ErrExists)
	}
	wantBytes(t, store, "parts/a", data)
	wantListed(t, store, "parts", "a")
}

func (s suite) putOther(t *testing.T) {
	store := s.open(t).Store
	torn, whole := patternBytes(t, 1, 10*kB), patternBytes(t, 1, 100*kB)
	putBytes(t, store, "parts/a", torn)
	err := store.Put(t.Context(), "parts/a", int64(len(whole)), bytes.NewReader(whole))
	if s.caps.Overwrites {
		must(t, err)
		wantBytes(t, store, "parts/a", whole)
	} else {
		wantIs(t, "put over another", err, exchange.ErrExists)
		wantBytes(t, store, "parts/a", torn)
	}
}

func (s suite) notFound(t *testing.T) {
	store := s.open(t).Store
	_, err := store.Get(t.Context(), "nothing/at/all")
	wantIs(t, "get from an empty store", err, exchange.ErrNotFound)

	putBytes(t, store, "folder/file", []byte("x"))
	for what, name := range map[string]string{
		"a missing file":                   "folder/other",
		"a file in a missing folder":       "other/file",
		"a folder":                         "folder",
		"a file below a file":              "folder/file/below",
		"a name that is the prefix of one": "folder/fil",
	} {
		_, err := store.Get(t.Context(), name)
		wantIs(t, "get "+what, err, exchange.ErrNotFound)
	}
}

func (s suite) putConcurrently(t *testing.T) {
	store := s.open(t).Store
	var all errgroup.Group
	for i := range 16 {
		all.Go(func() error {
			name := fmt.Sprintf("parts/type=%d/file", i%4) + fmt.Sprint(i)
			return s.again(func() error { return store.Put(t.Context(), name, 100*kB, patternOf(byte(i), 100*kB)) })
		})
	}
	must(t, all.Wait())
	for i := range 16 {
		wantBytes(t, store, fmt.Sprintf("parts/type=%d/file%d", i%4, i), patternBytes(t, byte(i), 100*kB))
	}
}

func (s suite) closeEarly(t *testing.T) {
	store := s.open(t).Store
	data := patternBytes(t, 1, 3*mB)
	putBytes(t, store, "parts/a", data)
	for range 5 {
		file, err := store.Get(t.Context(), "parts/a")
		must(t, err)
		_, err = io.ReadFull(file, make([]byte, 100))
		must(t, errors.Join(err, file.Close()))
	}
	wantBytes(t, store, "parts/a", data)
}

// dated assumes that this machine and the server have the same clock: they are one machine.
func (s suite) dated(t *testing.T) {
	store := s.open(t).Store
	dater, ok := store.(exchange.Dater)
	if !ok {
		return // a wrapped store that does not offer this method
	}
	putBytes(t, store, "parts/a", []byte("x"))
	written, err := dater.Written(t.Context(), "parts/a")
	if s.caps.Undated {
		if err == nil {
			t.Errorf("written at %v, by a server that is said not to know", written)
		}
		return
	}
	must(t, err)
	if ago := time.Since(written); ago < -2*time.Second || ago > time.Minute {
		t.Errorf("written %v ago, by the server's clock", ago)
	}
}
