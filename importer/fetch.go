package importer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
	"waybill/schemas/part"
)

// partsAtOnce bounds the parts of one batch that are fetched at a time.
const partsAtOnce = 4

// fetched is a batch whose subscribed parts are verified and in the spool; or the error that ends
// the run.
type fetched struct {
	entry *exchange.Entry
	files []spooled
	span  trace.Span // of the batch: it continues the exporter's, and ends when the batch is discarded
	err   error
	leave func() // makes room for others to be fetched ahead; nil: it takes none
}

type spooled struct {
	meta   schemas.Part
	file   *os.File
	opened part.File
}

func (f *fetched) manifest() *schemas.Manifest { return f.entry.Manifest }

func (f *fetched) name() string { return fmt.Sprintf("batch %d", f.entry.Manifest.Batch) }

// heartbeat reports whether the batch holds no events. Such a batch only shows that the producer is running.
func (f *fetched) heartbeat() bool {
	return f.err == nil && f.manifest().Kind == schemas.Changes && f.manifest().Totals.Rows == 0
}

func (f *fetched) parts() []part.File {
	files := make([]part.File, len(f.files))
	for i, s := range f.files {
		files[i] = s.opened
	}
	return files
}

// lies reports whether a part lies sealed, or open.
func (f *fetched) lies(sealed bool) bool {
	return slices.ContainsFunc(f.files, func(s spooled) bool { return (s.meta.Seal != nil) == sealed })
}

func (f *fetched) bytes() (sum int64) {
	for _, s := range f.files {
		sum += s.meta.Bytes
	}
	return sum
}

// within returns ctx with the batch's span, so that later spans belong to it.
func (f *fetched) within(ctx context.Context) context.Context {
	return trace.ContextWithSpan(ctx, f.span)
}

// discard removes the batch's spool files. A batch that could not be fetched has none.
func (f *fetched) discard() {
	if f.span != nil {
		span.End(f.span, f.err)
	}
	for _, s := range f.files {
		if s.file != nil { // nil: it was never fetched
			_ = s.file.Close()
			_ = os.Remove(s.file.Name())
		}
	}
	if f.leave != nil {
		f.leave()
	}
}

// small reports whether the batch has so few events that its commit is a good part of its load.
func (f *fetched) small() bool {
	return f.err == nil && f.manifest().Kind == schemas.Changes && f.manifest().Totals.Rows <= fewRows
}

// fetcher brings batches from the log into a folder for parts.
type fetcher struct {
	*Importer
	reader *exchange.Parts // the run's own, which reads again what an earlier run has read
	spool  string
}

// groupSize is how many small batches are loaded in one transaction at most. A killed run repeats that much. Each has up to three
// savepoints, and others' snapshots become dear where a transaction has more than 64 (PGPROC_MAX_CACHED_SUBXIDS).
const groupSize = 20

// ahead yields the batches after a position. While some are being loaded, it fetches a large one, or as many small ones as
// two groups have. The last value is an error: [exchange.ErrNothingNew] at the log's end. The channel is closed at the latest
// when ctx ends.
func (from *fetcher) ahead(ctx context.Context, at exchange.Position, closely bool) <-chan *fetched {
	look := from.reader.Poll
	if closely {
		look = from.reader.Next
	}
	batches := make(chan *fetched, 2*groupSize)
	room := semaphore.NewWeighted(2 * groupSize)
	go func() {
		defer close(batches)
		for {
			f := from.next(ctx, at, look, room)
			batches <- f // the loader's from here on
			if f.err != nil {
				return
			}
			at = f.entry.Position()
		}
	}()
	return batches
}

func (from *fetcher) next(ctx context.Context, after exchange.Position, look func(context.Context, exchange.Position) (*exchange.Entry, error), room *semaphore.Weighted) *fetched {
	entry, err := look(ctx, after)
	if err != nil {
		return &fetched{err: err}
	}
	crashpoint.Here("import.2")
	takes := int64(1)
	if !(&fetched{entry: entry}).small() {
		takes = groupSize
	}
	if err := room.Acquire(ctx, takes); err != nil {
		return &fetched{entry: entry, err: err}
	}
	f := from.batch(ctx, entry)
	f.leave = func() { room.Release(takes) }
	crashpoint.Here("import.3")
	return f
}

