package docs

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	root = ".."
	// longestPage is what a reader still scrolls through, in lines.
	longestPage = 400
	// longestWalk is how much code a newcomer should have to read to follow one event, in lines.
	longestWalk = 1500
)

// pages returns the project's Markdown files by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || entry.Name() == "build"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence   = regexp.MustCompile("(?s)\n```.*?\n```")
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	symbols = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the fragments that GitHub makes of a page's headings.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		found[strings.ReplaceAll(symbols.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return found
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for path, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			to := path
			if target != "" {
				to = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s does not exist", path, m[1])
			} else if page, ok := all[to]; ok && fragment != "" && !anchors(page)[fragment] {
				t.Errorf("%s: %s has no heading #%s", path, to, fragment)
			}
		}
	}
}

// lookedUp are the pages in which one looks something up, and which nobody reads through.
var lookedUp = map[string]bool{"../CHANGELOG.md": true, "../schemas/SPEC.md": true}

func TestPagesAreShort(t *testing.T) {
	for path, text := range pages(t) {
		if lines := strings.Count(text, "\n"); lines > longestPage && !lookedUp[path] {
			t.Errorf("%s has %d lines, more than %d", path, lines, longestPage)
		}
	}
}

var walked = regexp.MustCompile(`(?m)^\| \d+ \| \[([^]]+)\]\(([^)]+)\)`)

// docs/architecture.md follows one event through the code. Its list must stay short enough to be read.
func TestOneEventIsFollowedInFewLines(t *testing.T) {
	page, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	files, lines := walked.FindAllSubmatch(page, -1), 0
	for _, m := range files {
		data, err := os.ReadFile(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(data, []byte("\n"))
	}
	t.Logf("%d files, %d lines", len(files), lines)
	if len(files) < 6 || lines > longestWalk {
		t.Errorf("%d files of %d lines; want 6 or more files, and %d lines at most", len(files), lines, longestWalk)
	}
}
