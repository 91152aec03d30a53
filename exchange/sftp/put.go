package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		return whole.Put(ctx, files{s, c}, s.at(name), s.cfg.Partial, size, body)
	})
	if err != nil {
		return s.failed("put", name, err)
	}
	return nil
}

// Publish uploads the file next to its place and links it there, which fails where the name is
// taken. Where the server offers no links it looks and renames.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.do(ctx, func(c *session) error {
		return whole.Publish(ctx, files{s, c}, s.at(name), s.cfg.Partial, data)
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
}

// Create sends many packets at once. A failure can leave holes.
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

// Replace renames. The plain rename replaces on some servers; others keep to the protocol's word and refuse.
func (f files) Replace(temp, at string) error {
	if f.has(posixRename) {
		return f.files.PosixRename(temp, at)
	}
	return f.unlessTaken(at, f.files.Rename(temp, at))
}

// Claim links, if the server offers that: then one publisher wins. A filesystem behind it may have no links all
// the same. Without, it looks and renames: several may win, of which the last one stays.
func (f files) Claim(temp, at string) error {
	if !f.has(hardlink) {
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

// unlessTaken finds out what err, a refusal to make the name, was for: servers don't say.
func (c *session) unlessTaken(at string, err error) error {
	if err == nil || isLost(err) {
		return err
	}
	if taken, lookErr := c.exists(at); taken && lookErr == nil {
		return exchange.ErrExists
	}
	return err
}

// sync makes the file durable where the server can be asked to.
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

// create makes the folder only when it turns out to be missing.
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

// Delete removes a file. A folder is not removed and not found.
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

// Tidy implements [exchange.Deleter]. It looks first: there are servers whose RMDIR removes files, and
// might be some that remove a folder with all that it holds.
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
