// Package reconcile compares the source's events, the log and the consumers' states, without
// blocking anybody: it only reads, in short transactions, and takes no locks.
//
// Rows are compared as they are in PostgreSQL's binary COPY format, by counts per event type and
// sums of hashes that don't depend on order. If those differ, it names the rows. A side that can't
// be reached from here is compared through a small [File]. docs/reconcile.md explains it.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Source is the producer's database.
type Source interface {
	// Batch passes on every event of a batch that the database still has, as tuples of a binary COPY,
	// and returns what it knows of the batch itself.
	Batch(ctx context.Context, batch int64, add func(tuple []byte) error) (Published, error)
	// Erased returns every patient that was erased, with the version of the event that says so:
	// earlier events of theirs are blank.
	Erased(ctx context.Context) (map[uuid.UUID]int64, error)
	// Divergent passes on the patients whose rows in the service's own tables differ from their last
	// events, and how. So it finds changes that never reached the outbox.
	Divergent(ctx context.Context, add func(patient uuid.UUID, kind string)) error
	// Newest returns the newest version it has of each of these patients.
	Newest(ctx context.Context, patients []uuid.UUID) (map[uuid.UUID]int64, error)
}

// Published is the producer's knowledge of a batch.
type Published struct {
	Manifest    string // its hash; "": the producer does not know the batch
	Events      int64
	Uncountable string // why the events can't be counted
}

// Options say what is compared.
type Options struct {
	Contract  *schemas.Contract // of the stream
	From, To  int64             // batches, both included
	Reader    *exchange.Parts   // of the log; nil: the log is not compared
	Source    Source            // nil: it is compared only through the file
	Consumers []*Consumer
	Against   *File  // what the other side gave; may be nil
	Half      *File  // Run fills it in with this side's half; may be nil
	List      bool   // list every row in Half
	Spool     string // an existing folder
}

// run is one reconciliation.
type run struct {
	Options
	log      *log
	previous *exchange.Entry // the last that could be read

	subscribed []string // the types that any consumer subscribes to
	types      []string // the types to read of the requested batches; nil: all
	report     *Report
	erased     map[uuid.UUID]int64 // at the source
}

// Run compares and returns a report with the differences. An error means that it could not compare.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{Options: o, report: &Report{From: o.From, To: o.To, Findings: []Finding{}}}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range r.Consumers {
			c.want.Close()
		}
	}()
	first, last := r.span()
	for batch := first; batch <= last; batch++ {
		if err := r.batch(ctx, batch); err != nil {
			return nil, err
		}
	}
	for _, c := range r.Consumers {
		if err := r.consumer(c); err != nil {
			return nil, err
		}
	}
	if err := r.divergent(ctx); err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.report.Findings, func(a, b Finding) int {
		return cmp.Compare(number(a.Batch), number(b.Batch))
	})
	return r.report, nil
}

func number(batch *int64) int64 {
	if batch == nil {
		return schemas.MaxBatch
	}
	return *batch
}

func (r *run) prepare(ctx context.Context) (err error) {
	if r.Half != nil {
		r.Half.Contract = r.Contract.SHA256
		r.Half.From, r.Half.To, r.Half.Consumers = r.From, r.To, r.Consumers
	}
	if r.Against != nil {
		if r.Against.Contract != r.Contract.SHA256 {
			return fault.New(fault.Usage, "compare", "file", errors.New("it was made of another stream, or by a release with another revision of the contract"), "use the same release and --stream on both sides")
		}
		r.Consumers = slices.Concat(r.Consumers, r.Against.Consumers)
		if r.Against.To < r.From || r.Against.From > r.To {
			return fault.New(fault.Usage, "compare", "file", fmt.Errorf("it is about batches %d..%d, and this is about %d..%d",
				r.Against.From, r.Against.To, r.From, r.To), "choose the same batches on both sides")
		}
	}
	if r.Source != nil {
		r.report.Source = &Side{Events: map[string]int64{}}
		if r.erased, err = r.Source.Erased(ctx); err != nil {
			return err
		}
	}
	if r.Reader == nil {
		return nil
	}
	r.report.Log = &Side{Events: map[string]int64{}}
	r.log = &log{reader: r.Reader, spool: r.Spool, contract: r.Contract, slim: r.onlySlim()}
	if r.log.slim {
		r.log.contract = r.Contract.Slim()
	}
	r.log.scanner = newScanner(r.log.contract)
	for _, c := range r.Consumers {
		r.subscribed = append(r.subscribed, c.Events...)
		if c.want, err = NewStates(r.Spool, r.Contract); err != nil {
			return err
		}
	}
	if r.Source == nil && len(r.Consumers) > 0 { // an account that may only read deaths can compare deaths
		r.types = r.subscribed
	}
	return nil
}

