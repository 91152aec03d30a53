package ftp_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/exchange/ftp"
	"waybill/internal/fault"
)

func TestListingsOfAllSorts(t *testing.T) {
	mlsd := map[string]string{"FEAT": "211-Have\r\n MLST type*;\r\n211 End", "MLSD": "150 Here\r\n@226 Done"}
	for _, test := range []struct {
		name    string
		data    string
		answers map[string]string
		want    []string
	}{
		{"ls", "total 8\r\ndrwxr-xr-x 2 u g 4096 Nov 22 05:26 log\r\n-rw-r--r-- 1 u g 6 Nov 22 2025 README.txt\r\n", nil, []string{"README.txt", "log/"}},
		{"Windows", "11-22-26  05:26AM       <DIR>          log\r\n11-22-26  05:26AM                    6 README.txt\r\n", nil, []string{"README.txt", "log/"}},
		{"MLSD", "type=cdir; .\r\ntype=pdir; ..\r\ntype=dir; log\r\ntype=file;size=6; README.txt\r\n", mlsd, []string{"README.txt", "log/"}},
		{
			"hostile names", "type=dir; ../up\r\ntype=file; ..\r\ntype=file; /etc/passwd\r\ntype=file; a/b\r\ntype=dir; a/\r\ntype=dir; log//\r\n" +
				"type=file; \x1b[2J\r\ntype=file; a\x00b\r\ntype=file; good\r\n", mlsd, []string{"good"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantListed(t, with(test.data, test.answers).serve(t, unaltered), "", test.want...)
		})
	}
}

func TestListingsThatCannotBeRead(t *testing.T) {
	german := "drwxr-xr-x 2 u g 4096 Okt 22 05:26 log\r\n-rw-r--r-- 1 u g 6 Dez 22 05:26 README.txt\r\n-rw-r--r-- 1 u g 6 Nov 22 05:26 read\r\n"
	s := &script{answers: map[string]string{
		"NLST": "150 Here\r\n@226 Done", "CWD": "550 No", "CWD /": "250 There", "CWD /log": "250 There",
		"SIZE /README.txt": "213 6", "SIZE /read": "213 6",
	}}
	listings := make(chan string, 2)
	listings <- german
	listings <- "README.txt\r\nread\r\n../up\r\nlog\r\n"
	s.data = func(w io.Writer) { io.WriteString(w, <-listings) }
	wantListed(t, s.serve(t, unaltered), "", "README.txt", "log/", "read")
}

// A producer may make a folder between our being refused it and our looking for it above.
// What is known of folders is forgotten when an upload fails, so that the next try makes those that another removed.
func TestAFolderThatIsRemovedMeanwhileIsMadeAgain(t *testing.T) {
	l := &liar{}
	store := l.serve(t)
	put := func(name string) error { return store.Put(t.Context(), name, 5, strings.NewReader("whole")) }
	if err := put("log/a"); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.gone = "/log"
	l.mu.Unlock()
	if err := put("log/b"); fault.ClassOf(err) != fault.Transient || err == nil {
		t.Errorf("put into a folder that is gone = %v (%v)", err, fault.ClassOf(err))
	}
	if err := put("log/b"); err != nil {
		t.Errorf("put again = %v", err)
	}
}

func TestAFolderThatIsMadeMeanwhileIsNoRefusal(t *testing.T) {
	s := &script{answers: map[string]string{"CWD /log": "550 None"}}
	listings := make(chan string, 2)
	listings <- "drwxr-xr-x 2 u g 4096 Nov 22 05:26 log\r\n"
	listings <- "-rw-r--r-- 1 u g 6 Nov 22 05:26 a\r\n"
	s.data = func(w io.Writer) {
		s.answers["CWD /log"] = "250 There"
		io.WriteString(w, <-listings)
	}
	wantListed(t, s.serve(t, unaltered), "log", "a")
}

func TestFlatListingsThatCannotBeRead(t *testing.T) {
	german := "-rw-r--r-- 1 u g 6 Dez 22 05:26 patient-events+log+a\r\n-rw-r--r-- 1 u g 6 Nov 22 05:26 patient-events+b\r\n"
	s := &script{answers: map[string]string{
		"NLST": "150 Here\r\n@226 Done", "CWD": "550 No", "CWD /": "250 There",
		"SIZE /patient-events+log+a": "213 6", "SIZE /patient-events+b": "213 6",
	}}
	listings := make(chan string, 2)
	listings <- german
	listings <- "patient-events+log+a\r\npatient-events+b\r\nother+c\r\n"
	s.data = func(w io.Writer) { io.WriteString(w, <-listings) }
	wantListed(t, s.serve(t, func(c *ftp.Config) { c.Root, c.Flat = "/patient-events", true }), "", "b", "log/")
}

