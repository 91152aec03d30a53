package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"

	"waybill/exchange/trust"
	"waybill/schemas"
)

const maxRetry = 9 // the highest retry suffix

// Position is a follower's position in the log.
type Position struct {
	Batch int64  // the last batch it has applied; -1 before the genesis
	Hash  string // of that batch's manifest file; "" before the genesis
}

// Entry is one batch of the log, as in its manifest file.
type Entry struct {
	Manifest *schemas.Manifest
	Data     []byte // the file
	Hash     string // of Data
}

// Position returns the position after applying the entry.
func (e *Entry) Position() Position { return Position{Batch: e.Manifest.Batch, Hash: e.Hash} }

// Before returns the position before applying the entry.
func (e *Entry) Before() Position {
	return Position{Batch: e.Manifest.Batch - 1, Hash: e.Manifest.Previous}
}

// ReadStore is what a reader needs of a store.
type ReadStore interface {
	Getter
	Lister
}

// Reader follows a log. Next is for one goroutine; the other methods may be called concurrently.
type Reader struct {
	store  ReadStore
	listed listing
	last   *Entry // what Next returned last; its successor is compared with it

	trust   *trust.Policy
	attests attests
}

// NewReader returns a reader of the log in store.
func NewReader(store ReadStore) *Reader { return &Reader{store: store, listed: listing{store}} }

// Anew returns a reader of the same log that has read nothing yet.
func (r *Reader) Anew() *Reader { return NewReader(r.store).Trusting(r.trust) }

// Next returns the entry that follows after, by opening known names: nothing is listed. The
// error is
//   - [ErrNothingNew] when the log ends at after;
//   - [fault.NotYet] with a [Pending] cause when the batch can't be read as the store stands;
//   - [fault.Poison] when it never will: [Pruned], [ErrFork], [ErrForeign],
//     [schemas.ErrInvalid], [schemas.ErrUnsupported], [trust.ErrUntrusted].
//
// The first call also compares the manifest at after with its hash: a changed one is a fork.
func (r *Reader) Next(ctx context.Context, after Position) (*Entry, error) {
	next, err := r.Open(ctx, after.Batch+1)
	return r.follow(ctx, after, next, err)
}

// Poll is Next in one request if the log ends at after, for a follower that called Next not long ago. It treats a
// missing next manifest as [ErrNothingNew], and looks neither for a gap nor at the manifest at after.
func (r *Reader) Poll(ctx context.Context, after Position) (*Entry, error) {
	next, err := r.Open(ctx, after.Batch+1)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNothingNew
	}
	return r.follow(ctx, after, next, err)
}

// follow checks that next, or what opening it has failed with, follows after.
func (r *Reader) follow(ctx context.Context, after Position, next *Entry, err error) (*Entry, error) {
	previous, torn := r.entryAt(ctx, after)
	if torn != nil && !IsTorn(torn) {
		return nil, torn
	}
	if errors.Is(err, ErrNotFound) {
		next, err = r.beyond(ctx, after.Batch+1)
	}
	if errors.Is(err, ErrNothingNew) && torn != nil {
		return nil, torn // only a next manifest could confirm the one at after
	}
	if errors.Is(err, ErrNothingNew) && previous == nil {
		if after.Batch >= 0 {
			err = pending("read", &Pending{Batch: after.Batch, Reason: Purged}, purgedHint)
		}
		return nil, r.orPruned(ctx, after.Batch+1, err)
	}
	if err != nil {
		return nil, err
	}
	if next.Manifest.Previous != after.Hash {
		return nil, forked(next.Manifest.Batch, "its manifest doesn't follow the one applied before it")
	}
	if err := follows(previous, next); err != nil {
		return nil, err
	}
	r.last = next
	return next, nil
}

// entryAt returns the entry at a position, or nil if there is none: before the genesis, or after
// the site has purged applied batches. The hash chain can be checked without it.
func (r *Reader) entryAt(ctx context.Context, at Position) (*Entry, error) {
	if at.Batch < 0 {
		return nil, nil
	}
	if r.last != nil && r.last.Position() == at {
		return r.last, nil
	}
	entry, err := r.open(ctx, at.Batch) // the hash says enough of who wrote it
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if entry.Hash != at.Hash {
		return nil, forked(at.Batch, "its manifest has changed since it was applied")
	}
	return entry, nil
}

