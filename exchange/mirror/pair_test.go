package mirror_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/mirror"
	"waybill/exchange/trust"
	"waybill/lab/logtest"
	"waybill/schemas"
)

var epoch = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// pair is a log with a producer, and an empty store.
type pair struct {
	*testing.T
	from, to         *dir.Store
	fromDir, toDir   string
	producer         *logtest.Producer
	trust            *trust.Policy
	back             exchange.Publisher
	ledger, spoolDir string
	wrap             func(exchange.Store) exchange.Store
	keep             bool // nothing is deleted in the mirror
}

func newPair(t *testing.T) *pair {
	t.Helper()
	return newPairIn(t, t.TempDir())
}

func newPairIn(t *testing.T, dir string) *pair {
	t.Helper()
	p := &pair{T: t, fromDir: filepath.Join(dir, "from"), toDir: filepath.Join(dir, "to"), spoolDir: t.TempDir()}
	p.from, p.to = open(t, p.fromDir), open(t, p.toDir)
	p.producer = logtest.NewProducer(t, p.from, epoch)
	p.wrap = func(s exchange.Store) exchange.Store { return s }
	return p
}

func open(t *testing.T, path string) *dir.Store {
	t.Helper()
	store, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (p *pair) changes(n int) {
	for range n {
		p.producer.Now = p.producer.Now.Add(time.Minute)
		p.producer.Changes(logtest.State{Event: schemas.Registered, Patient: logtest.Patient(n), Version: 1})
	}
}

func (p *pair) mirror() *mirror.Mirror {
	p.Helper()
	config := mirror.Config{
		From: p.from, Trust: p.trust, To: p.wrap(p.to), Delete: p.to, Back: p.back, Ledger: p.ledger, Dir: p.spoolDir,
		Now: func() time.Time { return p.producer.Now },
	}
	if p.keep {
		config.Delete = nil
	}
	m, err := mirror.New(config)
	if err != nil {
		p.Fatal(err)
	}
	return m
}

func (p *pair) run() mirror.Summary {
	p.Helper()
	s, err := p.mirror().Run(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	return s
}

// same compares all that readers read.
func (p *pair) same() {
	p.Helper()
	from, to := files(p.T, p.fromDir), files(p.T, p.toDir)
	for name, data := range from {
		if name != "README.txt" && to[name] != data {
			p.Errorf("%s is not the same at both", name)
		}
	}
	for name := range to {
		if _, there := from[name]; !there && name != "README.txt" {
			p.Errorf("%s is only in the mirror", name)
		}
	}
}

func files(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		found[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// floorAt publishes a snapshot and a floor so many batches before it; with clear, it also deletes what is below.
func (p *pair) floorAt(before int64, clear bool) *schemas.Floor {
	p.Helper()
	snapshot := p.producer.Snapshot(p.generation()+1, logtest.State{Event: schemas.Registered, Baseline: true, Patient: logtest.Patient(1), Version: 1})
	reader := exchange.NewReader(p.from)
	oldest, err := reader.Open(p.Context(), snapshot.Batch-before)
	if err != nil {
		p.Fatal(err)
	}
	number, err := reader.NextFloor(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	floor := &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: snapshot.Log, Floor: number, Batch: snapshot.Batch - before,
		Previous: oldest.Manifest.Previous, Snapshot: snapshot.Batch, Manifest: p.producer.Hash(), PublishedAt: schemas.At(p.producer.Now),
		Producer: snapshot.Producer,
	}
	if err := exchange.NewWriter(p.from).Floor(p.Context(), floor); err != nil {
		p.Fatal(err)
	}
	if clear {
		files, err := reader.Below(p.Context(), oldest)
		if err == nil {
			err = exchange.Delete(p.Context(), p.from, files.Files())
		}
		if err != nil {
			p.Fatal(err)
		}
	}
	return floor
}

func (p *pair) generation() int64 {
	p.Helper()
	last, err := exchange.NewReader(p.from).Last(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	return last.Manifest.Generation
}
