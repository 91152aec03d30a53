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

// maxListing bounds what a server can make us keep in memory, in bytes of a listing.
const maxListing = 128 << 20

// noFiles is what some servers answer to NLST in an empty folder.
const noFiles = 450

// List has the whole folder listed before it yields, and holds no connection while it does.
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
		for _, name := range slices.Compact(names) { // a server may tell one twice
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

// unflatten returns what the flat names say is in folder.
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

// entries lists folder, which is the current one: names as the server gives them, those of
// folders with "/".
func (c *conn) entries(folder string) ([]string, error) {
	c.limit = maxListing
	defer func() { c.limit = 0 }()
	found, err := c.List("")
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	read := make(map[string]bool, len(found))
	for _, entry := range found {
		switch entry.Type {
		case client.EntryTypeFolder:
			names = append(names, entry.Name+"/")
		case client.EntryTypeFile:
			names = append(names, entry.Name)
		default:
			continue
		}
		read[entry.Name] = true
	}
	if c.data.lines <= len(names) {
		return names, nil
	}
	return c.addUnread(folder, names, read)
}

// addUnread adds what the listing's other lines are about: links, and what could not be read.
// LIST has no form that all servers keep to, and months may have names in any language. Bare
// names have one, and what each of them is can be asked. One that is not there is the rest of
// a name with a line break in it, whose beginning is not a name either.
func (c *conn) addUnread(folder string, names []string, read map[string]bool) ([]string, error) {
	all, err := c.NameList("")
	if err != nil && !isRefusal(err) && code(err) != noFiles {
		return nil, err
	}
	for i, name := range all {
		if read[name] {
			continue
		}
		found, err := c.find(folder, name)
		if err == nil && found == "" && i > 0 && read[all[i-1]] {
			names = slices.DeleteFunc(names, func(n string) bool { return strings.TrimSuffix(n, "/") == all[i-1] })
			found, err = c.find(folder, all[i-1])
		}
		if err != nil {
			return nil, err
		}
		if found != "" {
			names = append(names, found)
		}
	}
	return names, nil
}

// find returns name, with "/" for a folder's, or "" when it is not there.
func (c *conn) find(folder, name string) (string, error) {
	if !isBase(strings.ReplaceAll(name, "+", "=")) { // a flat name may be one
		return "", nil
	}
	full := path.Join(folder, name)
	if err := c.ChangeDir(full); !isRefusal(err) {
		return name + "/", err
	}
	if _, err := c.sizeOf(full); !isRefusal(err) {
		return name, err
	}
	return "", nil
}
