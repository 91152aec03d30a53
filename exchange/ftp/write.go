package ftp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"waybill/exchange"
)

// Put never replaces a file: a taken name is [exchange.ErrExists].
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	return s.write(ctx, "put", name, size, body)
}

// Publish is a Put: FTP has nothing better.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	return s.write(ctx, "publish", name, int64(len(data)), bytes.NewReader(data))
}

func (s *Store) write(ctx context.Context, op, name string, size int64, body io.Reader) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	return s.use(ctx, op, name, func(c *conn) error {
		file, err := s.path(c, name)
		if err != nil {
			return err
		}
		if err := c.mustBeAbsent(file); err != nil {
			return err
		}
		source := &source{body: exchange.Exactly(ctx, body, size), conn: c}
		if s.config.Direct {
			return s.direct(c, file, size, source)
		}
		return s.viaTemp(c, file, size, source)
	})
}

// viaTemp uploads next to the file's place and renames. After a failure it tries to remove the
// temporary file, if the server allows it.
func (s *Store) viaTemp(c *conn, file string, size int64, source *source) error {
	if err := s.mayRename(c, path.Dir(file)); err != nil {
		return err
	}
	temp := s.temporary(c, file)
	err := s.upload(c, temp, size, source)
	if err == nil {
		err = c.move(temp, file)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // a silent server is not asked again
		_ = c.Delete(temp)
	}
	return err
}

// mayRename refuses an upload if the account can't rename the file afterwards. With a declared suffix it
// does not check: at most one temporary file per file stays.
func (s *Store) mayRename(c *conn, folder string) error {
	if s.config.Partial != "" {
		return nil
	}
	rights, err := s.trial.Rights(c.ctx, renamer{s, c}, folder)
	if err == nil && !rights.Rename {
		err = unrenamable(errors.New("the server refuses"))
	}
	return err
}

// renamer is the server's filesystem for [whole].
type renamer struct {
	*Store
	*conn
}

func (r renamer) Create(at string) error {
	return denied(r.upload(r.conn, at, 0, &source{body: strings.NewReader(""), conn: r.conn}))
}

func (r renamer) Rename(from, to string) error { return denied(r.conn.Rename(from, to)) }

func (r renamer) Remove(at string) error { return denied(r.conn.Delete(at)) }

func (r renamer) Exists(at string) (bool, error) {
	err := r.mustBeAbsent(at)
	if errors.Is(err, exchange.ErrExists) {
		return true, nil
	}
	return false, err
}

// denied marks an error as a server's refusal.
func denied(err error) error {
	if isRefusal(err) || isUnknown(err) {
		return errors.Join(fs.ErrPermission, err)
	}
	return err
}

// temporary returns a free name. With a declared suffix, only a crash can have left a file there.
func (s *Store) temporary(c *conn, file string) string {
	if s.config.Partial == "" {
		return path.Join(path.Dir(file), ".waybill-"+rand.Text()+".tmp")
	}
	_ = c.Delete(file + s.config.Partial)
	return file + s.config.Partial
}

// move checks the name once more, because servers differ in what renaming does to an existing file.
func (c *conn) move(temp, file string) error {
	if err := c.mustBeAbsent(file); err != nil {
		return err
	}
	err := c.Rename(temp, file)
	if isRefusal(err) || isUnknown(err) {
		if exists := c.mustBeAbsent(file); exists != nil {
			return exists
		}
		return unrenamable(err)
	}
	return err
}

// direct never removes a file that it leaves, even if it is torn: some servers let two upload a
// file at once, so it may be another's.
func (s *Store) direct(c *conn, file string, size int64, source *source) error {
	err := s.upload(c, file, size, source)
	if isRefusal(err) && !source.begun {
		if exists := c.mustBeAbsent(file); exists != nil {
			return exists
		}
	}
	return err
}

// upload stores a file whose name is free and asks the server for its size.
func (s *Store) upload(c *conn, file string, size int64, source *source) error {
	folder := path.Dir(file)
	known, err := s.makeFolder(c, folder)
	if err != nil {
		return err
	}
	if err = completed(c.Stor(file, source)); err != nil {
		s.folders.Clear() // the folder may have been removed since it was made
	}
	if known && isRefusal(err) && !source.begun {
		if _, err := s.makeFolder(c, folder); err != nil {
			return err
		}
		err = completed(c.Stor(file, source))
	}
	switch {
	case source.err != nil:
		return source.err
	case isRefusal(err) && errors.Is(c.enter(folder), exchange.ErrNotFound):
		return noHomeFolder(folder)
	case isRefusal(err):
		return unwritable(err)
	case err != nil:
		return err
	}
	stored, err := c.sizeOf(file)
	switch {
	case isRefusal(err):
		return unseen(err)
	case err == nil && stored != size:
		return fmt.Errorf("the server has %d of %d bytes", stored, size)
	default:
		return err
	}
}

// makeFolder makes folder and those above it that are missing, down from the store's root, and
// reports whether it was known to exist without asking.
func (s *Store) makeFolder(c *conn, folder string) (known bool, err error) {
	if _, known := s.folders.Load(folder); known || s.config.Flat {
		return known, nil
	}
	err = c.ChangeDir(folder)
	if isRefusal(err) || code(err) == busy {
		err = s.makeMissing(c, folder)
	}
	if err == nil {
		s.folders.Store(folder, nil)
	}
	return false, err
}

func (s *Store) makeMissing(c *conn, folder string) error {
	if folder != c.root {
		if _, err := s.makeFolder(c, path.Dir(folder)); err != nil {
			return err
		}
	}
	err := c.MakeDir(folder)
	if _, ok := replyOf(err); !ok {
		return err
	}
	// Either refused, or somebody else has made it meanwhile.
	if c.ChangeDir(folder) == nil {
		return nil
	}
	if above := path.Dir(folder); folder == c.root && errors.Is(c.enter(above), exchange.ErrNotFound) {
		return noHomeFolder(above)
	}
	return unmakable(folder, err)
}

// Delete removes a file. A folder is not removed and not found.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	return s.use(ctx, "delete", name, func(c *conn) error {
		file, err := s.path(c, name)
		if err != nil {
			return err
		}
		err = c.Delete(file)
		if _, ok := replyOf(err); !ok {
			return err
		}
		if absent := c.mustBeAbsent(file); !errors.Is(absent, exchange.ErrExists) {
			return absent
		}
		return undeletable(err)
	})
}

// Tidy implements [exchange.Deleter]. It checks first that the folder is empty: RMD may remove a
// folder with all its content.
func (s *Store) Tidy(ctx context.Context, folder string) {
	_ = s.use(ctx, "remove", folder, func(c *conn) error {
		if held, err := s.names(c, folder); err != nil || len(held) > 0 {
			return err
		}
		at, err := s.path(c, folder)
		if err == nil {
			err = c.RemoveDir(at)
		}
		return err
	})
}

// source is the data of an upload. If it fails, the upload must not end as if it were whole.
type source struct {
	body  io.Reader
	conn  *conn
	begun bool
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	s.begun = true
	n, err := s.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
		s.conn.giveUp()
	}
	return n, err
}
