package ftp

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange"
	"waybill/internal/fault"
)

// maxListing bounds what a server can make us keep in memory, in bytes of a listing.
const maxListing = 128 << 20

// busy is what servers answer for a file in use, some for one that is missing, and some to LIST or NLST in an empty folder.
const busy = 450

// item is what a listing says about a name.
type item struct {
	name     string
	kind     client.EntryType // or untold
	size     int64            // -1: unknown
	modified time.Time        // zero: unknown
}

const untold client.EntryType = -1

// items lists folder, which is the current one. If the listing does not give an item's type, items asks the server.
// Links stay links.
func (c *conn) items(folder string) ([]item, error) {
	c.limit = maxListing
	defer func() { c.limit = 0 }()
	found, err := c.List("")
	err = c.whole(err)
	if code(err) == busy {
		return c.addUnread(folder, nil, "")
	}
	if err != nil {
		return nil, err
	}
	text := string(c.data.text)
	items := c.read(found, text)
	if strings.Count(text, "\n") > len(items) {
		if items, err = c.addUnread(folder, items, text); err != nil {
			return nil, err
		}
	}
	return c.tell(folder, items)
}

// read returns the lines of a listing that it can read. The library treats what MLSD lists as a file unless its type is
// "dir", in small letters.
func (c *conn) read(found []*client.Entry, text string) (items []item) {
	if !c.IsTimePreciseInList() { // the server has no MLSD
		for _, e := range found {
			items = append(items, item{e.Name, e.Type, int64(e.Size), e.Time})
		}
		return items
	}
	for line := range strings.Lines(text) {
		if i, ok := readFacts(strings.TrimRight(line, "\r\n")); ok {
			items = append(items, i)
		}
	}
	return items
}

// readFacts reads a line of MLSD (RFC 3659, section 7).
func readFacts(line string) (item, bool) {
	facts, name, ok := strings.Cut(line, " ")
	if !ok || name == "" || facts != "" && !strings.HasSuffix(facts, ";") {
		return item{}, false
	}
	i := item{name: name, kind: untold, size: -1}
	for fact := range strings.SplitSeq(facts, ";") {
		key, value, _ := strings.Cut(strings.ToLower(fact), "=")
		switch key {
		case "type":
			i.kind = kindOf(value)
		case "size":
			if size, err := strconv.ParseInt(value, 10, 64); err == nil {
				i.size = size
			}
		case "modify":
			i.modified, _ = time.Parse("20060102150405", value) // unreadable: unknown
		}
	}
	return i, true
}

func kindOf(fact string) client.EntryType {
	switch {
	case fact == "file":
		return client.EntryTypeFile
	case fact == "dir" || fact == "cdir" || fact == "pdir":
		return client.EntryTypeFolder
	case strings.Contains(fact, "link"): // OS.unix=slink:TARGET or OS.unix=symlink
		return client.EntryTypeLink
	default:
		return untold
	}
}

// tell asks the server for the type of items for which the listing has none.
func (c *conn) tell(folder string, items []item) (told []item, err error) {
	for _, i := range items {
		if i.kind == untold {
			if i.kind, err = c.find(folder, i.name); err != nil {
				return nil, err
			}
		}
		if i.kind != untold {
			told = append(told, i)
		}
	}
	return told, nil
}

// addUnread adds the items of lines that read can't read: servers format LIST differently, and months may have names in
// any language. NLST has one format, and the type of each name can be asked for. If a name does not exist, it is the rest
// of a name with a line break, and its beginning is no name either.
func (c *conn) addUnread(folder string, items []item, text string) ([]item, error) {
	names, err := c.bareNames()
	if err != nil {
		return nil, err
	}
	read := make(map[string]bool, len(items))
	for _, i := range items {
		read[i.name] = true
	}
	for i, name := range names {
		if read[name] {
			continue
		}
		unread := item{name: name, kind: client.EntryTypeLink, size: -1}
		if !strings.Contains(text, " "+name+" -> ") {
			if unread.kind, err = c.find(folder, name); err != nil {
				return nil, err
			}
		}
		if unread.kind == untold && i > 0 && read[names[i-1]] {
			before, err := c.find(folder, names[i-1])
			if err != nil {
				return nil, err
			}
			if before == untold {
				items = slices.DeleteFunc(items, func(x item) bool { return x.name == names[i-1] })
				continue
			}
		}
		if unread.kind == untold && isOdd(name) {
			unread.kind, unread.size = client.EntryTypeFile, 0 // it is listed, but never asked for
		}
		items = append(items, unread)
	}
	return items, nil
}

// bareNames lists the current folder by NLST. Some servers refuse this if the folder is empty.
func (c *conn) bareNames() ([]string, error) {
	c.limit = maxListing
	defer func() { c.limit = 0 }()
	names, err := c.NameList("")
	if err = c.whole(err); isRefusal(err) || code(err) == busy {
		return nil, nil
	}
	return names, err
}

// find asks what a name is: a folder, a file, or untold if it is missing or can't be asked for.
func (c *conn) find(folder, name string) (client.EntryType, error) {
	if isOdd(name) {
		return untold, nil
	}
	full := path.Join(folder, name)
	if err := c.ChangeDir(full); !isRefusal(err) && code(err) != busy {
		return client.EntryTypeFolder, err
	}
	if _, err := c.sizeOf(full); !isRefusal(err) && code(err) != busy {
		return client.EntryTypeFile, err
	} else if code(err) == busy {
		return client.EntryTypeFile, nil
	}
	return untold, nil
}

// isOdd reports a name that must not be sent to a server. A flat name may have "+".
func isOdd(name string) bool { return !isBase(strings.ReplaceAll(name, "+", "=")) }

// doubts are the words with which servers say, at the end of a listing, that it is incomplete.
var doubts = regexp.MustCompile(`(?i).*(truncat|incomplete|not complete|partial|abort|too many|exceed|first \d|limit.* reached|maximum.* reached).*`)

// whole checks a listing that ended with err. It is whole if the server plainly says so and its last line is
// complete.
func (c *conn) whole(err error) error {
	if err = completed(err); err != nil {
		return err
	}
	if said := doubts.Find(c.reply); said != nil {
		return advice{
			fmt.Errorf("the listing is not whole, the server says: %s", bytes.TrimSpace(said)), fault.Usage,
			"have the server list more files at a time (pure-ftpd: -L), or move files out of the folder",
		}
	}
	if text := c.data.text; len(text) > 0 && text[len(text)-1] != '\n' {
		return errors.New("the listing breaks off in the middle of a line")
	}
	return nil
}

// lookInto returns what err, the answer to a question about a file, means: 450 counts as a refusal if the folder's listing
// does not have the file.
func (c *conn) lookInto(file string, err error) error {
	if code(err) != busy {
		return err
	}
	entered := c.enter(path.Dir(file))
	if entered != nil && !errors.Is(entered, exchange.ErrNotFound) {
		return entered
	}
	var names []string
	if entered == nil {
		var listErr error
		if names, listErr = c.bareNames(); listErr != nil {
			return listErr
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return path.Base(n) == path.Base(file) }) {
		return err
	}
	return &textproto.Error{Code: client.StatusFileUnavailable, Msg: err.Error()}
}
