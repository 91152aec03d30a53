package doctor_test

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/doctor"
	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
)

// altered is a directory's store whose roles behave otherwise.
type altered struct {
	exchange.Store
	*directory
}

type directory struct{ s *dir.Store }

func (d *directory) Delete(ctx context.Context, name string) error { return d.s.Delete(ctx, name) }

func (d *directory) Tidy(ctx context.Context, folder string) { d.s.Tidy(ctx, folder) }

func (d *directory) Inspect(ctx context.Context) ([]fact.Fact, error) { return d.s.Inspect(ctx) }

func run(t *testing.T, role doctor.Role, alter func(exchange.Store) exchange.Store) (facts []fact.Fact, root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "stream")
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	var store exchange.Store = s
	if alter != nil {
		store = alter(s)
	}
	return doctor.Probe(t.Context(), altered{store, &directory{s}}, role, "doctor/1"), root
}

func find(t *testing.T, facts []fact.Fact, name string) fact.Fact {
	t.Helper()
	i := slices.IndexFunc(facts, func(f fact.Fact) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("nothing is said of %q in %+v", name, facts)
	}
	return facts[i]
}

func TestADirectoryPasses(t *testing.T) {
	for _, role := range []doctor.Role{doctor.Exporter, doctor.Importer} {
		facts, root := run(t, role, nil)
		for _, f := range facts {
			if f.Fails || f.Advice != "" {
				t.Errorf("%+v", f)
			}
		}
		for _, name := range []string{"reach", "list", "publish", "delete"} {
			find(t, facts, name)
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				t.Errorf("%s is left", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAnImporterIsNotAskedToPutParts(t *testing.T) {
	facts, _ := run(t, doctor.Importer, func(s exchange.Store) exchange.Store {
		return &exchangetest.Faulty{Store: s, Fail: func(op exchangetest.Op, _ string) error {
			if op == exchangetest.Put {
				return errors.New("denied")
			}
			return nil
		}}
	})
	for _, f := range facts {
		if f.Fails {
			t.Errorf("%+v", f)
		}
	}
}

func TestWhatAStoreCannotDoIsNamed(t *testing.T) {
	refuse := func(refused exchangetest.Op) func(exchange.Store) exchange.Store {
		return func(s exchange.Store) exchange.Store {
			return &exchangetest.Faulty{Store: s, Fail: func(op exchangetest.Op, _ string) error {
				if op == refused {
					return fault.New(fault.Usage, string(op), "it", errors.New("denied"), "grant it")
				}
				return nil
			}}
		}
	}
	for _, c := range []struct {
		fact  string
		alter func(exchange.Store) exchange.Store
	}{
		{"reach", refuse(exchangetest.Get)},
		{"list", refuse(exchangetest.List)},
		{"write", refuse(exchangetest.Put)},
		{"publish", refuse(exchangetest.Publish)},
		{"publish", func(s exchange.Store) exchange.Store { return overwriting{s} }},
		{"publish", func(s exchange.Store) exchange.Store { return replacing{s} }},
		{"read after write", func(s exchange.Store) exchange.Store {
			return &exchangetest.Faulty{Store: s, Tear: func(op exchangetest.Op, _ string) (int64, bool) { return 2, op == exchangetest.Get }}
		}},
	} {
		facts, _ := run(t, doctor.Exporter, c.alter)
		if f := find(t, facts, c.fact); !f.Fails || f.Advice == "" {
			t.Errorf("%s: %+v", c.fact, f)
		}
	}
}

// overwriting publishes over what is there.
type overwriting struct{ exchange.Store }

func (s overwriting) Publish(ctx context.Context, name string, data []byte) error {
	return s.Put(ctx, name, int64(len(data)), strings.NewReader(string(data)))
}

// replacing refuses what is published again, and puts it in place all the same.
type replacing struct{ exchange.Store }

func (s replacing) Publish(ctx context.Context, name string, data []byte) error {
	err := s.Store.Publish(ctx, name, data)
	if errors.Is(err, exchange.ErrExists) {
		return errors.Join(err, s.Put(ctx, name, int64(len(data)), strings.NewReader(string(data))))
	}
	return err
}

// once emulates create-if-absent: the first of its races has two winners.
type once struct{ exchange.Store }

func (s once) Publish(ctx context.Context, name string, data []byte) error {
	err := s.Store.Publish(ctx, name, data)
	if strings.HasSuffix(name, "race-0") && errors.Is(err, exchange.ErrExists) {
		return nil
	}
	return err
}

// says is a store that says how it creates a file if there is none, or fails to say anything.
type says struct {
	altered
	how string
	err error
}

func (s says) Inspect(context.Context) ([]fact.Fact, error) {
	return []fact.Fact{{Name: "create-if-absent", Value: s.how}}, s.err
}

func TestWhatAStoreSaysOfItselfIsCompared(t *testing.T) {
	for _, test := range []struct {
		says   string
		raced  func(exchange.Store) exchange.Store
		fails  bool
		phrase string
	}{
		{"native, by hardlink", func(s exchange.Store) exchange.Store { return s }, false, "one of 8"},
		{"native, by hardlink", func(s exchange.Store) exchange.Store { return once{s} }, true, "not native, by hardlink, as the server says: of 8 at once, 8 got"},
		{"emulated: looks, then renames", func(s exchange.Store) exchange.Store { return once{s} }, false, "emulated: of 8"},
		{"emulated: looks, then renames", func(s exchange.Store) exchange.Store { return s }, false, "emulated, though one of 8"},
	} {
		s, err := dir.Open(filepath.Join(t.TempDir(), "stream"))
		if err != nil {
			t.Fatal(err)
		}
		store := says{altered{test.raced(s), &directory{s}}, test.says, nil}
		f := find(t, doctor.Probe(t.Context(), store, doctor.Exporter, "doctor/1"), "create if absent")
		if f.Fails != test.fails || test.fails == (f.Advice == "") || !strings.HasPrefix(f.Value, test.phrase) {
			t.Errorf("%+v", f)
		}
	}
}

// A failure is never marked as ok, also where its error says little.
func TestNoFailureIsMarkedOK(t *testing.T) {
	broken := errors.New("context deadline exceeded")
	for what, alter := range map[string]func(exchange.Store) exchange.Store{
		"get": failing(exchangetest.Get, ""), "put": failing(exchangetest.Put, ""), "publish": failing(exchangetest.Publish, "published"),
		"race": failing(exchangetest.Publish, "race-3"), "list": failing(exchangetest.List, ""), "inspect": func(s exchange.Store) exchange.Store { return s },
	} {
		s, err := dir.Open(filepath.Join(t.TempDir(), "stream"))
		if err != nil {
			t.Fatal(err)
		}
		store := says{altered: altered{alter(s), &directory{s}}}
		if what == "inspect" {
			store.err = broken
		}
		told := false
		for _, f := range doctor.Probe(t.Context(), store, doctor.Exporter, "doctor/1") {
			if !strings.Contains(f.Value, broken.Error()) {
				continue
			}
			if told = true; !f.Fails || f.Advice == "" {
				t.Errorf("%s: %+v", what, f)
			}
		}
		if !told {
			t.Errorf("%s: the failure is not told", what)
		}
	}
}

// failing returns a store of which an operation on the names that hold a word fails.
func failing(op exchangetest.Op, word string) func(exchange.Store) exchange.Store {
	return func(s exchange.Store) exchange.Store {
		return &exchangetest.Faulty{Store: s, Fail: func(o exchangetest.Op, name string) error {
			if o == op && strings.Contains(name, word) {
				return errors.New("context deadline exceeded")
			}
			return nil
		}}
	}
}

func TestWhereIfNoneMatchIsIgnoredTheOptionIsNamed(t *testing.T) {
	facts, _ := run(t, doctor.Exporter, func(s exchange.Store) exchange.Store { return overwriting{s} })
	if f := find(t, facts, "publish"); !strings.Contains(f.Advice, "emulate_publish") {
		t.Errorf("%+v", f)
	}
}

func TestHowAStorePublishesIsSaid(t *testing.T) {
	facts, _ := run(t, doctor.Exporter, exchangetest.WithoutOverwrite)
	if f := find(t, facts, "overwrite"); !strings.Contains(f.Value, "retry names") {
		t.Errorf("%+v", f)
	}
	facts, _ = run(t, doctor.Exporter, nil)
	if f := find(t, facts, "overwrite"); !strings.HasPrefix(f.Value, "yes") {
		t.Errorf("%+v", f)
	}
	if f := find(t, facts, "create if absent"); !strings.HasPrefix(f.Value, "one of") {
		t.Errorf("%+v", f)
	}
	facts, _ = run(t, doctor.Exporter, func(s exchange.Store) exchange.Store { return once{s} })
	if f := find(t, facts, "create if absent"); !strings.HasPrefix(f.Value, "emulated") {
		t.Errorf("%+v", f)
	}
}

// dated is a server whose clock is behind.
type dated struct {
	altered
	behind time.Duration
}

func (d dated) Written(context.Context, string) (time.Time, error) {
	return time.Now().Add(-d.behind), nil
}

func TestAServersClockMayBeBehindOrAhead(t *testing.T) {
	for behind, off := range map[time.Duration]bool{0: false, 3 * time.Second: false, -3 * time.Second: false, time.Minute: true, -time.Minute: true} {
		s, err := dir.Open(filepath.Join(t.TempDir(), "stream"))
		if err != nil {
			t.Fatal(err)
		}
		var f fact.Fact
		synctest.Test(t, func(t *testing.T) { // where this machine's clock stands
			f = find(t, doctor.Probe(t.Context(), dated{altered{s, &directory{s}}, behind}, doctor.Exporter, "doctor/1"), "clock")
		})
		if (f.Advice != "") != off || f.Fails || off && !strings.HasSuffix(f.Value, "differs from this machine's by 1m0s") {
			t.Errorf("%s behind: %+v", behind, f)
		}
	}
}

// A person interrupts it at any time: nothing of the probe is left.
func TestAnInterruptedProbeLeavesNothing(t *testing.T) {
	for _, at := range []string{"file", "published", "race-0", "race-4"} {
		for _, role := range []doctor.Role{doctor.Exporter, doctor.Importer} {
			root := filepath.Join(t.TempDir(), "stream")
			s, err := dir.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			ctx, interrupt := context.WithCancel(t.Context())
			store := &exchangetest.Faulty{Store: s, Fail: func(_ exchangetest.Op, name string) error {
				if path.Base(name) == at {
					defer interrupt() // after some have begun
				}
				return nil
			}}
			doctor.Probe(ctx, altered{store, &directory{s}}, role, "doctor/1")
			interrupt()
			for name, err := range s.List(t.Context(), "doctor/1") {
				t.Errorf("interrupted at %s, as %d: %s is left (%v)", at, role, name, err)
			}
		}
	}
}
