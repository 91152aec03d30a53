package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"waybill/internal/fault"
	"waybill/schemas"
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

func damaged(batch int64, name, how string) error {
	return poison("fetch", batch, fmt.Errorf("%s is %w: %s", name, ErrDamaged, how), fmt.Sprintf(damagedHint, batch))
}
