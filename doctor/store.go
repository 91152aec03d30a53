// Package doctor tries the operations that the parties need on a store and a database, and reports what it found.
package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"waybill/exchange"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/internal/humanize"
)

// Store is what can be probed.
type Store interface {
	exchange.Store
	exchange.Deleter
	exchange.Inspector
}

// Role says what a party may be expected to do.
type Role int

// The two parties.
const (
	Exporter Role = iota // reads, lists, puts and publishes
	Importer             // reads, lists, and publishes in its receipts' folder
)

const (
	patience   = 30 * time.Second // for one probe
	publishers = 8
)

// probe is one run over one store.
type probe struct {
	store  Store
	role   Role
	folder string
	facts  []fact.Fact
	put    []string // files to delete again

	declared string // how the store says that it creates a file if there is none
}

// Probe tries every operation that a party needs on a store, in a new folder, which no other run may use. It tries deleting
// last, and names files that it can't delete.
func Probe(ctx context.Context, store Store, role Role, folder string) []fact.Fact {
	p := &probe{store: store, role: role, folder: folder}
	steps := []func(context.Context) bool{p.reach, p.inspect, p.list, p.write, p.overwrite, p.publish, p.race}
	if role == Importer {
		steps = []func(context.Context) bool{p.reach, p.inspect, p.list, p.publish}
	}
	for _, step := range steps {
		if !p.within(ctx, step) {
			break
		}
	}
	p.within(context.WithoutCancel(ctx), p.cleanUp)
	return p.facts
}

const (
	again  = "run doctor again; if it stays so, show the error to the people who run the store"
	unsafe = "the log is not safe on this store as it is: on S3 add ?emulate_publish to the store's URL, elsewhere let one exporter alone write here"
)

func (p *probe) within(ctx context.Context, step func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return step(ctx)
}

func (p *probe) found(name, value string) {
	p.facts = append(p.facts, fact.Fact{Name: name, Value: value})
}

func (p *probe) advise(name, value, advice string) {
	p.facts = append(p.facts, fact.Fact{Name: name, Value: value, Advice: advice})
}

func (p *probe) fails(name string, err error, advice string) {
	if hint := fault.HintOf(err); hint != "" {
		advice = hint
	}
	p.facts = append(p.facts, fact.Fact{Name: name, Value: err.Error(), Advice: advice, Fails: true})
}

// reach asks for a missing file. This is the cheapest full round trip, and every poll does it.
func (p *probe) reach(ctx context.Context) bool {
	start := time.Now()
	file, err := p.store.Get(ctx, p.folder+"/nothing")
	if err == nil {
		err = errors.Join(errors.New("a file that was never written is there"), file.Close())
	}
	if !errors.Is(err, exchange.ErrNotFound) {
		p.fails("reach", err, "check the store's URL, the network and the credentials")
		return false
	}
	p.found("reach", fmt.Sprintf("yes; a poll takes %s", time.Since(start).Round(100*time.Microsecond)))
	return true
}

func (p *probe) inspect(ctx context.Context) bool {
	facts, err := p.store.Inspect(ctx)
	if err != nil {
		p.fails("server", err, again)
	}
	for _, f := range facts {
		if f.Name == "create-if-absent" {
			p.declared = f.Value
		}
	}
	p.facts = append(p.facts, facts...)
	return true
}

func (p *probe) list(ctx context.Context) bool {
	n := 0
	for _, err := range p.store.List(ctx, "log") {
		if err != nil {
			p.fails("list", err, "grant listing on the stream's folder")
			return true
		}
		n++
	}
	p.found("list", "yes; log/ has "+humanize.Plural(int64(n), "folder", "folders"))
	return true
}

func (p *probe) write(ctx context.Context) bool {
	name := p.mine("file")
	if err := p.store.Put(ctx, name, 5, strings.NewReader("first")); err != nil {
		p.fails("write", err, "grant writing on the stream's folder")
		return false
	}
	data, err := p.read(ctx, name)
	switch {
	case err != nil:
		p.fails("read after write", err, "what was written must be readable at once")
	case string(data) != "first":
		p.fails("read after write", fmt.Errorf("%d other bytes came back", len(data)), "see whether something between here and the store changes files (text mode, a filter)")
	default:
		p.found("write", "yes; what was written can be read at once")
	}
	listed := false
	for found, err := range p.store.List(ctx, p.folder) {
		listed = listed || err == nil && p.folder+"/"+found == name
	}
	if !listed {
		p.advise("list after write", "no", "listings lag behind: `batches` and `status` may show less than there is; export and import open known names and don't care")
	}
	p.clock(ctx, name)
	return err == nil
}

