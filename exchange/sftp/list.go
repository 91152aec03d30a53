package sftp

import (
	"cmp"
	"context"
	"io/fs"
	"iter"
	"math"

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
		entries, err := s.entries(ctx, folder)
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

func (s *Store) entries(ctx context.Context, folder string) (entries []fs.FileInfo, err error) {
	at := cmp.Or(s.at(folder), ".")
	err = s.do(ctx, func(c *session) (err error) {
		defer wire.BePatient(ctx)()
		c.conn.expect(maxListing)
		defer func() {
			if c.conn.left.Load() < 0 { // which reads as a lost connection
				err = errTooLong
			}
			c.conn.expect(math.MaxInt64)
		}()
		if entries, err = c.files.ReadDirContext(ctx, at); err == nil || isLost(err) || ctx.Err() != nil {
			return err
		}
		if info, lookErr := c.files.Stat(at); c.absent(at, err) || lookErr == nil && !info.IsDir() {
			return nil
		}
		return err
	})
	return entries, err
}