// batch fetches the parts that hold subscribed events into the spool. It adds a part only after
// comparing its size and hash with the manifest's.
func (from *fetcher) batch(ctx context.Context, entry *exchange.Entry) *fetched {
	f := &fetched{entry: entry}
	ctx, f.span = span.Continue(ctx, entry.Manifest.Traceparent, "import batch",
		span.Batch.Int64(entry.Manifest.Batch), span.Kind.String(entry.Manifest.Kind))
	for _, p := range entry.Manifest.PartsOf(from.consumer.Events, from.consumer.Slim) {
		f.files = append(f.files, spooled{meta: p})
	}
	if entry.Manifest.Stream != from.contract.Name {
		f.err = fault.New(fault.Poison, "fetch", f.name(), fmt.Errorf("%w: it is of stream %s", exchange.ErrForeign, entry.Manifest.Stream), "check the store's URL")
	}
	if f.err == nil {
		f.err = from.plausible(f.files)
	}
	if f.err == nil {
		f.err = from.parts(ctx, f)
	}
	if errors.Is(f.err, seal.ErrNotForUs) {
		f.err = fault.New(fault.Usage, "fetch", f.name(), f.err, fault.HintOf(f.err)+"; then "+from.behind(entry))
	}
	if f.err != nil {
		f.discard()
		return &fetched{entry: entry, err: f.err}
	}
	return f
}

// behind returns how a person brings the consumer past a batch that stays sealed to others, once a snapshot can be opened.
// Deliveries have no resync, and it is refused to a consumer that appends.
func (from *fetcher) behind(entry *exchange.Entry) string {
	command := from.consumer.command()
	if from.consumer.Command != "" || from.consumer.Append != "" {
		return fmt.Sprintf("skip this batch, for which that snapshot makes up: `%s --pass %d@%s --reason TEXT`",
			command, entry.Manifest.Batch, Digits(entry.Hash))
	}
	return fmt.Sprintf("start from that snapshot, N, here: `%[1]s --resync N --dry-run` shows its HASH, and `%[1]s --resync N@HASH --reason TEXT` loads it", command)
}

func (from *fetcher) parts(ctx context.Context, f *fetched) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range f.files {
		group.Go(func() (err error) {
			s := &f.files[i]
			if s.file, err = from.part(ctx, f.manifest().Batch, i, s.meta); err == nil {
				s.opened, err = from.reader.Opened(s.meta, s.file)
			}
			return err
		})
	}
	return group.Wait()
}

func (from *fetcher) part(ctx context.Context, batch int64, index int, p schemas.Part) (_ *os.File, err error) {
	ctx, fetch := span.Start(ctx, "fetch part", span.Events.Int64(p.Rows), span.Bytes.Int64(p.Bytes))
	defer func() { span.End(fetch, err) }()
	file, err := os.Create(filepath.Join(from.spool, fmt.Sprintf("%012d-%d", batch, index)))
	if err != nil {
		return nil, fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	if err := from.reader.Fetch(ctx, p, file); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, nil
}

// plausible refuses, before anything is fetched, parts that would cost far more than their size. No
// two rows of a stream are equal, so each takes at least one byte, however well they are packed.
func (from *fetcher) plausible(files []spooled) error {
	for _, f := range files {
		p := f.meta
		if err := from.reader.Openable(p); err != nil {
			return err
		}
		if p.Bytes > from.config.MaxPartBytes {
			return fault.New(fault.Poison, "fetch", p.Name, fmt.Errorf("it claims %d bytes; the limit is %d", p.Bytes, from.config.MaxPartBytes),
				"raise max_part_mib if the producer really writes such parts")
		}
		if p.Rows > p.Bytes {
			return fault.New(fault.Poison, "fetch", p.Name, fmt.Errorf("it claims %d rows in %d bytes, and a row takes one at least", p.Rows, p.Bytes),
				"ask the producer: such a part is made up")
		}
	}
	return nil
}
