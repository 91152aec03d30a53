package exchange

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"waybill/schemas"
)

// PublishReceipt tells the world how far a consumer's instance is. One that is there already
// stays as it is, and that is no error: it was derived from the same ledger.
func PublishReceipt(ctx context.Context, store Publisher, r *schemas.Receipt) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	err = store.Publish(ctx, schemas.ReceiptName(r.Instance, r.Batch), data)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// Receipts returns the newest receipt of every instance that has left one that can be read, in
// order of instance.
func (r *Reader) Receipts(ctx context.Context) ([]*schemas.Receipt, error) {
	folders, err := r.names(ctx, "receipts")
	if err != nil {
		return nil, err
	}
	var receipts []*schemas.Receipt
	for _, folder := range folders {
		receipt, err := r.receipt(ctx, path.Join("receipts", strings.TrimSuffix(folder, "/")))
		if err != nil {
			return nil, err
		}
		if receipt != nil {
			receipts = append(receipts, receipt)
		}
	}
	return receipts, nil
}

// receipt returns the newest of one instance, or nil. Receipts are information, so one that is
// torn, misplaced or of a later format is passed over and not reported.
func (r *Reader) receipt(ctx context.Context, folder string) (*schemas.Receipt, error) {
	names, err := r.names(ctx, folder)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		name = path.Join(folder, name)
		instance, batch, ok := schemas.ParseReceiptName(name)
		if !ok {
			continue
		}
		data, err := readFile(ctx, r.store, name)
		if errors.Is(err, ErrNotFound) {
			continue // purged since it was listed
		}
		if err != nil {
			return nil, err
		}
		receipt, err := schemas.ParseReceipt(data)
		if err == nil && receipt.Instance == instance && receipt.Batch == batch {
			return receipt, nil
		}
	}
	return nil, nil
}
