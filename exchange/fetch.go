package exchange

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// Fetch copies a part into dst and checks its size and hash as the bytes come; it never reads more than one
// byte beyond the announced size. After an error, the content of dst must not be used. A part that is
// missing or short is [fault.NotYet] with a [Pending] cause, or [Pruned]. A part that is too long, or has
// the right size but another hash, is [ErrDamaged].
func (r *Reader) Fetch(ctx context.Context, p schemas.Part, dst io.Writer) error {
	ref, ok := schemas.ParsePartName(p.Name)
	if !ok || !strings.HasPrefix(p.SHA256, ref.Hash) {
		return fault.New(fault.Poison, "fetch", fmt.Sprintf("%q", p.Name), fmt.Errorf("%w: not the name of a part", schemas.ErrInvalid), producerHint)
	}
	file, err := r.store.Get(ctx, p.Name)
	if errors.Is(err, ErrNotFound) {
		return r.orPruned(ctx, ref.Batch, pending("fetch", &Pending{Batch: ref.Batch, Reason: NoPart, File: p.Name}, fmt.Sprintf(noPartHint, ref.Batch)))
	}
	if err != nil {
		return err
	}
	hash := sha256.New()
	const buffer = 256 << 10 // an eighth of the system calls of [io.Copy] pays for the hash
	n, err := io.CopyBuffer(io.MultiWriter(dst, hash), io.LimitReader(file, p.Bytes+1), make([]byte, min(buffer, p.Bytes+1)))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("fetch %s: %w", p.Name, err)
	}
	if n < p.Bytes {
		return pending("fetch", &Pending{Batch: ref.Batch, Reason: Short, File: p.Name}, fmt.Sprintf(noPartHint, ref.Batch))
	}
	if n > p.Bytes {
		return damaged(ref.Batch, p.Name, fmt.Sprintf("more than the %d bytes announced", p.Bytes))
	}
	if hex.EncodeToString(hash.Sum(nil)) != p.SHA256 {
		return damaged(ref.Batch, p.Name, "not the hash announced")
	}
	return nil
}

// Opening returns the reader, which opens sealed parts with the keys.
func (r *Reader) Opening(keys seal.Keys) *Reader {
	r.keys = keys
	return r
}

// Opened returns a fetched part to be read. The file holds what [Reader.Fetch] has copied; a sealed part stays sealed there
// and is decrypted as it is read. One that none of the reader's keys opens is a [fault.Usage] with [seal.ErrNotForUs];
// one that is broken inside, though its hash is right, [fault.Poison].
func (r *Reader) Opened(p schemas.Part, file io.ReaderAt) (opened part.File, err error) {
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
func (r *Reader) Openable(p schemas.Part) error {
	if p.Seal != nil && len(r.keys) == 0 {
		return NotForUs(p)
	}
	return nil
}

// Opens returns why the reader's keys don't open a part, by its beginning alone: no hash is compared.
func (r *Reader) Opens(ctx context.Context, p schemas.Part) error {
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
	"which `waybill keys show FILE` prints, and these event types under seal:, with slim: exactly if the consumer is, and run `waybill export --snapshot`; start from that snapshot here"

func damaged(batch int64, name, how string) error {
	return poison("fetch", batch, fmt.Errorf("%s is %w: %s", name, ErrDamaged, how), fmt.Sprintf(damagedHint, batch))
}

// OpenedBy returns the public keys of those of the keys that open a part; none if it lies open. It fetches the whole
// part into the folder spool, and compares its hash: a file that somebody has put in its place says nothing about it.
func (r *Reader) OpenedBy(ctx context.Context, p schemas.Part, keys seal.Keys, spool string) (public []string, err error) {
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
	for _, key := range keys {
		_, _, err := seal.Keys{key}.Open(file, p.Bytes)
		if err == nil {
			public = append(public, key.Recipient().String())
		} else if !errors.Is(err, seal.ErrNotForUs) {
			return nil, fault.New(fault.Poison, "open", p.Name, err, producerHint)
		}
	}
	return public, nil
}
