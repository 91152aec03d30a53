package ftp

import (
	"context"
	"errors"
	"path"
	"strings"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// Survey returns the files of a folder, in no particular order and under any name but a hidden one.
// A missing folder is [exchange.ErrNotFound]. If a line of the listing can't be read, the file is
// asked for by name and has no time.
func (s *Store) Survey(ctx context.Context, folder string) (entries []exchange.Found, err error) {
	if err := exchange.CheckFolder(folder); err != nil {
		return nil, err
	}
	err = s.use(ctx, "list", folder, func(c *conn) error {
		defer wire.BePatient(ctx)()
		at := path.Join(c.root, folder)
		if err := c.enter(at); err != nil {
			return err
		}
		entries, err = c.sizes(at)
		return err
	})
	return entries, err
}

// sizes lists folder, which is the current one. A file that is in use has no size.
func (c *conn) sizes(folder string) ([]exchange.Found, error) {
	items, err := c.items(folder)
	if err != nil {
		return nil, err
	}
	var entries []exchange.Found
	for _, i := range items {
		link := i.kind == client.EntryTypeLink
		if i.kind != client.EntryTypeFile && !link || exchange.IsHidden(i.name) || strings.Contains(i.name, "/") {
			continue
		}
		if i.size < 0 && !link {
			i.size, err = c.sizeOf(path.Join(folder, i.name))
			if isRefusal(err) { // removed meanwhile
				continue
			}
			if err != nil && code(err) != busy {
				return nil, err
			}
		}
		entries = append(entries, exchange.Found{Name: i.name, Size: max(i.size, 0), Modified: i.modified, Link: link})
	}
	return entries, nil
}

// Move gives a file another name, and replaces no file that it sees. It makes the folder if it is
// missing. A taken name is [exchange.ErrExists], a missing file [exchange.ErrNotFound].
func (s *Store) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(exchange.CheckName(from), exchange.CheckName(to)); err != nil {
		return err
	}
	return s.use(ctx, "move", from, func(c *conn) error {
		source, err := s.path(c, from)
		if err != nil {
			return err
		}
		target, err := s.path(c, to)
		if err != nil {
			return err
		}
		return s.rename(c, source, target)
	})
}

func (s *Store) rename(c *conn, from, to string) error {
	if err := c.mustBeAbsent(from); !errors.Is(err, exchange.ErrExists) {
		if err == nil {
			err = exchange.ErrNotFound
		}
		return err
	}
	if err := c.mustBeAbsent(to); err != nil {
		return err
	}
	if _, err := s.makeFolder(c, path.Dir(to)); err != nil {
		return err
	}
	err := c.Rename(from, to)
	if isRefusal(err) || isUnknown(err) {
		return refused(err, "let the account rename files, or leave done files where they are")
	}
	return err
}
