package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pkg/sftp"

	"waybill/exchange"
)

const (
	packet = 32 << 10 // what every server can answer in one piece
	window = 64       // requests under way at once: 2 MiB per file being read
)

// Get opens a regular file. A folder, a link, a pipe or a device is not found.
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := exchange.CheckName(name); err != nil {
		return nil, err
	}
	lease, err := s.acquire(ctx)
	if err != nil {
		return nil, s.failed("get", name, err)
	}
	file, size, err := lease.open(s.at(name))
	if err != nil {
		lease.release(err)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, s.failed("get", name, err)
	}
	r := &reader{ctx: ctx, lease: lease, file: file, size: size}
	r.failed = func(err error) error { return s.failed("get", name, err) }
	return r, nil
}

// open checks the type first, because opening a pipe would wait for a writer.
func (c *session) open(at string) (*sftp.File, int64, error) {
	info, err := c.files.Lstat(at)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, exchange.ErrNotFound
	}
	var file *sftp.File
	if err == nil {
		file, err = c.files.Open(at)
	}
	if err != nil {
		if c.absent(at, err) {
			err = exchange.ErrNotFound
		}
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// reader reads a file of a size known beforehand, and one byte further to see that it ends there,
// many packets ahead. Each request is answered in full or fails; the library's bulk reading
// mistakes a short answer for the end of the file.
type reader struct {
	ctx    context.Context
	lease  *lease
	file   *sftp.File
	failed func(error) error
	size   int64

	asked int64 // up to where
	ahead []*chunk
	spare [][]byte
	buf   []byte // arrived and not read yet
	full  []byte // what buf is the rest of
	err   error  // what reads return from now on
	lost  error  // why the session can't be used further
	done  bool
}

// chunk is a part of the file that has been asked for.
type chunk struct {
	data []byte
	err  error
	come chan struct{}
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 && r.err == nil {
		r.err = r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.ctx.Err(); err != nil {
		r.err = r.failed(err)
		return 0, r.err
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// next waits for the first of the chunks ahead.
func (r *reader) next() error {
	if r.full != nil {
		r.spare, r.full = append(r.spare, r.full[:packet]), nil
	}
	for len(r.ahead) < window && r.asked <= r.size {
		r.ask()
	}
	if len(r.ahead) == 0 {
		return io.EOF
	}
	select {
	case <-r.ctx.Done():
		return r.failed(r.ctx.Err())
	case <-r.ahead[0].come:
	}
	first := r.ahead[0]
	r.ahead = r.ahead[1:]
	if first.err != nil {
		r.lost = first.err
		if r.ctx.Err() != nil {
			first.err = r.ctx.Err()
		}
		return r.failed(first.err)
	}
	r.buf, r.full = first.data, first.data
	return nil
}

// ask requests the next part; at the end of the file it requests one byte more, to see that the file ends.
func (r *reader) ask() {
	offset, size := r.asked, min(packet, r.size-r.asked)
	c := &chunk{come: make(chan struct{})}
	r.ahead = append(r.ahead, c)
	if size == 0 {
		r.asked++
		go func() {
			defer close(c.come)
			c.err = r.expectEnd(offset)
		}()
		return
	}
	r.asked += size
	c.data = r.buffer()[:size]
	go func() {
		defer close(c.come)
		c.err = r.fill(c.data, offset)
	}()
}

func (r *reader) buffer() []byte {
	n := len(r.spare)
	if n == 0 {
		return make([]byte, packet)
	}
	buf := r.spare[n-1]
	r.spare = r.spare[:n-1]
	return buf
}

func (r *reader) fill(p []byte, offset int64) error {
	n, err := r.file.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("the file ends at byte %d of %d", offset+int64(n), r.size)
	}
	return err
}

func (r *reader) expectEnd(offset int64) error {
	n, err := r.file.ReadAt(make([]byte, 1), offset)
	switch {
	case n > 0:
		return fmt.Errorf("the file has grown beyond its %d bytes while it was read", r.size)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// Close waits for pending requests, for a bounded time, and returns the connection.
func (r *reader) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	for _, c := range r.ahead {
		<-c.come
		r.lost = errors.Join(r.lost, c.err)
	}
	r.ahead, r.spare, r.buf = nil, nil, nil
	r.err = r.failed(errors.New("the file is closed"))
	// The file was only read, so an error at closing only shows whether the connection works.
	r.lease.release(errors.Join(r.lost, r.file.Close()))
	return nil
}