func TestAnEndlessListingIsRefused(t *testing.T) {
	line := []byte(strings.Repeat("type=file;x=y; "+strings.Repeat("a", 100)+"\r\n", 1000))
	s := with("", map[string]string{"FEAT": "211-Have\r\n MLST type*;\r\n211 End", "MLSD": "150 Here\r\n@226 Done"})
	s.data = func(w io.Writer) {
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
	var err error
	for _, err = range s.serve(t, unaltered).List(t.Context(), "") {
	}
	wantFault(t, "list", err, fault.Transient, "more than")
}

var modern = map[string]string{"FEAT": "211-Have\r\n MLST type*;\r\n211 End", "MLSD": "150 Here\r\n@226 Done"}

// lister is a server that lists by a verb, and ends its listings with a line of its own.
func lister(verb, text, end string) *script {
	s := &script{answers: map[string]string{"SIZE": "213 6", "CWD": "550 No", "CWD /": "250 There"}, brings: map[string]string{}}
	answer := "150 Here\r\n@" + end
	switch verb {
	case "MLSD":
		s.answers["FEAT"] = modern["FEAT"]
	case "NLST": // after a listing of which not a word is understood
		s.answers["LIST"], s.brings["LIST"] = "150 Here\r\n@226 Done", "?\r\n"
	}
	s.answers[verb], s.brings[verb] = answer, text
	return s
}

var listings = map[string]string{
	"LIST": "-rw-r--r-- 1 u g 6 Nov 22 2025 a\r\n-rw-r--r-- 1 u g 6 Nov 22 2025 b\r\n",
	"MLSD": "type=file;size=6; a\r\ntype=file;size=6; b\r\n",
	"NLST": "a\r\nb\r\n",
}

// both lists the top by List and by Survey, and returns the names and each one's error.
func both(t *testing.T, s *script) (names, found []string, errs [2]error) {
	t.Helper()
	store := s.serve(t, unaltered)
	for name, err := range store.List(t.Context(), "") {
		names, errs[0] = append(names, name), err
	}
	entries, err := store.Survey(t.Context(), "")
	for _, e := range entries {
		found = append(found, fmt.Sprint(e.Name, " ", e.Size))
	}
	slices.Sort(found)
	errs[1] = err
	return names, found, errs
}

func TestHowListingsEnd(t *testing.T) {
	for verb, text := range listings {
		for _, end := range []string{"226 Done", "250 Done", "226-2 matches total\r\n226 Transfer complete", "226 Limit of the disk quota: 9 GB"} {
			names, found, errs := both(t, lister(verb, text, end))
			if errors.Join(errs[:]...) != nil || !slices.Equal(names, []string{"a", "b"}) || !slices.Equal(found, []string{"a 6", "b 6"}) {
				t.Errorf("%s, %q: %q, %q, %v", verb, end, names, found, errs)
			}
		}
		for _, end := range []string{
			"226 Output truncated to 10000 matches", "250 Output truncated", "226-Options: -l\r\n226 Listing incomplete",
			"226-Only the first 2000 files are listed\r\n226 Done", "226 Transfer aborted", "226 The limit of 500 entries was reached",
		} {
			_, _, errs := both(t, lister(verb, text, end))
			for _, err := range errs {
				wantFault(t, verb+", "+end, err, fault.Usage, "not whole")
			}
		}
		_, _, errs := both(t, lister(verb, strings.TrimSuffix(text, "\r\n"), "226 Done"))
		for _, err := range errs {
			wantFault(t, verb+" cut in a line", err, fault.Transient, "breaks off")
		}
		for _, end := range []string{"426 Sorry", "451 Sorry", ""} {
			_, _, errs := both(t, lister(verb, text, end))
			for _, err := range errs {
				wantFault(t, verb+", "+end, err, fault.Transient, "")
			}
		}
	}
}

// RFC 3659 demands no fact, and knows no links.
func TestWhatAListingDoesNotTellIsAsked(t *testing.T) {
	s := &script{
		answers: map[string]string{
			"FEAT": modern["FEAT"], "MLSD": modern["MLSD"], "CWD": "550 No", "CWD /": "250 There", "CWD /folder": "250 There",
			"SIZE": "550 No", "SIZE /file": "213 7", "SIZE /untyped": "213 8", "SIZE /link": "213 9", "SIZE /used": "450 Busy", "NLST": "150 Here\r\n@226 Done",
		},
		brings: map[string]string{
			"MLSD": "type=file;modify=20261122052600; file\r\nsize=8; untyped\r\nmodify=20261122052600; folder\r\nTYPE=Dir; loud\r\n" +
				"type=OS.unix=slink:/file;size=3; link\r\ntype=OS.unix=symlink; dangling\r\ntype=OS.unix=fifo; pipe\r\n" +
				" bare\r\ntype=file; used\r\ntype=file;size=1; B\xfcro\r\nsize=2; B\xfcro 2\r\n",
			"NLST": "used\r\n",
		},
	}
	names, found, errs := both(t, s)
	if errors.Join(errs[:]...) != nil || !slices.Equal(names, []string{"file", "folder/", "link", "loud/", "untyped", "used"}) {
		t.Errorf("listed: %q, %v", names, errs)
	}
	if !slices.Equal(found, []string{"B\xfcro 1", "dangling 0", "file 7", "link 3", "untyped 8", "used 0"}) {
		t.Errorf("found: %q", found)
	}
	entries, err := s.serve(t, unaltered).Survey(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Link != (e.Name == "link" || e.Name == "dangling") || e.Modified.IsZero() == (e.Name == "file") {
			t.Errorf("%+v", e)
		}
	}
}

// A link is one in any language.
func TestLinksAmongLinesThatCannotBeRead(t *testing.T) {
	s := &script{
		answers: map[string]string{"CWD": "550 No", "CWD /": "250 There", "SIZE": "213 6", "NLST": "150 Here\r\n@226 Done"},
		brings: map[string]string{
			"LIST": "lrwxrwxrwx 1 u g 1 Dez 22 05:26 link -> a\r\n-rw-r--r-- 1 u g 6 Dez 22 05:26 a\r\n-rw-r--r-- 1 u g 6 Dez 22 05:26 B\xfcro\r\n",
			"NLST": "link\r\na\r\nB\xfcro\r\n../up\r\n",
		},
	}
	entries, err := s.serve(t, unaltered).Survey(t.Context(), "")
	slices.SortFunc(entries, func(a, b exchange.Found) int { return strings.Compare(a.Name, b.Name) })
	if err != nil || len(entries) != 3 || entries[0].Name != "B\xfcro" || entries[1].Link || !entries[2].Link {
		t.Errorf("%+v, %v", entries, err)
	}
}

// 450 means that a file is in use, or on some servers that there is none: the listing decides.
func TestWhatIsAnsweredWith450IsLookedInto(t *testing.T) {
	serve := func(listed string, answers map[string]string) *ftp.Store {
		s := &script{answers: map[string]string{"SIZE": "450 path not found", "NLST": "150 Here\r\n@226 Done"}, brings: map[string]string{"NLST": listed, "LIST": ""}}
		for command, answer := range answers {
			s.answers[command] = answer
		}
		return s.serve(t, func(c *ftp.Config) { c.Direct = true })
	}
	none := map[string]string{"RETR": "450 None", "DELE": "450 None", "RNFR": "450 None"}
	for what, answers := range map[string]map[string]string{
		"SIZE": nil, "all": none, "RETR, without SIZE": {"SIZE": "500 What?", "RETR": "450 None"},
		"NLST too": {"NLST": "450 No files"}, "CWD too": {"CWD": "450 None", "CWD /": "250 There", "NLST": "150 Here\r\n@226 Done"},
	} {
		store := serve("other\r\n", answers)
		if _, err := get(store, "log/a"); !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("%s: get of what is missing = %v", what, err)
		}
		if err := store.Move(t.Context(), "log/a", "log/b"); !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("%s: move of what is missing = %v", what, err)
		}
	}
	if err := serve("", none).Delete(t.Context(), "a"); err != nil {
		t.Errorf("delete of what is missing = %v", err)
	}
	// A name that is free is uploaded to.
	err := serve("", nil).Put(t.Context(), "log/b", 1, strings.NewReader("x"))
	wantFault(t, "put", err, fault.Usage, "see what it has uploaded")
	_, err = get(serve("a\r\n", nil), "log/a")
	wantFault(t, "get of a file in use", err, fault.Transient, "450")
	wantFault(t, "put over a file in use", serve("a\r\n", nil).Put(t.Context(), "log/a", 1, strings.NewReader("x")), fault.Transient, "450")
	for name, err := range serve("", map[string]string{"LIST": "450 No files", "NLST": "450 No files"}).List(t.Context(), "log") {
		t.Errorf("an empty folder has %q, %v", name, err)
	}
}

func TestAServerThatListsSoManyIsTold(t *testing.T) {
	for hello, told := range map[string]bool{"220-------- Welcome to Pure-FTPd [privsep] [TLS]\r\n220 Hello": true, "220 Hello": false} {
		facts, err := with("", map[string]string{"hello": hello}).serve(t, unaltered).Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			if f.Name == "listings" && strings.Contains(f.Advice, "-L") != told {
				t.Errorf("%s: %+v", hello, f)
			}
		}
	}
}
