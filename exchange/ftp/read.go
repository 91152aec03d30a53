package ftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange"
)

// Get asks for the size first: so it finds a missing file without a data connection, and a file
// that ends early is an error. The reader keeps its connection until it is closed. The file ends
// only when the server has confirmed it.
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := exchange.CheckName(name); err != nil {
		return nil, err
	}
	l, err := s.acquire(ctx)
	if err != nil {
		return nil, s.failed(ctx, "get", name, err)
	}
	r, err := l.open(name)
	if err != nil {
		l.release(errors.Is(err, exchange.ErrNotFound))
		return nil, s.failed(ctx, "get", name, err)
	}
	return r, nil
}

func (l *lease) open(name string) (*reader, error) {
	file, err := l.store.path(l.conn, name)
	if err != nil {
		return nil, err
	}
	size, err := l.FileSize(file)
	err = l.lookInto(file, err)
	switch {
	case isRefusal(err):
		return nil, l.absent(file)
	case isUnknown(err):
		size = 0 // at least
	case err != nil:
		return nil, err
	}
	response, err := l.Retr(file)
	if err = l.lookInto(file, err); isRefusal(err) {
		// It was removed meanwhile, or the server never gave its size or gives that of a folder, or we may not read it.
		if _, again := l.FileSize(file); again != nil || l.ChangeDir(file) == nil {
			return nil, l.absent(file)
		}
		return nil, unreadable(err)
	}
	if err != nil {
		return nil, err
	}
	return &reader{lease: l, name: name, response: response, left: size}, nil
}

// absent returns [exchange.ErrNotFound] for a file that the server does not have, unless the
// account may not enter its folder.
func (c *conn) absent(file string) error {
	if err := c.enter(path.Dir(file)); err != nil {
		return err
	}
	return exchange.ErrNotFound
}

// enter makes folder the current one. It returns [exchange.ErrNotFound] if there is no such folder,
// and the server's error if the account may not enter it.
func (c *conn) enter(folder string) error {
	err := c.ChangeDir(folder)
	if !isRefusal(err) && code(err) != busy || folder == "/" {
		return err
	}
	above := path.Dir(folder)
	if err := c.enter(above); err != nil {
		return err
	}
	names, listErr := c.entries(above)
	switch {
	case slices.Contains(names, path.Base(folder)+"/"):
		if err = c.ChangeDir(folder); isRefusal(err) { // it was not made meanwhile
			err = unreadable(err)
		}
		return err
	case listErr != nil && !isRefusal(listErr):
		return listErr
	default: // the account may lack the right to list, so nobody can know
		return exchange.ErrNotFound
	}
}

// reader is a file in transfer.
type reader struct {
	lease    *lease
	name     string
	response *client.Response
	left     int64 // bytes that must still come
	err      error // how it ended
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	ctx := r.lease.ctx
	n, err := 0, ctx.Err()
	if err == nil {
		n, err = r.response.Read(p)
	}
	r.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		err = r.finish()
	}
	r.end(err)
	return n, r.err
}

// finish checks that the server confirms the end and that all bytes have arrived.
func (r *reader) finish() error {
	if err := completed(r.response.Close()); err != nil {
		return err
	}
	if r.left > 0 {
		return fmt.Errorf("%w: %d bytes are missing", io.ErrUnexpectedEOF, r.left)
	}
	return nil
}

func (r *reader) end(err error) {
	r.err = io.EOF
	if err != nil {
		r.err = r.lease.store.failed(r.lease.ctx, "get", r.name, err)
	}
	r.lease.release(err == nil)
}

// Close before the end drops the connection: the server is still sending.
func (r *reader) Close() error {
	if r.err == nil {
		r.err = errClosed
		r.lease.release(false)
	}
	return nil
}

var errClosed = errors.New("the reader is closed")

// sizeOf returns how many bytes the server has of a file. From a server without SIZE it reads the file.
func (c *conn) sizeOf(file string) (int64, error) {
	size, err := c.FileSize(file)
	if err = c.lookInto(file, err); code(err) == busy { // it has come meanwhile, or is in use
		size, err = c.FileSize(file)
	}
	if !isUnknown(err) {
		return size, err
	}
	response, err := c.Retr(file)
	if err != nil {
		return 0, c.lookInto(file, err)
	}
	size, err = io.Copy(io.Discard, response)
	return size, errors.Join(err, completed(response.Close()))
}

// mustBeAbsent returns [exchange.ErrExists] for a file that exists.
func (c *conn) mustBeAbsent(file string) error {
	_, err := c.sizeOf(file)
	switch {
	case err == nil:
		return exchange.ErrExists
	case isRefusal(err):
		return nil
	default:
		return err
	}
}
