package exchange

import (
	"context"
	"errors"
	"fmt"
	"path"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/schemas"
)

// ReceiptStore is what it takes to publish receipts.
type ReceiptStore interface {
	Publisher
	Getter
}

// PublishReceipt publishes the position of a consumer's instance. If the receipt exists, it stays, and that is no error
// unless the batch was applied at another time: two ledgers, of which one may have stopped unnoticed. That error wraps [ErrExists].
func PublishReceipt(ctx context.Context, store ReceiptStore, r *schemas.Receipt, sign ...trust.Signer) error {
	data, err := r.Encode()
	if err == nil {
		data, err = trust.Signers(sign).Sign(ctx, schemas.OfReceipt, data)
	}
	if err != nil {
		return err
	}
	name := schemas.ReceiptName(r.Instance, r.Batch)
	if err = store.Publish(ctx, name, data); !errors.Is(err, ErrExists) {
		return err
	}
	if data, err = readFile(ctx, store, name, maxSmallFile); err != nil {
		return err
	}
	if there, err := schemas.ParseReceipt(data); err == nil && !there.AppliedAt.Equal(r.AppliedAt.Time) {
		return fault.New(fault.Poison, "publish", name, fmt.Errorf("another database has left this receipt, which %w", ErrExists),
			"where two databases run as "+r.Instance+", give one another `instance:`; if this one was restored, its next receipt is its own")
	}
	return nil
}

// maxReceipts bounds the consumers of a log.
const maxReceipts = 1000

// Receipts returns the newest readable receipt of every instance, in order of instance.
func (r *Reader) Receipts(ctx context.Context) ([]*schemas.Receipt, error) {
	folders, err := r.listed.names(ctx, "receipts")
	if err != nil {
		return nil, err
	}
	var receipts []*schemas.Receipt
	for _, folder := range folders {
		receipt, err := r.receipt(ctx, path.Join("receipts", folder))
		if err != nil {
			return nil, err
		}
		if receipt == nil {
			continue
		}
		if receipts = append(receipts, receipt); len(receipts) > maxReceipts {
			return nil, fault.New(fault.Poison, "read", "receipts", fmt.Errorf("more than %d consumers have left some", maxReceipts),
				"find out who writes there, and remove the folders in receipts/ of consumers that do not exist")
		}
	}
	return receipts, nil
}

// receipt returns the newest of one instance, or nil. A consumer deletes its previous receipt after
// writing the next. So a receipt that was deleted after it was listed has a successor.
func (r *Reader) receipt(ctx context.Context, folder string) (receipt *schemas.Receipt, err error) {
	const looks = 3
	for deleted, n := true, 0; deleted && n < looks; n++ {
		if receipt, deleted, err = r.newestReceipt(ctx, folder); err != nil {
			return nil, err
		}
	}
	return receipt, nil
}

// newestReceipt also reports whether a receipt was deleted while it was reading. Receipts are only
// information, so it silently skips one that is torn, misplaced or of a later format.
func (r *Reader) newestReceipt(ctx context.Context, folder string) (newest *schemas.Receipt, deleted bool, err error) {
	for name, err := range r.listed.receipts(ctx, folder) {
		if err != nil {
			return nil, false, err
		}
		data, err := readFile(ctx, r.store, name, maxSmallFile)
		if errors.Is(err, ErrNotFound) {
			return nil, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		instance, batch, _ := schemas.ParseReceiptName(name)
		receipt, err := schemas.ParseReceipt(data)
		if r.trust != nil && !r.trust.Receipt(instance, data) {
			continue
		}
		if err == nil && receipt.Instance == instance && receipt.Batch == batch {
			return receipt, false, nil
		}
	}
	return nil, false, nil
}