// span returns the range of batches to read. It may reach beyond the requested batches, because
// consumers' states are those at their checkpoints.
func (r *run) span() (first, last int64) {
	first, last = r.From, r.To
	for _, c := range r.Consumers {
		if r.log != nil {
			first, last = min(first, max(c.From, 0)), max(last, c.Checkpoint)
		}
	}
	return first, last
}

func (r *run) within(batch int64) bool { return r.From <= batch && batch <= r.To }

func (r *run) batch(ctx context.Context, number int64) error {
	var sides []side
	if r.log != nil {
		logged, err := r.readLog(ctx, number)
		if err != nil {
			return err
		}
		if logged != nil {
			sides = append(sides, side{"log", logged, r.logAgain})
		}
	}
	if !r.within(number) {
		return nil
	}
	if r.Source != nil {
		recorded, err := r.readSource(ctx, number)
		if err != nil {
			return err
		}
		if recorded != nil {
			sides = append(sides, side{"source", recorded, r.sourceAgain(number)})
		}
	}
	if r.Against != nil {
		if r.Against.Contract != r.Contract.SHA256 {
			return fault.New(fault.Usage, "compare", "file", errors.New("it was made of another stream, or by a release with another revision of the contract"), "use the same release and --stream on both sides")
		}
		for _, b := range r.Against.Source {
			if b.Batch == number {
				sides = append(sides, side{"source", b, nil})
				r.countFile(b)
			}
		}
	}
	if len(sides) == 0 {
		return nil
	}
	for _, other := range sides[1:] {
		if err := r.compare(ctx, sides[0], other); err != nil {
			return err
		}
	}
	r.checkLedgers(sides[0].Batch)
	return nil
}

// readLog opens a batch, reads it and hands the rows to the consumers that have loaded it. If it
// can't read the batch, it adds a finding and returns nil.
func (r *run) readLog(ctx context.Context, number int64) (*Batch, error) {
	entry, err := r.Reader.Open(ctx, number)
	if errors.Is(err, exchange.ErrNotFound) {
		err = fault.New(fault.NotYet, "read", fmt.Sprintf("batch %d", number), errors.New("it is not on the store"), "")
	}
	if err != nil {
		return nil, r.unreadable(ctx, number, err)
	}
	if r.previous != nil && r.previous.Manifest.Batch == number-1 && entry.Manifest.Previous != r.previous.Hash {
		r.find(Finding{Batch: &number, Side: "log", Kind: Manifest, Text: "its manifest does not follow the one before it"})
	}
	r.previous = entry
	logged, err := r.readRows(ctx, entry)
	if err != nil {
		return nil, r.unreadable(ctx, number, err)
	}
	if r.within(number) {
		r.report.Log.count(logged, nil)
	}
	return logged, nil
}

