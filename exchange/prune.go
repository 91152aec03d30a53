package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"

	"waybill/internal/fault"
	"waybill/internal/progress"
	"waybill/schemas"
)

// Below has the files on the store of batches below a given one, in the order in which they may be deleted.
type Below struct {
	Parts     []string // also parts that a crash left and no manifest names
	Manifests []string // by batch, with their retries
	Receipts  []string // without each instance's newest
}

// Files returns all the names, in the order of deletion.
func (b Below) Files() []string { return slices.Concat(b.Parts, b.Manifests, b.Receipts) }

// Batches returns how many batches have a manifest.
func (b Below) Batches() int64 {
	var batches []int64
	for _, name := range b.Manifests {
		batch, _, _ := schemas.ParseManifestName(name)
		batches = append(batches, batch)
	}
	return int64(len(slices.Compact(batches)))
}

// Below lists the files of batches below the entry's. Names contain the batch, so no file is
// opened.
func (r *Reader) Below(ctx context.Context, e *Entry) (b Below, err error) {
	if b.Parts, err = r.listed.partsBelow(ctx, e.Manifest.Batch, e.Manifest.Window.From.Time); err != nil {
		return b, err
	}
	if b.Manifests, err = r.listed.manifestsBelow(ctx, e.Manifest.Batch); err != nil {
		return b, err
	}
	b.Receipts, err = r.receiptsBelow(ctx, e.Manifest.Batch)
	return b, err
}

func (r *Reader) receiptsBelow(ctx context.Context, batch int64) (receipts []string, err error) {
	folders, err := r.listed.names(ctx, "receipts")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		folder = path.Join("receipts", folder)
		newest, err := r.receipt(ctx, folder)
		if err != nil {
			return nil, err
		}
		for name, err := range r.listed.receipts(ctx, folder) {
			if err != nil {
				return nil, err
			}
			if _, n, _ := schemas.ParseReceiptName(name); n < batch && newest != nil && n < newest.Batch {
				receipts = append(receipts, name)
			}
		}
	}
	slices.Sort(receipts)
	return receipts, nil
}

// deletesAtOnce bounds the files that are deleted at a time.
const deletesAtOnce = 4

// Delete deletes files, several at a time, in about the order given, and the folders that this empties.
// A file that is gone is no error. If the store's account may not delete, the error is of class
// [fault.Usage].
func Delete(ctx context.Context, store Deleter, names []string) error {
	group, deleting := errgroup.WithContext(ctx) // which ends with the group, so that no folder could be tidied within it
	group.SetLimit(deletesAtOnce)
	for i, name := range names {
		if deleting.Err() != nil {
			break
		}
		progress.Say(ctx, "files", int64(i), int64(len(names)))
		group.Go(func() error { return store.Delete(deleting, name) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	folders := map[string]bool{}
	for _, name := range names {
		folders[path.Dir(name)] = true
	}
	for folder := range folders {
		store.Tidy(ctx, folder)
	}
	return nil
}

// NextFloor returns the number for the log's next floor. A torn floor keeps its number.
func (r *Reader) NextFloor(ctx context.Context) (int64, error) {
	newest, err := newestFloor(ctx, r.store)
	return newest + 1, err
}

// Floor publishes a floor and reads it back. Nothing below it may be deleted before Floor returns.
func (w *Writer) Floor(ctx context.Context, floor *schemas.Floor) error {
	data, err := floor.Encode()
	if err == nil {
		data, err = w.sign.Sign(ctx, schemas.OfFloor, data)
	}
	if err != nil {
		return err
	}
	name := schemas.FloorName(floor.Floor)
	if err := w.store.Publish(ctx, name, data); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	found, err := readFile(ctx, w.store, name, maxSmallFile)
	if err != nil {
		return err
	}
	if !bytes.Equal(found, data) {
		return fault.New(fault.Transient, "publish", fmt.Sprintf("floor %d", floor.Floor), errors.New("another file is in its place"),
			"run it again, and see whether somebody else prunes this log")
	}
	return nil
}
