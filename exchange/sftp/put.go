package sftp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"

	"waybill/exchange"
	"waybill/exchange/whole"
)

// Put uploads the file next to its place and renames it there.
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.do(ctx, func(c *session) error {
		rights, err := s.try(ctx, c, path.Dir(s.at(name)))
		if err == nil && !rights.Rename {
			err = errNoRename
		}
		if err != nil {
			return err
		}
		return whole.Put(ctx, files{s, c, rights}, s.at(name), s.cfg.Partial, size, body)
	})
	if err != nil {
		return s.failed("put", name, err)
	}
	return nil
}

// Publish uploads the file next to its place and links it there, which fails if the name is taken. If the server offers no
// links, or the account may not remove files, it checks the name and renames. If the account may not rename either, it
// creates the file exclusively; an upload that breaks off then leaves a torn file.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.do(ctx, func(c *session) error {
		rights, err := s.try(ctx, c, path.Dir(s.at(name)))
		if err != nil {
			return err
		}
		to := files{s, c, rights}
		if !rights.Remove { // a temporary file would stay
			if taken, err := (renamer{s, c}).Exists(s.at(name)); err != nil || taken {
				return cmp.Or(err, exchange.ErrExists)
			}
		}
		if rights == (whole.Rights{}) {
			return to.Create(s.at(name), int64(len(data)), exchange.Exactly(ctx, bytes.NewReader(data), int64(len(data))))
		}
		return whole.Publish(ctx, to, s.at(name), s.cfg.Partial, data)
	})
	if err != nil {
		return s.failed("publish", name, err)
	}
	return nil
}

// files is the server's filesystem for [whole].
type files struct {
	store *Store
	*session
	rights whole.Rights
}

// try finds out what the account may do. With a declared suffix it does not check: at most one temporary file per file
// stays.
func (s *Store) try(ctx context.Context, c *session, folder string) (whole.Rights, error) {
	if s.cfg.Partial != "" {
		return whole.Rights{Rename: true, Remove: true}, nil
	}
	return s.trial.Rights(ctx, renamer{s, c}, folder)
}

// renamer is the server's filesystem for [whole.Trial].
type renamer struct {
	*Store
	*session
}

func (r renamer) Create(at string) error {
	file, err := r.create(r.session, at)
	if err == nil {
		err = file.Close()
	}
	return denied(err)
}

func (r renamer) Rename(from, to string) error {
	return denied(files{session: r.session}.Replace(from, to))
}

func (r renamer) Remove(at string) error { return denied(r.files.Remove(at)) }

func (r renamer) Exists(at string) (bool, error) {
	there, err := r.exists(at)
	if err != nil && r.absent(at, err) {
		err = nil
	}
	return there, err
}

// denied marks an error as a server's refusal.
func denied(err error) error {
	if err == nil || isLost(err) {
		return err
	}
	return errors.Join(fs.ErrPermission, err)
}

// Create sends many packets at once, so a failure can leave holes.
func (f files) Create(at string, size int64, body io.Reader) error {
	file, err := f.store.create(f.session, at)
	if err != nil {
		return f.unlessTaken(at, err)
	}
	if _, err = file.ReadFromWithConcurrency(body, int(min(window, size/packet+1))); err == nil {
		err = f.sync(file)
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.checkSize(at, size)
	}
	return err
}

// Replace renames. The plain rename replaces on some servers; others refuse, as the protocol says.
func (f files) Replace(temp, at string) error {
	if f.has(posixRename) {
		return f.files.PosixRename(temp, at)
	}
	return f.unlessTaken(at, f.files.Rename(temp, at))
}

// Claim links, if the server offers that: then exactly one publisher wins. The server's filesystem may still
// lack links. Without links, Claim checks the name and renames: then several may win, and the last one stays.
func (f files) Claim(temp, at string) error {
	if !f.has(hardlink) || !f.rights.Remove {
		return f.claimByRename(temp, at)
	}
	err := f.unlessTaken(at, f.files.Link(temp, at))
	if err != nil && !isLost(err) && !errors.Is(err, exchange.ErrExists) {
		err = errors.ErrUnsupported
	}
	f.Discard(temp)
	return err
}

func (f files) claimByRename(temp, at string) error {
	taken, err := f.exists(at)
	if err == nil && taken {
		err = exchange.ErrExists
	}
	if err == nil {
		err = f.unlessTaken(at, f.files.Rename(temp, at))
	}
	if err != nil {
		f.Discard(temp)
	}
	return err
}

func (f files) Discard(temp string) { _ = f.files.Remove(temp) }

// Settle has nothing to do: the protocol can't ask for the durability of a name.
func (f files) Settle(string) error { return nil }

// unlessTaken finds out whether err, a refusal to make the name, means that the name is taken: servers don't say why.
func (c *session) unlessTaken(at string, err error) error {
	if err == nil || isLost(err) {
		return err
	}
	if taken, lookErr := c.exists(at); taken && lookErr == nil {
		return exchange.ErrExists
	}
	return err
}

// sync makes the file durable if the server offers that.
func (c *session) sync(file *sftp.File) error {
	if !c.has(fsync) {
		return nil
	}
	err := file.Sync()
	if status, ok := errors.AsType[*sftp.StatusError](err); ok && status.FxCode() == sftp.ErrSSHFxOpUnsupported {
		return nil
	}
	return err
}

func (c *session) checkSize(at string, size int64) error {
	info, err := c.files.Lstat(at)
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%d of %d bytes were stored", info.Size(), size)
	}
	return err
}

// create makes the folder only if opening the file shows that it is missing.
func (s *Store) create(c *session, at string) (*sftp.File, error) {
	const exclusively = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := c.files.OpenFile(at, exclusively)
	if !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	if err := s.makeFolder(c, path.Dir(at)); err != nil {
		return nil, err
	}
	return c.files.OpenFile(at, exclusively)
}

// makeFolder makes a folder and those above it, up to the root and no further.
func (s *Store) makeFolder(c *session, folder string) error {
	err := c.files.Mkdir(folder)
	if errors.Is(err, os.ErrNotExist) {
		if folder == s.at("") {
			return errNoRoot
		}
		if err := s.makeFolder(c, path.Dir(folder)); err != nil {
			return err
		}
		err = c.files.Mkdir(folder)
	}
	if err == nil || isLost(err) {
		return err
	}
	if info, lookErr := c.files.Stat(folder); lookErr == nil && info.IsDir() {
		return nil
	}
	return err
}

// Delete removes a file. A folder stays and counts as not found.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.do(ctx, func(c *session) error {
		at := s.at(name)
		info, err := c.files.Lstat(at)
		if err == nil && !info.IsDir() {
			err = c.files.Remove(at)
		}
		if err != nil && c.absent(at, err) {
			return nil
		}
		return err
	})
	if err != nil {
		return s.failed("delete", name, err)
	}
	return nil
}

// Tidy implements [exchange.Deleter]. It checks first that the folder is empty: some servers' RMDIR
// removes files, and some might remove a folder with all its content.
func (s *Store) Tidy(ctx context.Context, folder string) {
	_ = s.do(ctx, func(c *session) error {
		held, err := c.files.ReadDirContext(ctx, s.at(folder))
		if err != nil || len(held) > 0 {
			return err
		}
		info, err := c.files.Lstat(s.at(folder))
		if err == nil && info.IsDir() {
			err = c.files.RemoveDirectory(s.at(folder))
		}
		return err
	})
}
