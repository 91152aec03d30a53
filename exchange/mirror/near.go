package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// near is a store that is read, too: how far the mirror is, is what lies there.
type near struct {
	store  exchange.Store
	delete exchange.Deleter
	reader *exchange.Reader
	writer *exchange.Writer
	empty  bool // nothing was there before this run
}

func (n *near) last(ctx context.Context) (exchange.Position, int64, error) {
	next, err := n.reader.NextFloor(ctx)
	if err != nil {
		return exchange.Position{}, 0, err
	}
	last, err := n.reader.Last(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		n.empty = true
		return exchange.Position{Batch: -1}, next - 1, nil
	}
	if err != nil {
		return exchange.Position{}, 0, err
	}
	return last.Position(), next - 1, nil
}

func (n *near) part(ctx context.Context, p schemas.Part, file io.ReaderAt) error {
	return n.writer.Restore(ctx, p, file, n.delete)
}

func (n *near) manifest(ctx context.Context, e *exchange.Entry) error {
	if n.empty {
		if err := n.writer.Readme(ctx); err != nil {
			return err
		}
		n.empty = false
	}
	err := n.writer.Append(ctx, e.Manifest.Batch, e.Data)
	if errors.Is(err, exchange.ErrFork) {
		return fault.New(fault.Poison, "mirror", fmt.Sprintf("batch %d", e.Manifest.Batch), err,
			"only a mirror may write there: find out who else does, or mirror into an empty folder")
	}
	return err
}

func (n *near) floor(ctx context.Context, number int64, data []byte) error {
	err := n.store.Publish(ctx, schemas.FloorName(number), data)
	if errors.Is(err, exchange.ErrExists) {
		return nil
	}
	return err
}

// clear looks for the manifest right below the floor: it is among the last that are deleted.
func (n *near) clear(ctx context.Context, floor *schemas.Floor, s *Summary) error {
	if n.delete == nil {
		return nil
	}
	if _, err := n.reader.Open(ctx, floor.Batch-1); errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	oldest, err := n.reader.Open(ctx, floor.Batch)
	if err != nil {
		return err
	}
	below, err := n.reader.Below(ctx, oldest)
	if err != nil {
		return err
	}
	err = exchange.Delete(ctx, n.delete, below.Files())
	if fault.ClassOf(err) == fault.Usage {
		s.Note = fmt.Sprintf("what is below batch %d stays: this account may not delete", floor.Batch)
		return nil
	}
	if err == nil {
		s.Deleted = int64(len(below.Files()))
	}
	return err
}
