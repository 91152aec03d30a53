package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"

	"waybill/schemas"
)

const maxRetry = 9 // the highest retry suffix

// Position is where a follower stands in the log.
type Position struct {
	Batch int64  // the last batch it has applied; -1 before the genesis
	Hash  string // of that batch's manifest file; "" before the genesis
}

// Entry is one batch of the log, as its manifest file has it.
type Entry struct {
	Manifest *schemas.Manifest
	Data     []byte // the file
	Hash     string // of Data
}

// Position returns where a follower stands that has applied the entry.
func (e *Entry) Position() Position { return Position{Batch: e.Manifest.Batch, Hash: e.Hash} }

// Before returns where a follower stands that is to apply the entry next.
func (e *Entry) Before() Position {
	return Position{Batch: e.Manifest.Batch - 1, Hash: e.Manifest.Previous}
}

// ReadStore is what following a log takes.
type ReadStore interface {
	Getter
	Lister
}

// Reader follows a log. Next is for one goroutine; the other methods may be called concurrently.
type Reader struct {
	store ReadStore
	last  *Entry // what Next returned last, to compare its successor with
}

// NewReader returns a reader of the log in store.
func NewReader(store ReadStore) *Reader { return &Reader{store: store} }

// Next returns the entry that follows after, by opening known names: nothing is listed. The
// error is
//   - [ErrNothingNew] when the log ends at after;
//   - [fault.NotYet] with a [Pending] cause when the batch can't be read as the store stands;
//   - [fault.Poison] when it never will: [Pruned], [ErrFork], [ErrForeign],
//     [schemas.ErrInvalid], [schemas.ErrUnsupported].
//
// The first call also compares the manifest at after with its hash: a changed one is a fork.
func (r *Reader) Next(ctx context.Context, after Position) (*Entry, error) {
	previous, torn := r.standing(ctx, after)
	if torn != nil && !IsTorn(torn) {
		return nil, torn
	}
	next, err := r.successor(ctx, after)
	if errors.Is(err, ErrNothingNew) && torn != nil {
		return nil, torn // what follows would vouch for what was applied, or passed for being torn
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

// standing returns the entry at a position, or nil when there is none: before the genesis, or
// where the site has purged what was applied. The hash chain holds without it.
func (r *Reader) standing(ctx context.Context, at Position) (*Entry, error) {
	if at.Batch < 0 {
		return nil, nil
	}
	if r.last != nil && r.last.Position() == at {
		return r.last, nil
	}
	entry, err := r.Open(ctx, at.Batch)
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

func (r *Reader) successor(ctx context.Context, after Position) (*Entry, error) {
	batch := after.Batch + 1
	entry, err := r.Open(ctx, batch)
	if !errors.Is(err, ErrNotFound) {
		return entry, err
	}
	later, err := r.exists(ctx, schemas.ManifestName(batch+1, 0))
	if err != nil {
		return nil, err
	}
	if !later {
		return nil, ErrNothingNew
	}
	// Both may have been published since the first look.
	entry, err = r.Open(ctx, batch)
	if errors.Is(err, ErrNotFound) {
		return nil, r.orPruned(ctx, batch, pending("read", &Pending{Batch: batch, Reason: Gap}, fmt.Sprintf(gapHint, fmt.Sprint(batch))))
	}
	return entry, err
}

// Open returns a batch's entry by its number. One that isn't there is [ErrNotFound]; the other
// errors are those of [Reader.Next]. The place in the log is checked, the chain is not.
func (r *Reader) Open(ctx context.Context, batch int64) (*Entry, error) {
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

// follows checks what a whole chain can still get wrong: the producer itself.
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
	case b.Window.From.Before(a.Window.To.Time):
		return poison("read", b.Batch, fmt.Errorf("%w: its window begins before the previous one ends", schemas.ErrInvalid), producerHint)
	}
	return nil
}

func (r *Reader) exists(ctx context.Context, name string) (bool, error) {
	file, err := r.store.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, file.Close()
}

// maxSmallFile bounds receipts and floors, which take a KiB.
const maxSmallFile = 64 << 10

// readFile returns the bytes of a manifest, receipt or floor. Of a file beyond the limit it returns
// one byte more than the limit, which no parser accepts as the end.
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
