package mirror_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/schemas"
)

func TestAMirrorHasTheSameFiles(t *testing.T) {
	p := newPair(t)
	p.changes(3)
	if s := p.run(); s.Batches != 4 || s.Parts != 3 || s.Last != 3 || s.Bytes == 0 {
		t.Errorf("%+v", s)
	}
	p.same()
	if s := p.run(); s.Batches != 0 || s.Last != 3 {
		t.Errorf("again: %+v", s)
	}
	p.changes(2)
	if s := p.run(); s.Batches != 2 || s.Last != 5 {
		t.Errorf("later: %+v", s)
	}
	p.same()
	if files(t, p.toDir)["README.txt"] == "" {
		t.Error("no note for the administrators")
	}
}

// breaking fails one write, before or after it was done, and keeps the order of all.
type breaking struct {
	exchange.Store
	at    int
	after bool
	names *[]string
}

var errBroken = errors.New("the line is cut")

func (b breaking) write(name string, do func() error) error {
	*b.names = append(*b.names, name)
	if len(*b.names) != b.at {
		return do()
	}
	if b.after {
		return errors.Join(do(), errBroken)
	}
	return errBroken
}

func (b breaking) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	return b.write(name, func() error { return b.Store.Put(ctx, name, size, body) })
}

func (b breaking) Publish(ctx context.Context, name string, data []byte) error {
	return b.write(name, func() error { return b.Store.Publish(ctx, name, data) })
}

func TestAMirrorResumesAfterEachWrite(t *testing.T) {
	for _, ledger := range []string{"", "ledger"} {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				p := newPair(t)
				p.keep = true
				p.changes(2)
				p.floorAt(2, false)
				if ledger != "" {
					p.ledger = filepath.Join(t.TempDir(), ledger)
				}
				calm := p.wrap
				if ledger != "" { // what was written before it broke stays
					calm = exchangetest.WithoutOverwrite
				}
				var names []string
				p.wrap = func(s exchange.Store) exchange.Store { return breaking{calm(s), at, after, &names} }
				_, err := p.mirror().Run(t.Context())
				if err == nil {
					if at < 7 {
						t.Errorf("only %d writes", at)
					}
					p.inOrder(names)
					break
				}
				p.wrap = calm
				p.run()
				p.same()
			}
		}
	}
}

// inOrder wants each manifest after the parts of its batch, and floors at last.
func (p *pair) inOrder(names []string) {
	p.Helper()
	done := int64(-1)
	for i, name := range names {
		if part, ok := schemas.ParsePartName(name); ok && part.Batch <= done {
			p.Errorf("%s was written after its manifest", name)
		}
		if batch, _, ok := schemas.ParseManifestName(name); ok {
			done = batch
		}
		if strings.HasPrefix(name, "floors/") && i != len(names)-1 {
			p.Errorf("%s was not written at last", name)
		}
	}
}

func TestFloorsAreObeyed(t *testing.T) {
	p := newPair(t)
	p.changes(5)
	p.run()
	p.floorAt(2, true)
	p.changes(1)
	if s := p.run(); s.Floors != 1 || s.Deleted != 4+3 || s.Batches != 2 {
		t.Errorf("%+v", s)
	}
	p.same()
	if s := p.run(); s.Floors+s.Deleted+s.Batches != 0 {
		t.Errorf("again: %+v", s)
	}
	p.to, p.toDir = open(t, filepath.Join(t.TempDir(), "late")), "" // begins at the floor
	if s := p.run(); s.Batches != 4 || s.Floors != 1 {
		t.Errorf("late: %+v", s)
	}
	if _, err := exchange.NewReader(p.to).Next(t.Context(), exchange.Position{Batch: -1}); !isPruned(err) {
		t.Errorf("a reader of the late mirror finds %v", err)
	}
}

func isPruned(err error) bool {
	_, pruned := errors.AsType[*exchange.Pruned](err)
	return pruned
}

// A floor that was published after the last batch that the mirror copied names a snapshot that it does not have yet.
func TestAFloorWaitsForItsSnapshot(t *testing.T) {
	for missing := int64(1); missing <= 3; missing++ { // the floor is at 1, and its snapshot is 3
		p := newPair(t)
		p.changes(2)
		p.floorAt(2, false)
		p.hide(schemas.ManifestName(missing, 0))
		s, err := p.mirror().Run(t.Context())
		if fault.ClassOf(err) != fault.NotYet && missing < 3 || s.Floors != 0 || s.Last != missing-1 {
			t.Errorf("without batch %d: %+v, %v", missing, s, err)
		}
	}
}