// beyond returns why a batch is missing: [ErrNothingNew] if the one after it is missing, too.
func (r *Reader) beyond(ctx context.Context, batch int64) (*Entry, error) {
	later, err := exists(ctx, r.store, schemas.ManifestName(batch+1, 0))
	if err != nil {
		return nil, err
	}
	if !later {
		return nil, ErrNothingNew
	}
	// Both may have been published since the first look.
	entry, err := r.Open(ctx, batch)
	if errors.Is(err, ErrNotFound) {
		return nil, r.orPruned(ctx, batch, pending("read", &Pending{Batch: batch, Reason: Gap}, fmt.Sprintf(gapHint, fmt.Sprint(batch))))
	}
	return entry, err
}

// Open returns a batch's entry by its number. A missing one is [ErrNotFound]; the other errors are
// those of [Reader.Next]. It checks the place in the log and who signed it, but not the chain.
func (r *Reader) Open(ctx context.Context, batch int64) (*Entry, error) {
	entry, err := r.open(ctx, batch)
	if err != nil {
		return nil, err
	}
	if err := r.trusted(ctx, entry); err != nil {
		return nil, err
	}
	return entry, nil
}

func (r *Reader) open(ctx context.Context, batch int64) (*Entry, error) {
	for retry := range maxRetry + 1 {
		name := schemas.ManifestName(batch, retry)
		data, err := readFile(ctx, r.store, name, schemas.MaxManifestBytes)
		if errors.Is(err, ErrNotFound) && retry > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		entry, err := parseEntry(batch, data)
		if !errors.Is(err, schemas.ErrTorn) {
			return entry, err
		}
	}
	return nil, pending("read", &Pending{Batch: batch, Reason: Torn, File: schemas.ManifestName(batch, 0)}, fmt.Sprintf(tornHint, batch))
}

func parseEntry(batch int64, data []byte) (*Entry, error) {
	m, err := schemas.ParseManifest(data)
	switch {
	case errors.Is(err, schemas.ErrTorn):
		return nil, err
	case errors.Is(err, schemas.ErrUnsupported):
		return nil, poison("read", batch, err, upgradeHint)
	case err != nil:
		return nil, poison("read", batch, err, producerHint)
	case m.Batch != batch:
		return nil, poison("read", batch, fmt.Errorf("%w: the manifest in its place is of batch %d", ErrForeign, m.Batch), foreignHint)
	}
	return &Entry{Manifest: m, Data: data, Hash: schemas.Hash(data)}, nil
}

// follows checks for mistakes that the producer can make although the hash chain is correct.
func follows(previous, next *Entry) error {
	if previous == nil {
		return nil
	}
	a, b := previous.Manifest, next.Manifest
	switch {
	case a.Log != b.Log:
		return poison("read", b.Batch, fmt.Errorf("%w: log %s after log %s", ErrForeign, b.Log, a.Log), foreignHint)
	case b.Generation < a.Generation:
		return poison("read", b.Batch, fmt.Errorf("%w: generation %d after %d", schemas.ErrInvalid, b.Generation, a.Generation), producerHint)
	case b.Generation > a.Generation && b.Kind != schemas.Snapshot:
		return poison("read", b.Batch, fmt.Errorf("%w: generation %d begins with a batch of kind %s", schemas.ErrInvalid, b.Generation, b.Kind), producerHint)
	case b.Generation == a.Generation && b.Kind == schemas.Snapshot && b.Cursor.Before != b.Cursor.After:
		return poison("read", b.Batch, fmt.Errorf("%w: a snapshot takes events, and its generation is not new", schemas.ErrInvalid), producerHint)
	case b.Window.From.Before(a.Window.To.Time):
		return poison("read", b.Batch, fmt.Errorf("%w: its window begins before the previous one ends", schemas.ErrInvalid), producerHint)
	}
	return nil
}

func exists(ctx context.Context, store Getter, name string) (bool, error) {
	file, err := store.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, file.Close()
}

// maxSmallFile bounds receipts and floors, which normally take a KiB.
const maxSmallFile = 64 << 10

// readFile returns the bytes of a manifest, receipt or floor. If a file is longer than the limit,
// it returns one byte more than the limit, so that parsing fails.
func readFile(ctx context.Context, store Getter, name string, limit int64) ([]byte, error) {
	file, err := store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}
