package dir

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"waybill/exchange"
)

// Put writes the file next to its place and renames it there, replacing what lies under name.
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.inFolder(name, func(root *os.Root) error {
		temp, err := s.writeTemp(ctx, root, name, size, body)
		if err != nil {
			return err
		}
		if err := root.Rename(temp, name); err != nil {
			return errors.Join(err, root.Remove(temp))
		}
		return s.syncIn(root, path.Dir(name))
	})
	if err != nil {
		return s.failed("put", name, err)
	}
	return nil
}

// Publish writes the file next to its place and links it there, which fails where the name is
// taken. On filesystems without links the file is created exclusively and written in place:
// still one winner, but a crash may leave it torn.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.inFolder(name, func(root *os.Root) error {
		err := s.publish(ctx, root, name, data)
		if errors.Is(err, os.ErrExist) {
			// The process that made the file may have died before syncing it, and our caller will
			// rely on it as if it were its own.
			return errors.Join(err, s.syncIn(root, name), s.syncIn(root, path.Dir(name)))
		}
		return err
	})
	if err != nil {
		return s.failed("publish", name, err)
	}
	return nil
}

func (s *Store) publish(ctx context.Context, root *os.Root, name string, data []byte) error {
	temp, err := s.writeTemp(ctx, root, name, int64(len(data)), bytes.NewReader(data))
	if err != nil {
		return err
	}
	err = s.link(root, temp, name)
	if linksUnsupported(err) {
		err = s.createExclusively(root, name, data)
	}
	if err := errors.Join(err, root.Remove(temp)); err != nil {
		return err
	}
	return s.syncIn(root, path.Dir(name))
}

func linksUnsupported(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EMLINK)
}

// createExclusively never removes the file again, not even when it is torn: another publisher
// may have seen it already and have moved on to the next retry name.
func (s *Store) createExclusively(root *os.Root, name string, data []byte) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, s.sync(file), file.Close())
}

// writeTemp writes exactly size bytes to a file next to the place of name, syncs it and returns its
// name. When it fails it leaves nothing.
func (s *Store) writeTemp(ctx context.Context, root *os.Root, name string, size int64, body io.Reader) (string, error) {
	temp := s.temporary(root, name)
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	err = errors.Join(s.fill(ctx, file, size, body), file.Close())
	if err != nil {
		return "", errors.Join(err, root.Remove(temp))
	}
	return temp, nil
}

// temporary returns a free name: of declared ones, only a crash can have left a file there.
func (s *Store) temporary(root *os.Root, name string) string {
	if s.suffix == "" {
		return path.Join(path.Dir(name), ".waybill-"+rand.Text()+".tmp")
	}
	_ = root.Remove(name + s.suffix) // what can't be removed is found by who creates it
	return name + s.suffix
}

func (s *Store) fill(ctx context.Context, file *os.File, size int64, body io.Reader) error {
	// One byte more than size shows that the body is too long, without reading all of it.
	n, err := io.Copy(file, &contextReader{ctx, io.LimitReader(body, size+1)})
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("the source has %s bytes, not %d", atLeast(n, size), size)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.sync(file); err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%d of %d bytes were stored", info.Size(), size)
	}
	return err
}

func atLeast(n, size int64) string {
	if n > size {
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}

// contextReader ends with the context's error as soon as its context is done.
type contextReader struct {
	ctx  context.Context
	body io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.body.Read(p)
}

// inFolder runs write with the store's root open and the folder of name in place, durably.
func (s *Store) inFolder(name string, write func(*os.Root) error) error {
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := s.makeFolder(root, path.Dir(name)); err != nil {
		return err
	}
	return write(root)
}

func (s *Store) openRoot() (*os.Root, error) {
	root, err := os.OpenRoot(s.root)
	if !errors.Is(err, os.ErrNotExist) {
		return root, err
	}
	if err := os.Mkdir(s.root, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return os.OpenRoot(s.root)
}

// makeFolder makes folder and syncs every folder above it. A folder that is there already may
// have been made by a process that died before syncing, so the first use by this store counts,
// not the making.
func (s *Store) makeFolder(root *os.Root, folder string) error {
	if folder == "." {
		return s.syncOnce(".", s.syncAbove)
	}
	if err := s.makeFolder(root, path.Dir(folder)); err != nil {
		return err
	}
	if err := root.Mkdir(folder, 0o777); err == nil {
		s.synced.Delete(folder)
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	return s.syncOnce(folder, func() error { return s.syncIn(root, path.Dir(folder)) })
}

func (s *Store) syncOnce(folder string, sync func() error) error {
	if _, done := s.synced.Load(folder); done {
		return nil
	}
	if err := sync(); err != nil {
		return err
	}
	s.synced.Store(folder, nil)
	return nil
}

// syncAbove syncs the folder that the store lies in. It belongs to the site, which may let us
// pass through it and not read it.
func (s *Store) syncAbove() error {
	file, err := os.Open(filepath.Dir(s.root))
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	return s.syncAndClose(file, err)
}

func (s *Store) syncIn(root *os.Root, name string) error { return s.syncAndClose(root.Open(name)) }

func (s *Store) syncAndClose(file *os.File, err error) error {
	if err != nil {
		return err
	}
	err = s.sync(file)
	// Some network and FUSE filesystems can't sync a folder: they are as durable as they get.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, file.Close())
}

// Delete removes a file, durably. A folder is not removed and not found.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return s.failed("delete", name, err)
	}
	root, err := os.OpenRoot(s.root)
	if err == nil {
		err = s.remove(root, name)
		root.Close()
	}
	if err != nil && !isAbsent(err) {
		return s.failed("delete", name, err)
	}
	return nil
}

// Tidy implements [exchange.Deleter].
func (s *Store) Tidy(ctx context.Context, folder string) {
	root, err := os.OpenRoot(s.root)
	if err != nil || ctx.Err() != nil {
		return
	}
	defer root.Close()
	if info, err := root.Lstat(folder); err == nil && info.IsDir() {
		_ = root.Remove(folder)
	}
}

func (s *Store) remove(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil || info.IsDir() {
		return err
	}
	if err := root.Remove(name); err != nil {
		return err
	}
	return s.syncIn(root, path.Dir(name))
}
