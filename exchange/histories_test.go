package exchange_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/lab/logtest"
	"waybill/schemas"
)

var update = flag.Bool("update", false, "write the histories of schemas/testdata/vectors anew")

const histories = "../schemas/testdata/vectors/histories"

// history is an exchange that changes step by step, and what a follower finds after each.
type history struct {
	About string        `json:"about"`
	Steps []historyStep `json:"steps"`
}

type historyStep struct {
	What   string            `json:"what"`
	Put    map[string]string `json:"put"`             // files of the vector, by their names on the store
	Delete []string          `json:"delete"`          // names on the store
	Begin  *int64            `json:"begin,omitempty"` // a person has the follower begin at this snapshot
	Finds  verdict           `json:"finds"`
}

type verdict struct {
	Position int64             `json:"position"` // the last batch that was applied
	End      string            `json:"end"`      // why no further one is
	Batch    int64             `json:"batch"`    // which one
	States   map[string]string `json:"states"`   // of each patient, the winning "generation.version.revision event"
}

// recording is a history in the making.
type recording struct {
	t *testing.T
	*logtest.Producer
	root, name string
	history    history
	before     map[string]string
	follower   *follower
	files      map[string][]byte
}

// step changes the exchange, and says how the follower then ends.
func (r *recording) step(end, what string, change func()) { r.stepFrom(nil, end, what, change) }

func (r *recording) stepFrom(begin *int64, end, what string, change func()) {
	r.Now = r.Now.Add(time.Minute)
	change()
	s := historyStep{What: what, Put: map[string]string{}, Delete: []string{}, Begin: begin}
	now := tree(r.t, r.root)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if old, there := r.before[name]; !there || old != now[name] {
			file := fmt.Sprintf("%02d-%s", len(r.history.Steps)+1, filepath.Base(name))
			s.Put[name], r.files[file] = file, []byte(now[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.before)) {
		if _, there := now[name]; !there {
			s.Delete = append(s.Delete, name)
		}
	}
	r.before = now
	s.Finds = r.follower.follow(r.t, begin)
	if s.Finds.End != end {
		r.Errorf("%s, %s: ends with %q, want %q", r.name, what, s.Finds.End, end)
	}
	r.history.Steps = append(r.history.Steps, s)
}

// hide takes a file away, and returns what puts it back.
func (r *recording) hide(name string) func() {
	data := []byte(tree(r.t, r.root)[name])
	must(r.t, os.Remove(filepath.Join(r.root, name)))
	return func() { r.write(name, data) }
}

func (r *recording) write(name string, data []byte) {
	must(r.t, r.Store.Put(r.Context(), name, int64(len(data)), bytes.NewReader(data)))
}

func tree(t *testing.T, root string) map[string]string {
	found := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		found[filepath.ToSlash(name)] = string(data)
		return err
	}))
	return found
}

// follower is the least that section 9 of SPEC.md asks for, on this project's reader.
type follower struct {
	store      exchange.Store
	at         exchange.Position
	generation int64
	states     map[uuid.UUID]logtest.Event
}

func newFollower(store exchange.Store) *follower {
	return &follower{store: store, at: exchange.Position{Batch: -1}, states: map[uuid.UUID]logtest.Event{}}
}

func (f *follower) follow(t *testing.T, begin *int64) verdict {
	reader := exchange.NewReader(f.store)
	if begin != nil {
		snapshot, err := reader.Open(t.Context(), *begin)
		must(t, err)
		f.at = snapshot.Before()
	}
	for {
		err := f.apply(t.Context(), reader)
		if err == nil {
			continue
		}
		v := verdict{Position: f.at.Batch, End: endOf(err), Batch: f.at.Batch + 1, States: map[string]string{}}
		for patient, e := range f.states {
			v.States[patient.String()] = fmt.Sprintf("%d.%d.%d %s", e.Generation, e.Version, e.Revision, e.Event)
		}
		return v
	}
}

