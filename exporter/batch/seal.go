package batch

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/schemas"
)

// checkSecret refuses to write a batch that was planned with another secret: it would get other bytes.
func (c *Converter) checkSecret(p *plan.Plan) error {
	if p.Seal == nil || c.Secrets.Of(p.Seal) != nil {
		return nil
	}
	return fault.New(fault.Usage, "write", p.Name(), fmt.Errorf("it is sealed with the secret %s, which seal.secret_file does not hold", p.Seal.Secret),
		"put that secret back until this is done; if it is lost, what was published can't be written again, and a batch that was not published needs `waybill export --new-generation`")
}

// seal puts a finished part's sealed file in the place of its own, if the plan says so.
func (b *writer) seal(o *openPart) (*schemas.Sealed, error) {
	if b.plan.Seal == nil {
		return nil, nil
	}
	if _, err := o.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	file, err := os.Create(o.file.Name() + schemas.SealedSuffix)
	if err != nil {
		return nil, err
	}
	plain, sum := o.file, o.hash.Sum(nil)
	o.file, o.hash = file, sha256.New()
	out := bufio.NewWriter(io.MultiWriter(file, o.hash))
	err = b.Secrets.Of(b.plan.Seal).Write(out, plain, sum, b.plan.Context(), b.plan.Seal.Readers.Recipients(o.readers))
	if err := errors.Join(err, out.Flush(), plain.Close(), os.Remove(plain.Name())); err != nil {
		return nil, err
	}
	return &schemas.Sealed{Form: schemas.SealForm, Readers: o.readers, Slim: o.slim != nil}, nil
}
