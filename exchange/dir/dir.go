// Package dir keeps an exchange in a directory: a local disk, or a share that both parties
// mount. Files appear whole: they are written under a temporary name in the folder where they
// belong, checked for length, synced, and only then given their name; the folder is synced
// after that. Create-if-absent is native (link(2)).
//
// Files and folders are made with the widest permissions that the process's umask allows, so
// the site decides by umask, group and setgid bits who may read them.
package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"waybill/exchange"
	"waybill/internal/fault"
)

// Store is an exchange in one directory. It is safe for concurrent use, by any number of
// processes, and holds nothing open between calls.
type Store struct {
	root   string
	suffix string // see Partial
	link   func(root *os.Root, from, to string) error
	sync   func(*os.File) error
	synced sync.Map // folders whose entry in their parent this store has synced
}

var (
	_ exchange.Store     = (*Store)(nil)
	_ exchange.Deleter   = (*Store)(nil)
	_ exchange.Inspector = (*Store)(nil)
)

// Open returns the store in the directory root, an absolute or relative path. The directory is made
// at the first write, but its parent must exist: a share that isn't mounted must not be mistaken
// for an empty one. A missing parent is a [fault.Usage] error.
func Open(root string) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fault.New(fault.Usage, "open store", root, err, "")
	}
	s := &Store{root: root, link: (*os.Root).Link, sync: (*os.File).Sync}
	if err := s.mounted(); err != nil {
		return nil, err
	}
	return s, nil
}

// mounted fails if the parent of the store's directory is missing.
func (s *Store) mounted() error {
	above := filepath.Dir(s.root)
	info, err := os.Stat(above)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		// Only its text: a share that has gone is no missing file.
		return fault.New(fault.Usage, "open store", above, errors.New(fault.Bare(err).Error()), "mount or create "+above)
	}
	return nil
}

// open opens the store's directory. The share may have gone since the store was.
func (s *Store) open() (*os.Root, error) {
	root, err := os.OpenRoot(s.root)
	if isAbsent(err) {
		err = cmp.Or(s.mounted(), err)
	}
	return root, err
}

// Partial names a file that is being written after its final name: "a.csv.partial". It is for
// folders whose readers know that convention, with one writer at a time. Call it before using the
// store. Without it, temporary names are hidden.
func (s *Store) Partial(suffix string) *Store {
	s.suffix = suffix
	return s
}

// Close does nothing: a Store holds nothing open.
func (s *Store) Close() error { return nil }

// Get opens a regular file. Reads fail once ctx is done. A folder, a pipe or a device is
// not found; a symbolic link is refused by name.
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := exchange.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, s.failed("get", name, err)
	}
	file, err := s.openFile(name)
	if err != nil {
		return nil, s.failed("get", name, err)
	}
	return &fileReader{ctx: ctx, file: file}, nil
}

func (s *Store) openFile(name string) (*os.File, error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if info, err := root.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, syscall.ELOOP
	}
	// Without O_NONBLOCK a named pipe would keep the open call waiting for a writer.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// List yields regular files and folders, a thousand entries in memory at a time.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := exchange.CheckFolder(folder); err != nil {
			yield("", err)
			return
		}
		err := s.entries(ctx, folder, func(name string) bool { return yield(name, nil) })
		if err != nil && !isAbsent(err) {
			yield("", s.failed("list", folder, err))
		}
	}
}

func (s *Store) entries(ctx context.Context, folder string, yield func(string) bool) error {
	root, err := s.open()
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.OpenFile(filepath.Join(".", folder), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := dir.ReadDir(1000)
		for _, entry := range entries {
			if name, ok := exchange.Listed(entry.Name(), entry.Type()); ok && !yield(name) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fileReader ends with the context's error as soon as its context is done.
type fileReader struct {
	ctx  context.Context
	file *os.File
}

func (r *fileReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.Read(p)
}

func (r *fileReader) Close() error { return r.file.Close() }

// failed names the full path, so that the operator can check it, and maps the system's errors to
// those of the exchange.
func (s *Store) failed(op, name string, err error) error {
	if gone, ok := errors.AsType[*fault.Error](err); ok {
		return gone
	}
	class, hint := fault.Transient, ""
	if at := s.linkOn(name); at != "" {
		return fault.New(fault.Poison, op, filepath.Join(s.root, at), errLink, "nothing that writes a store makes links: find out who did, then remove it")
	}
	switch {
	case op == "get" && isAbsent(err):
		err = exchange.ErrNotFound
	case op == "publish" && errors.Is(err, fs.ErrExist):
		err = exchange.ErrExists
	case errors.Is(err, fs.ErrPermission):
		class, hint = fault.Usage, fmt.Sprintf("let user %d read (the producer: write) %s", os.Geteuid(), s.root)
	case errors.Is(err, syscall.EROFS):
		class, hint = fault.Usage, "mount the filesystem of "+s.root+" for writing"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "make room on the filesystem of " + s.root
	}
	return fault.New(class, op, filepath.Join(s.root, name), fault.Bare(err), hint)
}

var errLink = errors.New("somebody put a symbolic link there")

// linkOn returns the path up to the first symbolic link in a name; "" if there is none. Links that lead
// outside can't be followed, and a broken link looks like a missing file.
func (s *Store) linkOn(name string) string {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return ""
	}
	defer root.Close()
	for end := range len(name) + 1 {
		if end < len(name) && name[end] != '/' {
			continue
		}
		if info, err := root.Lstat(filepath.Join(".", name[:end])); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			if err == nil {
				return name[:end]
			}
			return ""
		}
	}
	return ""
}

// isAbsent reports that a file is missing, also if the path leads through a file.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
