package importer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
	"waybill/schemas/part"
)

// partsAtOnce bounds the parts of one batch that are fetched at a time.
const partsAtOnce = 4

// fetched is a batch whose subscribed parts lie verified in the spool; or the error that ends
// the run.
type fetched struct {
	entry *exchange.Entry
	files []spooled
	span  trace.Span // of the batch: it continues the exporter's, and ends when the batch is discarded
	err   error
}

type spooled struct {
	meta schemas.Part
	file *os.File
}

func (f *fetched) manifest() *schemas.Manifest { return f.entry.Manifest }

func (f *fetched) name() string { return fmt.Sprintf("batch %d", f.entry.Manifest.Batch) }

// heartbeat reports whether the batch holds no events: all it says is that the producer is well.
func (f *fetched) heartbeat() bool {
	return f.err == nil && f.manifest().Kind == schemas.Changes && f.manifest().Totals.Rows == 0
}

func (f *fetched) parts() []part.File {
	files := make([]part.File, len(f.files))
	for i, s := range f.files {
		files[i] = part.File{ReaderAt: s.file, Size: s.meta.Bytes, Meta: s.meta}
	}
	return files
}

func (f *fetched) bytes() (sum int64) {
	for _, s := range f.files {
		sum += s.meta.Bytes
	}
	return sum
}

// within puts what ctx governs under the batch's span.
func (f *fetched) within(ctx context.Context) context.Context {
	return trace.ContextWithSpan(ctx, f.span)
}

// discard removes the batch's spool files. There are none of a batch that could not be fetched.
func (f *fetched) discard() {
	if f.span != nil {
		span.End(f.span, f.err)
	}
	for _, s := range f.files {
		if s.file != nil { // else it was never fetched
			_ = s.file.Close()
			_ = os.Remove(s.file.Name())
		}
	}
}

// fetchAhead yields the batches after a position, one fetched while another is being loaded,
// and at last an error: [exchange.ErrNothingNew] at the log's end. The channel is closed when
// ctx ends, at the latest.
func (s *session) fetchAhead(ctx context.Context, from exchange.Position) <-chan *fetched {
	batches := make(chan *fetched)
	go func() {
		defer close(batches)
		for {
			f := s.fetchNext(ctx, from)
			last := f.err != nil
			if !last {
				from = f.entry.Position()
			}
			select {
			case batches <- f: // the loader's from here on
			case <-ctx.Done():
				f.discard()
				return
			}
			if last {
				return
			}
		}
	}()
	return batches
}

func (s *session) fetchNext(ctx context.Context, after exchange.Position) *fetched {
	entry, err := s.reader.Next(ctx, after)
	if err != nil {
		return &fetched{err: err}
	}
	crashpoint.Here("import.2")
	f := s.fetchParts(ctx, entry)
	crashpoint.Here("import.3")
	return f
}

// fetchParts brings the parts that hold subscribed events into the spool. A part is there only
// once its size and hash are the manifest's.
func (s *session) fetchParts(ctx context.Context, entry *exchange.Entry) *fetched {
	f := &fetched{entry: entry}
	ctx, f.span = span.Continue(ctx, entry.Manifest.Traceparent, "import batch",
		span.Batch.Int64(entry.Manifest.Batch), span.Kind.String(entry.Manifest.Kind))
	for _, p := range entry.Manifest.Parts {
		if p.Holds(s.consumer.Events) {
			f.files = append(f.files, spooled{meta: p})
		}
	}
	if entry.Manifest.Stream != s.contract.Name {
		f.err = fault.New(fault.Poison, "fetch", f.name(), fmt.Errorf("%w: it is of stream %s", exchange.ErrForeign, entry.Manifest.Stream), "check the store's URL")
	}
	if f.err == nil {
		f.err = s.plausible(f.files)
	}
	if f.err == nil {
		f.err = s.fetchAll(ctx, f)
	}
	if f.err != nil {
		f.discard()
		return &fetched{entry: entry, err: f.err}
	}
	return f
}

func (s *session) fetchAll(ctx context.Context, f *fetched) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range f.files {
		group.Go(func() (err error) {
			f.files[i].file, err = s.fetchPart(ctx, f.manifest().Batch, i, f.files[i].meta)
			return err
		})
	}
	return group.Wait()
}

func (s *session) fetchPart(ctx context.Context, batch int64, index int, p schemas.Part) (_ *os.File, err error) {
	ctx, fetch := span.Start(ctx, "fetch part", span.Events.Int64(p.Rows), span.Bytes.Int64(p.Bytes))
	defer func() { span.End(fetch, err) }()
	file, err := os.Create(filepath.Join(s.spool.Dir, fmt.Sprintf("%012d-%d", batch, index)))
	if err != nil {
		return nil, fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	if err := s.reader.Fetch(ctx, p, file); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, nil
}

// plausible refuses what would cost far more than its bytes, before one of them is fetched. No two
// rows of a stream are equal, so each takes a byte at least, however well they are packed.
func (s *session) plausible(files []spooled) error {
	for _, f := range files {
		p := f.meta
		if p.Bytes > s.config.MaxPartBytes {
			return fault.New(fault.Poison, "fetch", p.Name, fmt.Errorf("it claims %d bytes; the limit is %d", p.Bytes, s.config.MaxPartBytes),
				"raise max_part_mib if the producer really writes such parts")
		}
		if p.Rows > p.Bytes {
			return fault.New(fault.Poison, "fetch", p.Name, fmt.Errorf("it claims %d rows in %d bytes, and a row takes one at least", p.Rows, p.Bytes),
				"ask the producer: such a part is made up")
		}
	}
	return nil
}
