package hdfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"sync"
	"time"

	"waybill/exchange"
	"waybill/exchange/whole"
)

const (
	discardTime = 700 * time.Millisecond // below the second in which a cancelled call must return
	firstWait   = 50 * time.Millisecond  // for another who writes a manifest
)

// Put uploads the file next to its place and renames it there. It replaces an existing file.
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	return s.change(ctx, "put", name, func(at string) error {
		return whole.Put(ctx, files{ctx, s}, at, s.config.Partial, size, body)
	})
}

// Publish uploads the file next to its place and renames it there, which fails if the name is taken. A server that ignores
// the option for that gets the file under its own name, created exclusively: there is still one winner, but an upload that
// breaks off leaves a torn file. A name that another is still writing is free or taken once that one is done.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	return s.change(ctx, "publish", name, func(at string) error {
		err := whole.Publish(ctx, files{ctx, s}, at, s.config.Partial, data)
		for wait := firstWait; isBeingWritten(err) && wait < 100*firstWait; wait *= 2 {
			select {
			case <-time.After(wait):
				err = whole.Publish(ctx, files{ctx, s}, at, s.config.Partial, data)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return err
	})
}

func (s *Store) change(ctx context.Context, op, name string, do func(at string) error) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.Ready(ctx)
	if err == nil {
		err = do(s.at(name))
	}
	if err != nil {
		return s.failed(ctx, op, s.at(name), err)
	}
	return nil
}

// files is the server's filesystem for [whole].
type files struct {
	ctx context.Context
	*Store
}

// Create uploads a new file, and sees how long it is: an upload that breaks off leaves a short file that looks whole.
func (f files) Create(at string, size int64, body io.Reader) error {
	if err := f.upload(at, size, body); err != nil {
		return err
	}
	found, err := f.status(f.ctx, at)
	switch {
	case errors.Is(err, exchange.ErrNotFound):
		return errors.New("nothing was stored")
	case err == nil && found.Length != size:
		return fmt.Errorf("%d of %d bytes were stored", found.Length, size)
	}
	return err
}

func (f files) upload(at string, size int64, body io.Reader) error {
	to, answer, err := f.locate(f.ctx, request{http.MethodPut, "CREATE", at, url.Values{"overwrite": {"false"}}})
	if err != nil {
		return err
	}
	if answer != nil {
		defer answer.Body.Close()
		return unexpected(answer)
	}
	lent := &loan{body: body}
	defer lent.end()
	if answer, err = f.send(f.ctx, http.MethodPut, to, size, lent); err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		return unexpected(answer)
	}
	return nil
}

// Replace renames over a file that exists. Where the option for that is ignored, it removes the file first.
func (f files) Replace(temp, at string) error {
	err := f.rename(f.ctx, temp, at, "OVERWRITE")
	if !errors.Is(err, exchange.ErrExists) {
		return err
	}
	if err := f.remove(f.ctx, at); err != nil {
		return err
	}
	return f.rename(f.ctx, temp, at, "OVERWRITE")
}

// Claim implements [whole.Folder].
func (f files) Claim(temp, at string) error {
	heeds, err := f.heeds(f.ctx, path.Dir(at))
	if err == nil && !heeds {
		err = errors.ErrUnsupported
	}
	if err == nil {
		err = f.rename(f.ctx, temp, at, "NONE")
	}
	if err != nil {
		f.Discard(temp)
	}
	return err
}

// Discard also removes the file of a call that was cancelled.
func (f files) Discard(temp string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), discardTime)
	defer cancel()
	_ = f.remove(ctx, temp)
}

// Settle has nothing to do: a NameNode answers when the name is durable, and DataNodes can't be asked for more.
func (files) Settle(string) error { return nil }

// rename gives a file another name. A taken one is [exchange.ErrExists] with the option NONE. A server that ignores
// options renames to free names only, if an HDFS is behind it.
func (s *Store) rename(ctx context.Context, from, to, option string) error {
	renamed, _, err := s.tryRename(ctx, from, to, option)
	if err != nil || renamed {
		return err
	}
	if _, err := s.status(ctx, to); err != nil {
		return err // of an ignored option, all that is left is that the file or the folder is missing
	}
	return exchange.ErrExists
}

// tryRename also reports whether the server heeded the option: a rename without one is answered by true or false.
func (s *Store) tryRename(ctx context.Context, from, to, option string) (renamed, heeded bool, err error) {
	var said struct{ Boolean *bool }
	err = s.call(ctx, request{http.MethodPut, "RENAME", from, url.Values{"destination": {to}, "renameoptions": {option}}}, &said)
	if err != nil || said.Boolean == nil {
		return err == nil, true, err
	}
	return *said.Boolean, false, nil
}

// heeds finds out, once and without changing anything, whether the server heeds a rename's options: then a missing file is
// an error. The folder is one that the user may write to.
func (s *Store) heeds(ctx context.Context, folder string) (bool, error) {
	if s.refuses.Load() {
		return true, nil
	}
	nothing := path.Join(folder, ".waybill-nothing.tmp")
	_, heeded, err := s.tryRename(ctx, nothing, nothing+"2", "NONE")
	if !errors.Is(err, exchange.ErrNotFound) {
		return heeded, err
	}
	s.refuses.Store(true)
	return true, nil
}

// Move renames a file and makes the folder if that is missing.
func (s *Store) Move(ctx context.Context, from, to string) error {
	if err := exchange.CheckName(to); err != nil {
		return err
	}
	return s.change(ctx, "move", from, func(at string) error {
		heeds, err := s.heeds(ctx, path.Dir(at))
		if err != nil {
			return err
		}
		if !heeds { // a rename to a folder would move the file into it
			if _, err := s.status(ctx, s.at(to)); !errors.Is(err, exchange.ErrNotFound) {
				return cmp.Or(err, exchange.ErrExists)
			}
		}
		err = s.rename(ctx, at, s.at(to), "NONE")
		if !errors.Is(err, exchange.ErrNotFound) {
			return err
		}
		if err := s.call(ctx, request{method: http.MethodPut, op: "MKDIRS", at: path.Dir(s.at(to))}, nil); err != nil {
			return err
		}
		return s.rename(ctx, at, s.at(to), "NONE")
	})
}

// Delete removes a file.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.change(ctx, "delete", name, func(at string) error { return s.remove(ctx, at) })
}

// remove removes a file, or an empty folder. What is missing is no error.
func (s *Store) remove(ctx context.Context, at string) error {
	err := s.call(ctx, request{http.MethodDelete, "DELETE", at, url.Values{"recursive": {"false"}}}, nil)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	return err
}

// Tidy implements [exchange.Deleter]. The server refuses to remove a folder that is not empty.
func (s *Store) Tidy(ctx context.Context, folder string) {
	if found, err := s.status(ctx, s.at(folder)); err == nil && found.Type == "DIRECTORY" {
		_ = s.remove(ctx, s.at(folder))
	}
}

// loan lends a body to the HTTP client, which may read on after the request has ended.
type loan struct {
	mu    sync.Mutex
	body  io.Reader
	ended bool
}

func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, io.ErrClosedPipe
	}
	return l.body.Read(p)
}

func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
