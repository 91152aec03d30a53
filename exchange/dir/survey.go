package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"waybill/exchange"
	"waybill/internal/fault"
)

// Survey returns the regular files and symbolic links of a folder, in no particular order and under any name but a
// hidden one. A missing folder is [exchange.ErrNotFound].
func (s *Store) Survey(ctx context.Context, folder string) ([]exchange.Found, error) {
	if err := exchange.CheckFolder(folder); err != nil {
		return nil, err
	}
	found, err := s.readFolder(ctx, folder)
	if isAbsent(err) {
		err = exchange.ErrNotFound
	}
	if err != nil {
		return nil, s.failed("list", folder, err)
	}
	var entries []exchange.Found
	for _, entry := range found {
		link := entry.Type()&fs.ModeSymlink != 0
		if exchange.IsHidden(entry.Name()) || !entry.Type().IsRegular() && !link {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			continue
		}
		if err != nil {
			return nil, s.failed("list", path.Join(folder, entry.Name()), err)
		}
		entries = append(entries, exchange.Found{Name: entry.Name(), Size: info.Size(), Modified: info.ModTime(), Link: link})
	}
	return entries, nil
}

func (s *Store) readFolder(ctx context.Context, folder string) ([]fs.DirEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := root.OpenFile(filepath.Join(".", folder), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.ReadDir(-1)
}

// Move gives a file another name, durably and without ever replacing a file. It makes the folder if
// it is missing. A taken name is [exchange.ErrExists], a missing file [exchange.ErrNotFound].
func (s *Store) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(exchange.CheckName(from), exchange.CheckName(to)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return s.failed("move", from, err)
	}
	err := s.inFolder(to, func(root *os.Root) error {
		if err := s.rename(root, from, to); err != nil {
			return err
		}
		return errors.Join(s.syncIn(root, path.Dir(to)), s.syncIn(root, path.Dir(from)))
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		err = exchange.ErrExists
	case isAbsent(err):
		err = exchange.ErrNotFound
	case errors.Is(err, syscall.EXDEV):
		return fault.New(fault.Usage, "move", filepath.Join(s.root, from), fault.Bare(err), "let done files go to a folder of the same filesystem")
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Usage, "move", filepath.Join(s.root, from), fault.Bare(err), "let the account move files, or leave them where they are")
	}
	return s.failed("move", from, err)
}

// rename links before it removes, because a rename would replace a file of that name. After a crash
// in between the file has both names, which the next call recognises.
func (s *Store) rename(root *os.Root, from, to string) error {
	source, err := root.Lstat(from)
	if err != nil {
		return err
	}
	err = s.link(root, from, to)
	if errors.Is(err, fs.ErrExist) {
		if taken, lookErr := root.Lstat(to); lookErr == nil && os.SameFile(source, taken) {
			err = nil
		}
	}
	if linksUnsupported(err) && !errors.Is(err, fs.ErrExist) {
		if _, err := root.Lstat(to); err == nil {
			return fs.ErrExist
		}
		return root.Rename(from, to)
	}
	if err != nil {
		return err
	}
	return root.Remove(from)
}
