package sftp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"waybill/exchange"
	"waybill/internal/fault"
)

// Survey returns the regular files and symbolic links of a folder, in no particular order and under any name but a
// hidden one. A missing folder is [exchange.ErrNotFound].
func (s *Store) Survey(ctx context.Context, folder string) ([]exchange.Found, error) {
	if err := exchange.CheckFolder(folder); err != nil {
		return nil, err
	}
	found, err := s.readFolder(ctx, folder, true)
	if err != nil {
		return nil, s.failed("list", folder, err)
	}
	var entries []exchange.Found
	for _, info := range found {
		link := info.Mode()&fs.ModeSymlink != 0
		if (info.Mode().IsRegular() || link) && !exchange.IsHidden(info.Name()) {
			entries = append(entries, exchange.Found{Name: info.Name(), Size: info.Size(), Modified: info.ModTime(), Link: link})
		}
	}
	return entries, nil
}

// Move gives a file another name, and replaces no file that it sees. It makes the folder if it is
// missing. A taken name is [exchange.ErrExists], a missing file [exchange.ErrNotFound].
func (s *Store) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(exchange.CheckName(from), exchange.CheckName(to)); err != nil {
		return err
	}
	err := s.do(ctx, func(c *session) error { return s.rename(c, s.at(from), s.at(to)) })
	if errors.Is(err, os.ErrPermission) {
		return fault.New(fault.Usage, "move", s.place(from), err,
			"have the server's operator let "+s.cfg.User+" rename files there, or leave done files where they are")
	}
	if err != nil {
		return s.failed("move", from, err)
	}
	return nil
}

func (s *Store) rename(c *session, from, to string) error {
	if there, err := c.exists(from); err != nil || !there {
		if err == nil || c.absent(from, err) {
			err = exchange.ErrNotFound
		}
		return err
	}
	taken, err := c.exists(to)
	if err != nil && !c.absent(to, err) {
		return err
	}
	if taken {
		return exchange.ErrExists
	}
	err = c.files.Rename(from, to)
	if errors.Is(err, os.ErrNotExist) {
		if err := s.makeFolder(c, path.Dir(to)); err != nil {
			return err
		}
		err = c.files.Rename(from, to)
	}
	return c.unlessTaken(to, err)
}
