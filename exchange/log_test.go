package exchange_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/schemas"
)

// testLog is a log in the making, in a directory.
type testLog struct {
	t     *testing.T
	store exchange.Store
	files [][]byte // the manifests, by batch
}

func newStore(t *testing.T) exchange.Store {
	t.Helper()
	store, err := dir.Open(filepath.Join(t.TempDir(), schemas.Stream))
	must(t, err)
	return store
}

// newLog returns a log whose batches 0 to last are published.
func newLog(t *testing.T, last int) *testLog {
	t.Helper()
	l := &testLog{t: t, store: newStore(t)}
	for range last + 1 {
		l.publish(l.next())
	}
	return l
}

// next returns the file of the batch that comes next, changed as told.
func (l *testLog) next(change ...func(*schemas.Manifest)) []byte {
	l.t.Helper()
	m := manifest(int64(len(l.files)))
	if m.Batch > 0 {
		m.Previous = schemas.Hash(l.files[m.Batch-1])
	}
	for _, f := range change {
		f(m)
	}
	return encode(l.t, m)
}

func (l *testLog) publish(data []byte) {
	l.t.Helper()
	l.place(schemas.ManifestName(int64(len(l.files)), 0), data)
	l.files = append(l.files, data)
}

// skip takes a batch into the chain without publishing it.
func (l *testLog) skip(n int) {
	l.t.Helper()
	for range n {
		l.files = append(l.files, l.next())
	}
}

func (l *testLog) place(name string, data []byte) {
	l.t.Helper()
	must(l.t, l.store.Put(l.t.Context(), name, int64(len(data)), bytes.NewReader(data)))
}

func (l *testLog) at(batch int) exchange.Position {
	if batch < 0 {
		return exchange.Position{Batch: -1}
	}
	return exchange.Position{Batch: int64(batch), Hash: schemas.Hash(l.files[batch])}
}

var epoch = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

func manifest(batch int64) *schemas.Manifest {
	m := &schemas.Manifest{
		Format:           schemas.Format,
		MinReader:        schemas.Format,
		Stream:           schemas.Stream,
		Log:              "6f0a4d5e-3c1b-4b7e-9a51-0d6a3c2f1e00",
		Contract:         schemas.ContractRef{Name: schemas.Stream, Version: "1.0.0", SHA256: strings.Repeat("ab", 32)},
		Generation:       1,
		Batch:            batch,
		Kind:             schemas.Changes,
		Plan:             fmt.Sprintf("6f0a4d5e-3c1b-4b7e-9a51-%012d", batch),
		Window:           windowOf(batch),
		Cursor:           schemas.Cursor{Before: fmt.Sprintf("%d:%d:", 100+batch, 100+batch), After: fmt.Sprintf("%d:%d:", 101+batch, 101+batch)},
		HeartbeatSeconds: 300,
		Producer:         schemas.Software{Software: "waybill", Version: "test"},
	}
	if batch == 0 {
		m.Kind, m.Window.From, m.Cursor.Before = schemas.Genesis, m.Window.To, m.Cursor.After
	}
	m.Totalled()
	return m
}

func windowOf(batch int64) schemas.Window {
	from := epoch.Add(time.Duration(batch) * 5 * time.Minute)
	return schemas.Window{From: schemas.At(from), To: schemas.At(from.Add(5 * time.Minute))}
}

func encode(t *testing.T, m *schemas.Manifest) []byte {
	t.Helper()
	data, err := m.Encode()
	must(t, err)
	return data
}

// reseal replaces text in a manifest's file and makes its last line fit again.
func reseal(t *testing.T, data []byte, from, to string) []byte {
	t.Helper()
	const last = `"sha256":"`
	body := data[:bytes.LastIndex(data, []byte(last))]
	if !bytes.Contains(body, []byte(from)) {
		t.Fatalf("the manifest doesn't hold %q", from)
	}
	body = bytes.Replace(bytes.Clone(body), []byte(from), []byte(to), 1)
	return fmt.Appendf(body, "%s%s\"}\n", last, schemas.Hash(body))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