// clock compares the server's clock with this machine's, by the file just written.
func (p *probe) clock(ctx context.Context, name string) {
	dater, ok := p.store.(exchange.Dater)
	if !ok {
		return
	}
	written, err := dater.Written(ctx, name)
	if err != nil {
		return // the server does not report the time
	}
	const tolerated = 5 * time.Second
	skew := time.Since(written).Round(time.Second)
	if value := fmt.Sprintf("the server's differs from this machine's by %s", skew.Abs()); skew.Abs() > tolerated {
		p.advise("clock", value, "have both set by NTP; the exchange depends on neither, but people who compare logs do, and S3 refuses requests a quarter of an hour off")
	} else {
		p.found("clock", value)
	}
}

func (p *probe) overwrite(ctx context.Context) bool {
	err := p.store.Put(ctx, p.mine("file"), 6, strings.NewReader("second"))
	switch {
	case err == nil:
		p.found("overwrite", "yes; torn files are replaced")
	case errors.Is(err, exchange.ErrExists):
		p.found("overwrite", "no; retry names are in use after torn uploads")
	default:
		p.fails("overwrite", err, "putting a file again must either replace it or be refused as existing")
	}
	return true
}

func (p *probe) publish(ctx context.Context) bool {
	name := p.mine("published")
	if err := p.store.Publish(ctx, name, []byte("first")); err != nil {
		p.fails("publish", err, "grant creating files in "+p.folder)
		return false
	}
	if err := p.store.Publish(ctx, name, []byte("other")); !errors.Is(err, exchange.ErrExists) {
		p.fails("publish", fmt.Errorf("a second manifest in the place of the first was answered with: %w", orNone(err)), unsafe)
		return true
	}
	if data, err := p.read(ctx, name); err != nil || string(data) != "first" {
		p.fails("publish", fmt.Errorf("the first manifest is no longer there: %w", orNone(err)), unsafe)
		return true
	}
	p.found("publish", "yes; a name that is taken stays as it is")
	return true
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// race lets several publishers create one file at the same moment. If two win, create-if-absent is emulated,
// even if the store says that it is native. If one wins, this proves nothing.
func (p *probe) race(ctx context.Context) bool {
	const rounds, name = 5, "create if absent"
	most := 0
	for round := range rounds {
		winners, err := p.raced(ctx, p.mine(fmt.Sprintf("race-%d", round)))
		if err != nil {
			p.fails(name, err, again)
			return true
		}
		most = max(most, winners)
	}
	one := fmt.Sprintf("one of %d at once wins, in each of %d rounds", publishers, rounds)
	several := fmt.Sprintf("of %d at once, %d got the answer that they won", publishers, most)
	switch {
	case most > 1 && strings.HasPrefix(p.declared, "native"):
		p.fails(name, fmt.Errorf("not %s, as the server says: %s", p.declared, several), unsafe)
	case most > 1:
		p.found(name, "emulated: "+several+"; they find out by reading back, and the database's lock keeps exporters apart")
	case strings.HasPrefix(p.declared, "emulated"):
		p.found(name, "emulated, though "+one)
	default:
		p.found(name, one)
	}
	return true
}

func (p *probe) raced(ctx context.Context, name string) (winners int, err error) {
	errs := make([]error, publishers)
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range publishers {
		all.Go(func() {
			<-start
			errs[i] = p.store.Publish(ctx, name, bytes.Repeat([]byte{byte('a' + i)}, 1000))
		})
	}
	close(start)
	all.Wait()
	for _, e := range errs {
		switch {
		case e == nil:
			winners++
		case !errors.Is(e, exchange.ErrExists):
			err = e
		}
	}
	if winners > 0 {
		err = nil
	}
	return winners, err
}

// mine returns the full name of a file of this run, which is deleted at the end.
func (p *probe) mine(name string) string {
	name = p.folder + "/" + name
	p.put = append(p.put, name)
	return name
}

func (p *probe) read(ctx context.Context, name string) ([]byte, error) {
	file, err := p.store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, 1<<20))
	return data, errors.Join(err, file.Close())
}

func (p *probe) cleanUp(ctx context.Context) bool {
	for _, name := range p.put {
		if err := p.store.Delete(ctx, name); err != nil {
			p.advise("delete", "no: "+err.Error(), "nothing but `prune` needs it; remove "+p.folder+" by hand")
			return true
		}
	}
	if len(p.put) > 0 {
		p.store.Tidy(ctx, p.folder)
		p.found("delete", "yes; nothing is left of this probe")
	}
	return true
}
