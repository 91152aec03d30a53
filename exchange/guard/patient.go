package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"waybill/exchange"
	"waybill/internal/fault"
)

// patient repeats failed calls. It does not repeat a listing whose names were already yielded, or
// an upload whose body can't be read again.
type patient struct {
	store  exchange.Store
	calls  failsafe.Executor[any]
	health *health
}

// attempt runs one call until it succeeds, fails for good, or the attempts are used up.
func (s *patient) attempt(ctx context.Context, op, name string, call func() error) error {
	err := s.calls.WithContext(ctx).Run(func() error {
		err := call()
		if ctx.Err() == nil {
			s.health.note(err)
		}
		return err
	})
	if errors.Is(err, circuitbreaker.ErrOpen) {
		return s.refusal(op, name)
	}
	return err
}

func (s *patient) refusal(op, name string) error {
	h := s.health.read()
	cause := errors.New("the store keeps failing and is left alone for a while")
	if h.LastError != "" {
		cause = errors.New("the store keeps failing and is left alone for a while; at last: " + h.LastError)
	}
	hint := "`waybill doctor` tries everything that it should do"
	if h.NextTry != nil {
		hint = "the next try is at " + h.NextTry.UTC().Format(time.TimeOnly) + "Z; " + hint
	}
	return fault.New(fault.Transient, op, name, cause, hint)
}

func (s *patient) Publish(ctx context.Context, name string, data []byte) error {
	return s.attempt(ctx, "publish", name, func() error { return s.store.Publish(ctx, name, data) })
}

func (s *patient) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	seeker, start, seekable := position(body)
	if !seekable {
		return s.store.Put(ctx, name, size, body)
	}
	return s.attempt(ctx, "put", name, func() error {
		if _, err := seeker.Seek(start, io.SeekStart); err != nil {
			return fault.New(fault.Poison, "put", name, err, "")
		}
		return s.store.Put(ctx, name, size, body)
	})
}

// position returns the present position of body, if it can return there: a pipe has a Seek that fails.
func position(body io.Reader) (io.Seeker, int64, bool) {
	seeker, ok := body.(io.Seeker)
	if !ok {
		return nil, 0, false
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	return seeker, start, err == nil
}

// maxNames bounds the names that readers keep in memory, because anyone who can write to a folder can add names.
const maxNames = 1 << 20

// List waits for all names before it yields the first, so that it can repeat a listing that breaks
// off.
func (s *patient) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var names []string
		err := s.attempt(ctx, "list", folder, func() error {
			names = names[:0]
			for name, err := range s.store.List(ctx, folder) {
				if err != nil {
					return err
				}
				if names = append(names, name); len(names) > maxNames {
					return fault.New(fault.Poison, "list", folder, fmt.Errorf("it holds more than %d names", maxNames), "find out who writes there, and remove what does not belong")
				}
			}
			return nil
		})
		if err != nil {
			yield("", err)
			return
		}
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func (s *patient) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	f := &resumedFile{ctx: ctx, store: s, name: name}
	if err := s.attempt(ctx, "get", name, f.open); err != nil {
		_ = f.Close() // it may be open: after a cancellation attempt returns only that error
		return nil, err
	}
	return f, nil
}

// resumedFile resumes where a broken transfer ended. It may, because files never change under their
// names, and readers check the hash.
type resumedFile struct {
	ctx     context.Context
	store   *patient
	name    string
	file    io.ReadCloser // nil after a failed resumption
	offset  int64
	resumed int
}

// mostResumed bounds how often a file is resumed: a transfer that always breaks off would otherwise
// never end.
const mostResumed = 10

// open opens the file and skips to offset.
func (f *resumedFile) open() error {
	file, err := f.store.store.Get(f.ctx, f.name)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, file, f.offset); err != nil {
		file.Close()
		if errors.Is(err, io.EOF) { // shorter than before; this must not count as the file's end
			err = io.ErrUnexpectedEOF
		}
		return fault.New(fault.Transient, "read", f.name, err, "")
	}
	f.file = file
	return nil
}

func (f *resumedFile) Read(p []byte) (int, error) {
	for {
		if f.file == nil {
			return 0, fault.New(fault.Transient, "read", f.name, io.ErrUnexpectedEOF, "")
		}
		n, err := f.file.Read(p)
		f.offset += int64(n)
		if n > 0 && !isEnd(err) {
			return n, nil // the next read returns the error again
		}
		if err == nil || isEnd(err) {
			return n, err
		}
		if err := f.resume(err); err != nil {
			return 0, err
		}
	}
}

// isEnd reports the end of a file. An error that wraps io.EOF is a connection that ended too early.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // see above

// resume opens the file again after err, or returns why that is useless.
func (f *resumedFile) resume(err error) error {
	if f.ctx.Err() != nil || !passing(err) {
		return err
	}
	f.store.health.note(err)
	if f.resumed++; f.resumed > mostResumed {
		return err
	}
	f.file.Close()
	f.file = nil
	return f.store.attempt(f.ctx, "get", f.name, f.open)
}

func (f *resumedFile) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
