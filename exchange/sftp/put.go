package sftp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/pkg/sftp"

	"waybill/exchange"
)

// Put uploads the file next to its place and renames it there.
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.do(ctx, func(c *session) error {
		temp, err := s.upload(ctx, c, s.at(name), size, body)
		if err != nil {
			return err
		}
		if err := c.replace(temp, s.at(name)); err != nil {
			c.discard(temp)
			return err
		}
		return nil
	})
	if err != nil {
		return s.failed("put", name, err)
	}
	return nil
}

// replace gives temp its name. The plain rename replaces on some servers; others keep to the
// protocol's word and refuse.
func (c *session) replace(temp, at string) error {
	if c.has(posixRename) {
		return c.files.PosixRename(temp, at)
	}
	return c.unlessTaken(at, c.files.Rename(temp, at))
}

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

// Publish uploads the file next to its place and links it there, which fails where the name is
// taken. Where the server offers no links it looks and renames.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	at := s.at(name)
	err := s.do(ctx, func(c *session) error {
		temp, err := s.upload(ctx, c, at, int64(len(data)), bytes.NewReader(data))
		if err != nil {
			return err
		}
		if !c.has(hardlink) {
			return c.claimByRename(temp, at)
		}
		// What is published is published, and a temporary file left behind harms nobody.
		defer c.discard(temp)
		return c.claimByLink(temp, at, data)
	})
	if err != nil {
		return s.failed("publish", name, err)
	}
	return nil
}

// claimByLink has one winner. On a filesystem without links, which a server offering them may
// have, the file is created exclusively and written in place: still one winner, but a broken
// connection may leave it torn.
func (c *session) claimByLink(temp, at string, data []byte) error {
	err := c.unlessTaken(at, c.files.Link(temp, at))
	if err == nil || isLost(err) || errors.Is(err, exchange.ErrExists) {
		return err
	}
	return c.createExclusively(at, data)
}

// createExclusively never removes the file again, not even when it is torn: another publisher
// may have seen it already and have moved on to the next retry name.
func (c *session) createExclusively(at string, data []byte) error {
	file, err := c.files.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return c.unlessTaken(at, err)
	}
	_, err = file.Write(data)
	return errors.Join(err, c.sync(file), file.Close())
}

// claimByRename may have several winners, of which the last one stays.
func (c *session) claimByRename(temp, at string) error {
	taken, err := c.exists(at)
	if err == nil && taken {
		err = exchange.ErrExists
	}
	if err == nil {
		err = c.unlessTaken(at, c.files.Rename(temp, at))
	}
	if err != nil {
		c.discard(temp)
	}
	return err
}

// upload writes exactly size bytes to a file next to the place at and returns its name. When it
// fails it leaves nothing, unless the connection broke.
func (s *Store) upload(ctx context.Context, c *session, at string, size int64, body io.Reader) (string, error) {
	temp := s.temporary(c, at)
	file, err := s.create(c, temp)
	if err != nil {
		return "", err
	}
	err = errors.Join(c.fill(file, size, exchange.Exactly(ctx, body, size)), file.Close())
	if err == nil {
		err = c.checkSize(temp, size)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.discard(temp)
		return "", err
	}
	return temp, nil
}

// temporary returns a free name: of declared ones, only a crash can have left a file there.
func (s *Store) temporary(c *session, at string) string {
	if s.cfg.Partial == "" {
		return path.Join(path.Dir(at), ".waybill-"+rand.Text()+".tmp")
	}
	c.discard(at + s.cfg.Partial)
	return at + s.cfg.Partial
}

// fill sends many packets at once. A failure can leave holes, but under a temporary name.
func (c *session) fill(file *sftp.File, size int64, body io.Reader) error {
	if _, err := file.ReadFromWithConcurrency(body, int(min(window, size/packet+1))); err != nil {
		return err
	}
	return c.sync(file)
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

// discard removes a temporary file as well as it can: why is said by what went before.
func (c *session) discard(temp string) { _ = c.files.Remove(temp) }

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
