package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Exactly returns a reader of body for a Put of size bytes. It withholds the last bytes until it
// has seen that body ends there. So a body that breaks off, or is too short or too long, never
// leaves a file of size bytes on stores that show a file while it grows. Reads end with ctx's error
// once ctx is done.
func Exactly(ctx context.Context, body io.Reader, size int64) io.Reader {
	return &exactReader{ctx: ctx, body: body, size: size, left: size}
}

type exactReader struct {
	ctx        context.Context
	body       io.Reader
	size, left int64
	done       bool
}

func (r *exactReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.done {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.left == 0 { // size is 0
		if err := r.end(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case r.left == 0 && (err == nil || errors.Is(err, io.EOF)):
		if err := r.end(); err != nil {
			return 0, err
		}
		return n, nil
	case errors.Is(err, io.EOF):
		return 0, fmt.Errorf("the source has %d bytes, not %d", r.size-r.left, r.size)
	case err != nil && r.left == 0:
		return 0, err
	default:
		return n, err
	}
}

// end fails if body has more bytes.
func (r *exactReader) end() error {
	n, err := io.ReadFull(r.body, make([]byte, 1))
	switch {
	case n > 0:
		return fmt.Errorf("the source has at least %d bytes, not %d", r.size+1, r.size)
	case !errors.Is(err, io.EOF):
		return err
	}
	r.done = true
	return nil
}