func (p *pair) hide(name string) (show func()) {
	p.Helper()
	path := filepath.Join(p.fromDir, name)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		p.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			p.Fatal(err)
		}
	}
}

func TestWhatIsNotThereYetIsCopiedLater(t *testing.T) {
	p := newPair(t)
	p.changes(5)
	for _, name := range []string{schemas.ManifestName(3, 0), partOf(p, 4)} {
		show := p.hide(name)
		s, err := p.mirror().Run(t.Context())
		if fault.ClassOf(err) != fault.NotYet || s.Last != map[bool]int64{true: 2, false: 3}[strings.HasPrefix(name, "log")] {
			t.Errorf("without %s: %+v, %v", name, s, err)
		}
		show()
	}
	p.run()
	p.same()
}

// A gap at the log's end keeps no floor back whose snapshot was copied.
func TestFloorsPassAGap(t *testing.T) {
	p := newPair(t)
	p.changes(3)
	floor := p.floorAt(1, false)
	p.changes(2)
	p.hide(schemas.ManifestName(floor.Snapshot+1, 0))
	s, err := p.mirror().Run(t.Context())
	if fault.ClassOf(err) != fault.NotYet || s.Last != floor.Snapshot || s.Floors != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func partOf(p *pair, batch int64) string {
	p.Helper()
	entry, err := exchange.NewReader(p.from).Open(p.Context(), batch)
	if err != nil {
		p.Fatal(err)
	}
	return entry.Manifest.Parts[0].Name
}

func TestNothingFalseIsCopied(t *testing.T) {
	key, err := trust.NewPrivate("patients", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(*pair)
		cause error
		last  int64
	}{
		"a damaged part": {func(p *pair) {
			p.producer.Part = func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
			p.changes(1)
		}, exchange.ErrDamaged, 2},
		"a fork": {func(p *pair) {
			other := p.producer.Fork()
			p.changes(1)
			p.run()
			other.Now = p.producer.Now.Add(time.Second)
			other.Changes()
			p.changes(1)
		}, exchange.ErrFork, 3},
		"no signature": {func(p *pair) { p.trust = &trust.Policy{Keys: []trust.Public{key.Public()}} }, trust.ErrUntrusted, -1},
		"another log in the mirror": {func(p *pair) {
			logtest.NewProducer(t, p.to, epoch)
		}, exchange.ErrFork, 0},
	} {
		p := newPair(t)
		p.changes(2)
		c.spoil(p)
		before := files(t, p.toDir)
		s, err := p.mirror().Run(t.Context())
		if !errors.Is(err, c.cause) || fault.ClassOf(err) != fault.Poison || s.Last != c.last {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
		if c.last < 1 && !maps.Equal(before, files(t, p.toDir)) {
			t.Errorf("%s: something was copied", name)
		}
		if name == "a damaged part" && len(files(t, p.toDir)) != 3+2+1 {
			t.Errorf("%s: %v", name, slices.Sorted(maps.Keys(files(t, p.toDir))))
		}
	}
}

func TestReceiptsGoTheOtherWay(t *testing.T) {
	p := newPair(t)
	p.changes(2)
	p.run()
	last, err := exchange.NewReader(p.to).Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	receipt := &schemas.Receipt{
		Format: 1, Stream: schemas.Stream, Log: last.Manifest.Log, Instance: "morgue@east", Events: []string{schemas.Died}, Batch: 2, Manifest: last.Hash, Generation: 1,
		AppliedAt: schemas.At(epoch), Batches: 1, Consumer: last.Manifest.Producer,
	}
	if err := exchange.PublishReceipt(t.Context(), p.to, receipt); err != nil {
		t.Fatal(err)
	}
	if s := p.run(); s.Receipts != 0 {
		t.Errorf("without being asked: %+v", s)
	}
	p.back = p.from
	for _, want := range []int64{1, 0} {
		if s := p.run(); s.Receipts != want {
			t.Errorf("%+v, want %d receipts", s, want)
		}
	}
	found, err := exchange.NewReader(p.from).Receipts(t.Context())
	if err != nil || len(found) != 1 || found[0].Batch != 2 {
		t.Errorf("at the producer: %v, %v", found, err)
	}
	p.same()
}
