package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"waybill/exchange/seal"
	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// Parts is a reader that opens sealed parts, with the keys.
type Parts struct {
	*Reader
	keys seal.Keys
}

// Opening returns the reader with the keys that open parts.
func (r *Reader) Opening(keys seal.Keys) *Parts { return &Parts{r, keys} }

// Anew returns a reader of the same log with the same keys that has read nothing yet.
func (r *Parts) Anew() *Parts { return r.Reader.Anew().Opening(r.keys) }

// Opened returns a fetched part to be read. The file holds what [Reader.Fetch] has copied; a sealed part stays sealed there
// and is decrypted as it is read. One that none of the reader's keys opens is a [fault.Usage] with [seal.ErrNotForUs];
// one that is broken inside, though its hash is right, [fault.Poison].
func (r *Parts) Opened(p schemas.Part, file io.ReaderAt) (opened part.File, err error) {
	opened = part.File{ReaderAt: file, Size: p.Bytes, Meta: p}
	if p.Seal == nil {
		return opened, nil
	}
	opened.ReaderAt, opened.Size, err = r.keys.Open(file, p.Bytes)
	if errors.Is(err, seal.ErrNotForUs) {
		return opened, NotForUs(p)
	}
	if _, spool := errors.AsType[*fault.Error](err); err != nil && !spool {
		err = fault.New(fault.Poison, "open", p.Name, err, producerHint)
	}
	return opened, err
}

// Openable returns why a part can't be opened, before it is fetched, if that can be known.
func (r *Parts) Openable(p schemas.Part) error {
	if p.Seal != nil && len(r.keys) == 0 {
		return NotForUs(p)
	}
	return nil
}

// Opens returns why the reader's keys don't open a part, by its beginning alone: no hash is compared.
func (r *Parts) Opens(ctx context.Context, p schemas.Part) error {
	if p.Seal == nil {
		return nil
	}
	file, err := r.store.Get(ctx, p.Name)
	if err != nil {
		return err
	}
	head, err := io.ReadAll(io.LimitReader(file, seal.MaxHeader))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("read %s: %w", p.Name, err)
	}
	return r.keys.Opens(head)
}

// NotForUs is the [fault.Usage] error of a part that none of the keys opens.
func NotForUs(p schemas.Part) error {
	return fault.New(fault.Usage, "open", p.Name, fmt.Errorf("%w: of %s", seal.ErrNotForUs, cmp.Or(strings.Join(p.Seal.Readers, ", "), "the producer alone")), sealedHint)
}

const sealedHint = "name the file of this reader's key under open: in the settings. If it is there, have the producer name its public key, " +
	"which `waybill keys show FILE` prints, and these event types under seal:, with slim: exactly if the consumer is, and run `waybill export --snapshot` at the producer"

// OpenedBy returns the public keys of those that open a part; none if it lies open. It fetches the whole
// part into the folder spool, and compares its hash: a file that somebody has put in its place says nothing about it.
func (r *Parts) OpenedBy(ctx context.Context, p schemas.Part, spool string) (public []string, err error) {
	if p.Seal == nil {
		return nil, nil
	}
	file, err := os.Create(filepath.Join(spool, "part"))
	if err != nil {
		return nil, fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := r.Fetch(ctx, p, file); err != nil {
		return nil, err
	}
	for _, key := range r.keys {
		_, _, err := seal.Keys{key}.Open(file, p.Bytes)
		if err == nil {
			public = append(public, key.Recipient().String())
		} else if !errors.Is(err, seal.ErrNotForUs) {
			return nil, fault.New(fault.Poison, "open", p.Name, err, producerHint)
		}
	}
	return public, nil
}
