package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"waybill/exchange"
	"waybill/exchange/whole"
)

// Put writes the file next to its place and renames it, replacing an existing file.
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.inFolder(name, func(root *os.Root) error { return whole.Put(ctx, files{s, root}, name, s.suffix, size, body) })
	if err != nil {
		return s.failed("put", name, err)
	}
	return nil
}

// Publish writes the file next to its place and links it there, which fails if the name is taken.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.inFolder(name, func(root *os.Root) error { return whole.Publish(ctx, files{s, root}, name, s.suffix, data) })
	if err != nil {
		return s.failed("publish", name, err)
	}
	return nil
}

// files is the store's filesystem for [whole].
type files struct {
	*Store
	root *os.Root
}

func (f files) Create(at string, size int64, body io.Reader) error {
	file, err := f.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if _, err = io.Copy(file, body); err == nil {
		err = f.sync(file)
	}
	if err == nil {
		err = checkSize(file, size)
	}
	return errors.Join(err, file.Close())
}

func checkSize(file *os.File, size int64) error {
	info, err := file.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%d of %d bytes were stored", info.Size(), size)
	}
	return err
}

func (f files) Replace(temp, at string) error { return f.root.Rename(temp, at) }

func (f files) Claim(temp, at string) error {
	err := f.link(f.root, temp, at)
	if linksUnsupported(err) {
		err = errors.ErrUnsupported
	}
	return errors.Join(err, f.root.Remove(temp))
}

func linksUnsupported(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EMLINK)
}

func (f files) Discard(temp string) { _ = f.root.Remove(temp) }

func (f files) Settle(at string) error {
	return errors.Join(f.syncIn(f.root, at), f.syncIn(f.root, path.Dir(at)))
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
	root, err := s.open()
	if !errors.Is(err, os.ErrNotExist) {
		return root, err
	}
	if err := os.Mkdir(s.root, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return os.OpenRoot(s.root)
}

// makeFolder makes folder and syncs every folder above it. A process that died before syncing may
// have made an existing folder, so this store syncs above each folder at first use.
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

// syncAbove syncs the parent of the store's folder. It belongs to the site, which may let us pass
// through it but not read it.
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
	// Some network and FUSE filesystems can't sync a folder, so nothing more can be done.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, file.Close())
}

// Delete removes a file, durably. A folder stays and counts as not found.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return s.failed("delete", name, err)
	}
	root, err := s.open()
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
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		err = root.Remove(name)
	}
	if err != nil && !isAbsent(err) {
		return err
	}
	// Also if nothing is there: who removed it may have died before that was durable.
	return s.syncIn(root, path.Dir(name))
}
