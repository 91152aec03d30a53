package store

import (
	"context"
	"io"
	"iter"

	"waybill/exchange"
	"waybill/internal/crashpoint"
)

// marked calls a crash point before and after every call of a driver, for tests of crashes.
type marked struct{ Driver }

func (m marked) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	defer crashpoint.Call("store")()
	return m.Driver.Get(ctx, name)
}

func (m marked) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	defer crashpoint.Call("store")()
	return m.Driver.Put(ctx, name, size, body)
}

func (m marked) Publish(ctx context.Context, name string, data []byte) error {
	defer crashpoint.Call("store")()
	return m.Driver.Publish(ctx, name, data)
}

func (m marked) Delete(ctx context.Context, name string) error {
	defer crashpoint.Call("store")()
	return m.Driver.Delete(ctx, name)
}

func (m marked) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	defer crashpoint.Call("store")()
	return m.Driver.List(ctx, folder)
}

func (m marked) Survey(ctx context.Context, folder string) ([]exchange.Found, error) {
	defer crashpoint.Call("store")()
	return m.Driver.Survey(ctx, folder)
}

func (m marked) Move(ctx context.Context, from, to string) error {
	defer crashpoint.Call("store")()
	return m.Driver.Move(ctx, from, to)
}