func endOf(err error) string {
	if errors.Is(err, exchange.ErrNothingNew) {
		return "nothing new"
	}
	if p, ok := errors.AsType[*exchange.Pending](err); ok {
		return p.Reason
	}
	if _, ok := errors.AsType[*exchange.Pruned](err); ok {
		return "pruned"
	}
	if errors.Is(err, exchange.ErrFork) {
		return "fork"
	}
	return err.Error()
}

// apply takes the next batch as a whole, or nothing of it.
func (f *follower) apply(ctx context.Context, reader *exchange.Reader) error {
	entry, err := reader.Next(ctx, f.at)
	if err != nil {
		return err
	}
	var events []logtest.Event
	for _, p := range entry.Manifest.Parts {
		found, err := logtest.PartEvents(ctx, reader.Opening(nil), p)
		if err != nil {
			return err
		}
		events = append(events, found...)
	}
	stated := map[uuid.UUID]bool{}
	for _, e := range events {
		stated[e.Patient] = true
		if last, known := f.states[e.Patient]; known && (last.Event == schemas.Erased || e.Event != schemas.Erased && !newer(e, last)) {
			continue
		}
		f.states[e.Patient] = e
	}
	if m := entry.Manifest; m.Kind == schemas.Snapshot && m.Generation > f.generation {
		for patient, last := range f.states {
			if !stated[patient] && int64(last.Generation) < m.Generation && last.Event != schemas.Erased {
				f.states[patient] = logtest.Event{Event: "vanished", Patient: patient, Generation: int32(m.Generation)}
			}
		}
	}
	f.at, f.generation = entry.Position(), max(f.generation, entry.Manifest.Generation)
	return nil
}

func newer(a, b logtest.Event) bool {
	return slices.Compare([]int64{int64(a.Generation), a.Version, int64(a.Revision)}, []int64{int64(b.Generation), b.Version, int64(b.Revision)}) > 0
}

// Each history that lies there is lived through again, and the follower finds what is written there.
func TestHistoriesAreFollowedAsWritten(t *testing.T) {
	if *update {
		must(t, os.RemoveAll(histories))
		for name, script := range scripts {
			record(t, name, script)
		}
	}
	for name := range scripts {
		var h history
		data, err := os.ReadFile(filepath.Join(histories, name, "history.json"))
		must(t, err)
		must(t, json.Unmarshal(data, &h))
		root := filepath.Join(t.TempDir(), schemas.Stream)
		store, err := dir.Open(root)
		must(t, err)
		f := newFollower(store)
		for _, s := range h.Steps {
			for at, file := range s.Put {
				data, err := os.ReadFile(filepath.Join(histories, name, file))
				must(t, err)
				must(t, store.Put(t.Context(), at, int64(len(data)), bytes.NewReader(data)))
			}
			for _, at := range s.Delete {
				must(t, store.Delete(t.Context(), at))
			}
			if diff := cmp.Diff(s.Finds, f.follow(t, s.Begin)); diff != "" {
				t.Errorf("%s, %s: %s", name, s.What, diff)
			}
		}
	}
	if entries, err := os.ReadDir(histories); err != nil || len(entries) != len(scripts) {
		t.Errorf("%d histories lie there, want %d: %v", len(entries), len(scripts), err)
	}
}

// record writes a history. Ids and times are the same each time.
func record(t *testing.T, name string, s script) {
	root := filepath.Join(t.TempDir(), schemas.Stream)
	store, err := dir.Open(root)
	must(t, err)
	r := &recording{t: t, root: root, name: name, history: history{About: s.about}, before: map[string]string{}, follower: newFollower(store), files: map[string][]byte{}}
	r.Producer = logtest.NewProducerAs(t, store, epoch, func(m *schemas.Manifest) {
		m.Log = "5b0f7a1e-0000-4000-8000-000000000001"
		m.Plan = fmt.Sprintf("5b0f7a1e-0000-4000-8000-%012d", 1000+m.Batch)
	})
	s.run(r)
	data, err := json.MarshalIndent(r.history, "", "  ")
	must(t, err)
	r.files["history.json"] = append(data, '\n')
	must(t, os.MkdirAll(filepath.Join(histories, name), 0o755))
	for file, data := range r.files {
		must(t, os.WriteFile(filepath.Join(histories, name, file), data, 0o644))
	}
}