func (r *run) readRows(ctx context.Context, entry *exchange.Entry) (*Batch, error) {
	m := entry.Manifest
	b := &Batch{Batch: m.Batch, Manifest: entry.Hash, Events: map[string]*Tally{}, types: r.types}
	if !r.within(m.Batch) {
		b.types = r.subscribed
	}
	var followers []*Consumer
	for _, c := range r.Consumers {
		if c.From <= m.Batch && c.loaded(m.Batch) {
			followers = append(followers, c)
		}
	}
	bad, err := r.log.read(ctx, m, b.types, func(row row) error {
		b.add(row, false)
		for _, c := range followers {
			if slices.Contains(c.Events, row.event) {
				row := row
				if c.Slim {
					row = row.slim()
				}
				if err := c.want.add(row, m.Batch); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.fold()
	for _, c := range followers {
		c.note(m, bad)
	}
	if len(bad) > 0 && r.within(m.Batch) {
		f := Finding{Batch: &m.Batch, Side: "log", Kind: BadRow, Text: "rows break the contract", Count: int64(len(bad))}
		for _, row := range bad {
			f.name(row.PatientID)
		}
		r.find(f)
	}
	return b, nil
}

// unreadable adds a finding for a batch that can't be read. If the store is only unreachable for
// now, or a disk is full, the run ends.
func (r *run) unreadable(ctx context.Context, number int64, err error) error {
	class := fault.ClassOf(err)
	if ctx.Err() != nil || class != fault.NotYet && class != fault.Poison {
		return err
	}
	for _, c := range r.Consumers {
		if c.From <= number && c.loaded(number) {
			c.unsure = true
		}
	}
	r.report.Findings = append(r.report.Findings, Finding{Batch: &number, Side: "log", Kind: Unreadable, Text: err.Error(), class: class})
	return nil
}

// readSource counts a batch at the source. If the source never published the batch, it adds a
// finding and returns nil.
func (r *run) readSource(ctx context.Context, number int64) (*Batch, error) {
	b := &Batch{Batch: number, Events: map[string]*Tally{}}
	scanner := newScanner(r.Contract)
	published, err := r.Source.Batch(ctx, number, func(tuple []byte) error {
		row, err := scanner.scan(tuple)
		if err == nil {
			b.add(row, r.List)
		}
		if row.order.version < r.erased[row.patient] {
			b.Erased++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if b.Manifest = published.Manifest; b.Manifest == "" && published.Uncountable == "" {
		r.find(Finding{Batch: &number, Side: "source", Kind: Unknown, Text: "this database has not published it"})
		return nil, nil
	}
	b.Uncountable, b.Lacking = published.Uncountable, max(0, published.Events-b.rows())
	b.fold()
	r.report.Source.count(b, nil)
	if r.Half != nil {
		r.Half.Source = append(r.Half.Source, b)
	}
	return b, nil
}

// divergent finds patients whose rows and last events differ.
func (r *run) divergent(ctx context.Context) error {
	if r.Source == nil {
		return nil
	}
	var found []*Finding
	err := r.Source.Divergent(ctx, func(patient uuid.UUID, kind string) {
		i := slices.IndexFunc(found, func(f *Finding) bool { return f.Kind == kind })
		if i < 0 {
			i = len(found)
			found = append(found, &Finding{Side: "source", Kind: kind, Text: divergences[kind]})
		}
		found[i].add(patient)
	})
	for _, f := range found {
		r.find(*f)
	}
	return err
}

// logAgain reads the rows of the batch that was read last.
func (r *run) logAgain(ctx context.Context, add func(row) error) error {
	_, err := r.log.read(ctx, r.previous.Manifest, r.types, add)
	return err
}

func (r *run) sourceAgain(number int64) func(context.Context, func(row) error) error {
	return func(ctx context.Context, add func(row) error) error {
		scanner := newScanner(r.Contract)
		_, err := r.Source.Batch(ctx, number, func(tuple []byte) error {
			row, err := scanner.scan(tuple)
			if err != nil {
				return err
			}
			return add(row)
		})
		return err
	}
}

func (r *run) find(f Finding) {
	f.class = fault.Poison
	r.report.Findings = append(r.report.Findings, f)
}

func (f *Finding) name(patient string) {
	if patient != "" && len(f.Patients) < MaxNamed {
		f.Patients = append(f.Patients, patient)
	}
}

// count adds a batch, of the given types; nil means all.
func (s *Side) count(b *Batch, types []string) {
	if b.Uncountable != "" {
		return
	}
	s.Batches++
	for event, t := range b.Events {
		if types == nil || slices.Contains(types, event) {
			s.Rows += t.Rows
			s.Events[event] += t.Rows
		}
	}
}

// countFile counts a batch of the source from the file, unless the source itself can be read.
func (r *run) countFile(b *Batch) {
	if r.report.Source == nil {
		r.report.Source = &Side{Events: map[string]int64{}, File: true}
	}
	if r.report.Source.File {
		r.report.Source.count(b, r.types)
	}
}
