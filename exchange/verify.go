package exchange

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// VerifyParts reads a batch's parts again and holds them against its manifest: size and hash,
// then every row against the contract and the counts. Each part lies in the folder spool while
// it is read.
func (r *Reader) VerifyParts(ctx context.Context, e *Entry, spool string) error {
	for _, p := range e.Manifest.Parts {
		if err := r.verifyPart(ctx, p, filepath.Join(spool, "part")); err != nil {
			return fault.New(fault.ClassOf(err), "verify", batchName(e.Manifest.Batch), err, fault.HintOf(err))
		}
	}
	return nil
}

func (r *Reader) verifyPart(ctx context.Context, p schemas.Part, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	defer os.Remove(path)
	defer file.Close()
	if err := r.Fetch(ctx, p, file); err != nil {
		return err
	}
	stream := part.NewStream(schemas.PatientEvents(), part.Options{}, part.File{ReaderAt: file, Size: p.Bytes, Meta: p})
	_, err = io.Copy(io.Discard, stream)
	if err := errors.Join(err, stream.Close()); err != nil {
		return fault.New(fault.Poison, "read", p.Name, err, producerHint)
	}
	return nil
}
