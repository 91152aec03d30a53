package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"waybill/exchange"
	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// timely gives up a call without progress: no byte read or sent, no name listed. It relies on
// stores to return soon after their context is done.
type timely struct {
	store exchange.Store
	stall time.Duration
}

var errStalled = errors.New("no headway")

// patience is the factor by which a call's time is longer if it has asked for patience.
const patience = 10

// watch is a context that is cancelled after a time without progress.
type watch struct {
	context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

func (s *timely) watch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, timer: time.AfterFunc(s.stall, func() { cancel(errStalled) }), stall: s.stall}
	w.Context = wire.WithPatience(ctx, w.bePatient)
	return w
}

func (w *watch) headway() { w.timer.Reset(w.stall) }

func (w *watch) bePatient() (over func()) {
	w.timer.Reset(patience * w.stall)
	return w.headway
}

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain turns a cancellation by the watch into an error that says why.
func (w *watch) explain(op, name string, err error) error {
	if err == nil || !errors.Is(context.Cause(w), errStalled) {
		return err
	}
	return fault.New(fault.Transient, op, name, fmt.Errorf("%w for %s or more", errStalled, w.stall), "see whether the store hangs, or the line to it")
}

func (s *timely) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	w := s.watch(ctx)
	file, err := s.store.Get(w, name)
	if err != nil {
		err = w.explain("get", name, err)
		w.end()
		return nil, err
	}
	w.headway()
	return &watchedFile{file, w, name}, nil
}

// watchedFile also counts the time between reads: for the server, a reader that stops reading is as
// bad as one that gets no data. Its user does no other work between reads.
type watchedFile struct {
	io.ReadCloser
	watch *watch
	name  string
}

func (f *watchedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 {
		f.watch.headway()
	}
	if err != nil && !isEnd(err) {
		err = f.watch.explain("read", f.name, err)
	}
	return n, err
}

func (f *watchedFile) Close() error {
	defer f.watch.end()
	return f.ReadCloser.Close()
}

func (s *timely) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	w := s.watch(ctx)
	defer w.end()
	return w.explain("put", name, s.store.Put(w, name, size, watched(body, w)))
}

// watched counts every read of body as progress and keeps it seekable if it is. After the last
// read, a store may still have megabytes to send, which the watch can't see.
func watched(body io.Reader, w *watch) io.Reader {
	r := watchedReader{body, w}
	if seeker, ok := body.(io.Seeker); ok {
		return struct {
			watchedReader
			io.Seeker
		}{r, seeker}
	}
	return r
}

type watchedReader struct {
	body  io.Reader
	watch *watch
}

func (r watchedReader) Read(p []byte) (int, error) {
	r.watch.headway()
	n, err := r.body.Read(p)
	if isEnd(err) {
		r.watch.bePatient()
	}
	return n, err
}

func (s *timely) Publish(ctx context.Context, name string, data []byte) error {
	w := s.watch(ctx)
	defer w.end()
	return w.explain("publish", name, s.store.Publish(w, name, data))
}

func (s *timely) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := s.watch(ctx)
		defer w.end()
		for name, err := range s.store.List(w, folder) {
			w.headway()
			if !yield(name, w.explain("list", folder, err)) {
				return
			}
		}
	}
}
