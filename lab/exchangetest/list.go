package exchangetest

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"waybill/internal/fault"
)

func (s suite) names(t *testing.T) {
	store := s.open(t).Store
	putBytes(t, store, "a/b", []byte("x"))
	for _, name := range []string{
		"", "/", "/a/b", "a/", "a//b", "../a", "a/../a/b", "a/..", ".", "a/./b", ".a", "a/.b",
		"a\\b", "a b", "a\nb", "a\rb", "a\x00b", "a\x1bb", "ä", "a\xffb", "a:b", "a?b", "a*b",
		strings.Repeat("x", 256),
	} {
		_, err := store.Get(t.Context(), name)
		wantPoison(t, fmt.Sprintf("get %q", name), err)
		wantPoison(t, fmt.Sprintf("put %q", name), store.Put(t.Context(), name, 1, strings.NewReader("x")))
		wantPoison(t, fmt.Sprintf("publish %q", name), store.Publish(t.Context(), name, []byte("x")))
		if name == "" {
			continue // the top, which may be listed
		}
		for _, err = range store.List(t.Context(), name) {
			break
		}
		wantPoison(t, fmt.Sprintf("list %q", name), err)
	}
	wantListed(t, store, "", "a/")
	wantListed(t, store, "a", "b")
}

func wantPoison(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != fault.Poison {
		t.Errorf("%s = %v, want a refusal", what, err)
	}
}

func (s suite) list(t *testing.T) {
	t.Run("folders", s.listFolders)
	t.Run("what isn't there is empty", s.listMissing)
	t.Run("many names", s.listMany)
	t.Run("names of others", s.listForeign)
	t.Run("a listing left early", s.listEarly)
	t.Run("an unfinished file", s.listUnfinished)
}

func (s suite) listFolders(t *testing.T) {
	store := s.open(t).Store
	for _, name := range []string{
		"README.txt", "log/000000000/000000000000.json", "log/000000000/000000000001.json",
		"log/000000001/000000001000.json", "parts/type=died/date=2026-11-22/a", "logger/x",
	} {
		putBytes(t, store, name, []byte(name))
	}
	wantListed(t, store, "", "README.txt", "log/", "logger/", "parts/")
	wantListed(t, store, "log", "000000000/", "000000001/")
	wantListed(t, store, "log/000000000", "000000000000.json", "000000000001.json")
	wantListed(t, store, "parts", "type=died/")
	wantListed(t, store, "parts/type=died", "date=2026-11-22/")
}

func (s suite) listMissing(t *testing.T) {
	store := s.open(t).Store
	wantListed(t, store, "")
	wantListed(t, store, "log")
	putBytes(t, store, "log/a", nil)
	wantListed(t, store, "lo")
	wantListed(t, store, "log/a")
	wantListed(t, store, "log/b")
	wantListed(t, store, "log/a/b")
}

// listMany lists more names than servers put on a page, or libraries request at a time. Most are
// planted, because that is faster.
func (s suite) listMany(t *testing.T) {
	const put = 300
	names := 10_000
	if s.caps.Slow {
		names = 350
	}
	if s.caps.ListsAtMost > 0 {
		names = s.caps.ListsAtMost
	}
	place := s.open(t)
	store := place.Store
	var want []string
	var all errgroup.Group
	all.SetLimit(8)
	for i := range names {
		name := fmt.Sprintf("receipts/many/%012d.json", i)
		want = append(want, path.Base(name))
		if i == put { // the folder exists from here on
			must(t, all.Wait())
		}
		all.Go(func() error {
			if i < put {
				return s.again(func() error { return store.Put(t.Context(), name, 1, strings.NewReader("x")) })
			}
			return place.Plant(name, []byte("x"))
		})
	}
	must(t, all.Wait())
	if got := listed(t, store, "receipts/many"); !slices.Equal(got, want) {
		t.Errorf("%d names are listed, want %d, each once", len(got), len(want))
	}
	wantListed(t, store, "receipts", "many/")
	if s.caps.ListsAtMost == 0 {
		return
	}
	for i := range 20 {
		must(t, place.Plant(fmt.Sprintf("receipts/many/more-%d", i), []byte("x")))
	}
	var err error
	for _, err = range store.List(t.Context(), "receipts/many") {
	}
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("list of more than %d names = %v", names, err)
	}
}

func (s suite) listForeign(t *testing.T) {
	place := s.open(t)
	putBytes(t, place.Store, "log/good", []byte("x"))
	for _, name := range []string{
		".hidden", "with space", "new\nline", "escape\x1b[2J", "tab\t", "ümlaut", "back\\slash", "co:lon", "per%2e%2e",
	} {
		must(t, place.Plant("log/"+name, []byte("x")))
	}
	wantListed(t, place.Store, "log", "good")
}

func (s suite) listEarly(t *testing.T) {
	store := s.open(t).Store
	for i := range 50 {
		putBytes(t, store, fmt.Sprintf("log/%d", i), nil)
	}
	for range 5 {
		for _, err := range store.List(t.Context(), "log") {
			must(t, err)
			break
		}
	}
	if got := len(listed(t, store, "log")); got != 50 {
		t.Errorf("%d names are listed, want 50", got)
	}
}

// listUnfinished looks at the folder while a file is being put there. A file that is listed then must be
// gone or whole afterwards, and only the file's own name may be listed at any time.
func (s suite) listUnfinished(t *testing.T) {
	store := s.open(t).Store
	data := patternBytes(t, 1, 3*mB)
	half := int64(len(data) / 2)
	look := func() {
		for _, name := range listed(t, store, "parts") {
			if name != "a" {
				t.Errorf("%q is listed during a put", name)
			}
		}
		wantTornOrNothing(t, store, "parts/a", int64(len(data)))
	}
	body := io.MultiReader(bytes.NewReader(data[:half]), &callback{f: look}, bytes.NewReader(data[half:]))
	must(t, store.Put(t.Context(), "parts/a", int64(len(data)), body))
	wantListed(t, store, "parts", "a")
	wantBytes(t, store, "parts/a", data)
}

// callback is an empty reader that calls f when it is read.
type callback struct{ f func() }

func (c *callback) Read([]byte) (int, error) {
	c.f()
	return 0, io.EOF
}
