package exchange

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"

	"waybill/exchange/seal"
	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// VerifyParts reads a batch's parts again and compares them with its manifest: size and hash, then
// every row with the contract and the counts, unless the part is sealed to others. Each part lies in the folder spool while it is read.
// It returns the error of the first part that fails.
func (r *Parts) VerifyParts(ctx context.Context, e *Entry, spool string) error {
	for err := range r.FailingParts(ctx, e, spool) {
		return err
	}
	return nil
}

// FailingParts yields an error for each of a batch's parts for which VerifyParts would fail.
func (r *Parts) FailingParts(ctx context.Context, e *Entry, spool string) iter.Seq[error] {
	return func(yield func(error) bool) {
		for _, p := range e.Manifest.Parts {
			err := r.verifyPart(ctx, schemas.ContractOf(e.Manifest.Stream), p, filepath.Join(spool, "part"))
			if err != nil && !yield(fault.New(fault.ClassOf(err), "verify", batchName(e.Manifest.Batch), err, fault.HintOf(err))) {
				return
			}
		}
	}
}

func (r *Parts) verifyPart(ctx context.Context, contract *schemas.Contract, p schemas.Part, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	defer os.Remove(path)
	defer file.Close()
	if err := r.Fetch(ctx, p, file); err != nil {
		return err
	}
	opened, err := r.Opened(p, file)
	if errors.Is(err, seal.ErrNotForUs) { // size and hash must do
		return nil
	}
	if err != nil {
		return err
	}
	stream := part.NewStream(p.Contract(contract), part.Options{}, opened)
	_, err = io.Copy(io.Discard, stream)
	if err := errors.Join(err, stream.Close()); err != nil {
		return fault.New(fault.Poison, "read", p.Name, err, producerHint)
	}
	return nil
}
