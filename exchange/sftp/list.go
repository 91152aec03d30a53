package sftp

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"math"
	"os"
	"path"

	"github.com/pkg/sftp"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// List yields regular files and folders. It holds no connection while it yields.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := exchange.CheckFolder(folder); err != nil {
			yield("", err)
			return
		}
		entries, err := s.readFolder(ctx, folder, false)
		if errors.Is(err, exchange.ErrNotFound) {
			return
		}
		if err != nil {
			yield("", s.failed("list", folder, err))
			return
		}
		for _, entry := range entries {
			if name, ok := exchange.Listed(entry.Name(), entry.Mode()); ok && !yield(name, nil) {
				return
			}
		}
	}
}

// readFolder returns a folder's entries with their types and, if sized, with sizes and times.
func (s *Store) readFolder(ctx context.Context, folder string, sized bool) (entries []fs.FileInfo, err error) {
	at := cmp.Or(s.at(folder), ".")
	err = s.do(ctx, func(c *session) (err error) {
		defer wire.BePatient(ctx)()
		c.conn.expect(maxListing)
		defer func() {
			if c.conn.left.Load() < 0 { // this looks like a lost connection
				err = errTooLong
			}
			c.conn.expect(math.MaxInt64)
		}()
		if entries, err = c.files.ReadDirContext(ctx, at); err == nil {
			entries, err = c.complete(ctx, at, entries, sized)
		}
		if err == nil || isLost(err) || ctx.Err() != nil {
			return err
		}
		if info, lookErr := c.files.Stat(at); c.absent(at, err) || lookErr == nil && !info.IsDir() {
			return exchange.ErrNotFound
		}
		return err
	})
	return entries, err
}

// complete asks for attributes that READDIR left out: the protocol makes them all optional.
func (c *session) complete(ctx context.Context, at string, entries []fs.FileInfo, sized bool) (whole []fs.FileInfo, err error) {
	for _, entry := range entries {
		if !exchange.IsHidden(entry.Name()) && leavesOut(entry, sized) {
			info, err := c.files.Lstat(path.Join(at, entry.Name()))
			switch {
			case errors.Is(err, os.ErrNotExist): // removed meanwhile
				continue
			case isLost(err) || ctx.Err() != nil:
				return nil, cmp.Or(ctx.Err(), err)
			case err == nil:
				entry = info
			}
		}
		whole = append(whole, entry)
	}
	return whole, nil
}

// leavesOut can't distinguish a missing size from a size of zero.
func leavesOut(entry fs.FileInfo, sized bool) bool {
	const typeBits = 0o170000
	stat, ok := entry.Sys().(*sftp.FileStat)
	return ok && (stat.Mode&typeBits == 0 || sized && (stat.Mtime == 0 || stat.Size == 0 && entry.Mode().IsRegular()))
}
