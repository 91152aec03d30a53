package ftp

import (
	"context"
	"errors"
	"path"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// Survey returns the files of a folder, in no particular order and under any name but a hidden one.
// A folder that is not there is [exchange.ErrNotFound]. A line of the listing that can't be read is
// asked for by name, and has no time then.
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

// sizes lists folder, which is the current one.
func (c *conn) sizes(folder string) ([]exchange.Found, error) {
	c.limit = maxListing
	defer func() { c.limit = 0 }()
	found, err := c.List("")
	if err != nil {
		return nil, err
	}
	read := make(map[string]bool, len(found))
	var entries []exchange.Found
	for _, entry := range found {
		read[entry.Name] = true
		link := entry.Type == client.EntryTypeLink
		if (entry.Type == client.EntryTypeFile || link) && !exchange.IsHidden(entry.Name) {
			entries = append(entries, exchange.Found{Name: entry.Name, Size: int64(entry.Size), Modified: entry.Time, Link: link})
		}
	}
	if c.data.lines <= len(found) {
		return entries, nil
	}
	names, err := c.addUnread(folder, nil, read)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		size, err := c.sizeOf(path.Join(folder, name))
		if isRefusal(err) { // a folder, or gone since
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, exchange.Found{Name: name, Size: size})
	}
	return entries, nil
}

// Move gives a file another name, in a folder that is made where it is missing, and replaces
// nothing that it sees: a name that is taken is [exchange.ErrExists], a file that is not there
// [exchange.ErrNotFound].
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
