package exchangetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"waybill/exchange"
)

// ErrCut is what a [Faulty] store returns for a transfer that it tears.
var ErrCut = errors.New("connection lost")

// WithoutOverwrite returns a store whose Put refuses names that are taken, torn files included:
// an upload-only account.
func WithoutOverwrite(s exchange.Store) exchange.Store { return withoutOverwrite{s} }

type withoutOverwrite struct{ exchange.Store }

func (s withoutOverwrite) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := mustBeAbsent(ctx, s, name); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return s.Store.Put(ctx, name, size, body)
}

// WithoutNativePublish returns a store that checks the name before it publishes. If several publish
// at once, each may win, and the last one stays.
func WithoutNativePublish(s exchange.Store) exchange.Store { return withoutNativePublish{s} }

type withoutNativePublish struct{ exchange.Store }

func (s withoutNativePublish) Publish(ctx context.Context, name string, data []byte) error {
	if err := mustBeAbsent(ctx, s, name); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return s.Put(ctx, name, int64(len(data)), bytes.NewReader(data))
}

func mustBeAbsent(ctx context.Context, s exchange.Getter, name string) error {
	file, err := s.Get(ctx, name)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(exchange.ErrExists, file.Close())
}

// Op names a role's method.
type Op string

// The four of them.
const (
	Get     Op = "get"
	Put     Op = "put"
	Publish Op = "publish"
	List    Op = "list"
)

// Faulty passes all calls on to its store, except where its functions cause a fault; they may be
// nil. They are called from as many goroutines as the store.
type Faulty struct {
	exchange.Store
	// Fail is called before an operation. If it returns an error, the operation is not done and returns that error.
	Fail func(op Op, name string) error
	// Tear is called before a transfer of a file. If it returns true, only n bytes are transferred: a
	// Get ends there without an error, a Put or Publish leaves them and returns [ErrCut].
	Tear func(op Op, name string) (n int64, torn bool)
}

func (f *Faulty) fail(op Op, name string) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(op, name)
}

func (f *Faulty) tear(op Op, name string) (int64, bool) {
	if f.Tear == nil {
		return 0, false
	}
	return f.Tear(op, name)
}

// Get implements [exchange.Getter].
func (f *Faulty) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := f.fail(Get, name); err != nil {
		return nil, err
	}
	file, err := f.Store.Get(ctx, name)
	n, torn := f.tear(Get, name)
	if err != nil || !torn {
		return file, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, n), file}, nil
}

// Put implements [exchange.Putter].
func (f *Faulty) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := f.fail(Put, name); err != nil {
		return err
	}
	n, torn := f.tear(Put, name)
	if !torn {
		return f.Store.Put(ctx, name, size, body)
	}
	if err := f.Store.Put(ctx, name, n, io.LimitReader(body, n)); err != nil {
		return err
	}
	return ErrCut
}

// Publish implements [exchange.Publisher].
func (f *Faulty) Publish(ctx context.Context, name string, data []byte) error {
	if err := f.fail(Publish, name); err != nil {
		return err
	}
	n, torn := f.tear(Publish, name)
	if !torn {
		return f.Store.Publish(ctx, name, data)
	}
	if err := f.Store.Publish(ctx, name, data[:n]); err != nil {
		return err
	}
	return ErrCut
}

// List implements [exchange.Lister].
func (f *Faulty) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	if err := f.fail(List, folder); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return f.Store.List(ctx, folder)
}
