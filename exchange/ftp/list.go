package ftp

import (
	"context"
	"errors"
	"iter"
	"path"
	"slices"
	"strings"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// List lists the whole folder before it yields, and holds no connection while yielding.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := exchange.CheckFolder(folder); err != nil {
			yield("", err)
			return
		}
		var names []string
		err := s.use(ctx, "list", folder, func(c *conn) (err error) {
			defer wire.BePatient(ctx)()
			names, err = s.names(c, folder)
			return err
		})
		if errors.Is(err, exchange.ErrNotFound) {
			return
		}
		if err != nil {
			yield("", err)
			return
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) { // a server may list a name twice
			if isBase(strings.TrimSuffix(name, "/")) && !yield(name, nil) {
				return
			}
		}
	}
}

func isBase(name string) bool { return !strings.Contains(name, "/") && exchange.CheckName(name) == nil }

func (s *Store) names(c *conn, folder string) ([]string, error) {
	at := path.Join(c.root, folder)
	if s.config.Flat {
		at = path.Dir(c.root)
	}
	if err := c.enter(at); err != nil {
		return nil, err
	}
	names, err := c.entries(at)
	if s.config.Flat {
		names = unflatten(names, path.Join(path.Base(c.root), folder))
	}
	return names, err
}

// unflatten returns the names in folder, according to the flat names.
func unflatten(flat []string, folder string) []string {
	var names []string
	seen := map[string]bool{}
	for _, name := range flat {
		name = strings.ReplaceAll(name, "+", "/")
		rest, inside := strings.CutPrefix(name, folder+"/")
		if !inside || exchange.CheckName(rest) != nil {
			continue
		}
		if sub, _, deeper := strings.Cut(rest, "/"); deeper {
			rest = sub + "/"
		}
		if !seen[rest] {
			seen[rest] = true
			names = append(names, rest)
		}
	}
	return names
}

// entries lists folder, which is the current one: names as the server gives them, those of folders
// with "/". A link is listed as its target is.
func (c *conn) entries(folder string) ([]string, error) {
	items, err := c.items(folder)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(items))
	for _, i := range items {
		if i.kind == client.EntryTypeLink {
			if i.kind, err = c.find(folder, i.name); err != nil {
				return nil, err
			}
		}
		switch i.kind {
		case client.EntryTypeFolder:
			names = append(names, i.name+"/")
		case client.EntryTypeFile:
			names = append(names, i.name)
		}
	}
	return names, nil
}
