package exchangetest

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"waybill/internal/fault"
)

// Lie is a wrong answer that no correct server gives.
type Lie struct {
	What  string // what the server does
	Holds string // what the store still guarantees
	// Try has a store meet it, checks that the promise holds, and returns the error of the call; nil: there is none.
	Try func(t *testing.T) error
}

// Lies tries each lie, and compares the results with the section of docs/lies.md under the heading. To update writes it.
func Lies(t *testing.T, heading string, update bool, lies []Lie) {
	t.Helper()
	table := "| the server | what holds | the error |\n|---|---|---|\n"
	for _, lie := range lies {
		t.Run(lie.What, func(t *testing.T) {
			table += fmt.Sprintf("| %s | %s | %s |\n", lie.What, lie.Holds, told(lie.Try(t)))
		})
	}
	section(t, "lies.md", heading, table, update)
}

// Hang takes an HTTP request and never answers it.
func Hang(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

// BreakOff resets the connection in place of an answer.
func BreakOff(w http.ResponseWriter, _ *http.Request) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	return conn.Close() == nil
}

// section compares a table with that in a section of a page of docs, or writes it there.
func section(t *testing.T, page, heading, table string, update bool) {
	t.Helper()
	file := filepath.Join(docs(t), page)
	data, err := os.ReadFile(file)
	must(t, err)
	head := "## " + heading + "\n\n"
	before, rest, found := strings.Cut(string(data), head)
	if !found {
		t.Fatalf("docs/%s has no section %q", page, heading)
	}
	if _, after, more := strings.Cut(rest, "\n## "); more {
		table += "\n## " + after
	}
	now := before + head + table
	if update {
		must(t, os.WriteFile(file, []byte(now), 0o644))
	} else if now != string(data) {
		t.Errorf("docs/%s is not as the tests found; run them with -update, or see what changed:\n%s", page, table)
	}
}

func docs(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "docs")
		}
		if dir = filepath.Dir(dir); dir == "/" {
			t.Fatal("no module")
		}
	}
}

var changing = []struct {
	what *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`^\w+ \w+://.*?/(log|parts)(/\w+)?: `), ""},
	{regexp.MustCompile(`^net/http: HTTP/1.x transport connection broken: `), ""},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "…"},
	{regexp.MustCompile(`, request [\w-]+`), ""},
	{regexp.MustCompile(`(read|write) tcp …->…: ((read|write): )?(connection reset by peer|broken pipe)`), "the connection broke"},
	{regexp.MustCompile(`^EOF$|.*use of closed network connection`), "the connection broke"},
	{regexp.MustCompile(`A{20,}`), "A…"},
	{regexp.MustCompile(`\s*\n\s*`), "; "},
}

// told is an error's text without what changes from run to run, and its class.
func told(err error) string {
	if err == nil {
		return "none"
	}
	text := err.Error()
	for _, c := range changing {
		text = c.what.ReplaceAllString(text, c.to)
	}
	return strings.ReplaceAll(cmp.Or(text, "…"), "|", `\|`) + " *(" + fault.ClassOf(err).String() + ")*"
}
