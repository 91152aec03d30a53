package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/lab/overlay"
)

const root = "../.."

// A change to code in which a mutant is planted fails here, and not in the long run.
func TestEveryMutantCanBePlanted(t *testing.T) {
	mutants, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		sources, err := m.apply(root)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		for file, text := range sources {
			if real, err := os.ReadFile(filepath.Join(root, file)); err != nil || string(real) == string(text) {
				t.Errorf("%s changes nothing in %s (%v)", m.Name, file, err)
			}
		}
	}
}

func TestTheDocumentationListsEveryMutant(t *testing.T) {
	mutants, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "planted.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if row := "| " + m.title() + " | " + m.Mistake + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/planted.md has no row %q", row)
		}
	}
}

func TestTheDocumentationListsEveryBug(t *testing.T) {
	mutants, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "bugs.md"))
	if err != nil {
		t.Fatal(err)
	}
	bugs := 0
	for _, m := range mutants {
		if m.Bug == nil {
			continue
		}
		bugs++
		if _, err := time.Parse(time.DateOnly, m.Bug.Date); err != nil || m.Bug.Found == "" {
			t.Errorf("%s: a bug needs a date and how it was found: %+v (%v)", m.Name, *m.Bug, err)
		}
		if row := fmt.Sprintf("\n| %s | %s | %s | %s |", m.Name, m.Bug.Date, m.Bug.Found, m.Mistake); !strings.Contains(string(text), row) {
			t.Errorf("docs/bugs.md has no row %q", row)
		}
	}
	if rows := strings.Count(string(text), "\n| ") - 1; rows != bugs { // but its head
		t.Errorf("docs/bugs.md has %d rows for %d bugs", rows, bugs)
	}
}

// module is a tiny one, with a test that sees one of its two constants, and a program that prints
// the other.
var module = map[string]string{
	"go.mod":           "module tiny\n",
	"tiny.go":          "package tiny\n\nconst Seen = 1\n\nconst Unseen = 2\n",
	"tiny_test.go":     "package tiny\n\nimport \"testing\"\n\nfunc TestSeen(t *testing.T) {\n\tif Seen == 4 {\n\t\tpanic(Seen)\n\t}\n\tt.Run(\"one\", func(t *testing.T) {\n\t\tif Seen != 1 {\n\t\t\tt.Fail()\n\t\t}\n\t})\n}\n",
	"says/main.go":     "package main\n\nimport _ \"embed\"\n\n//go:embed said.txt\nvar said string\n\nfunc main() { print(said) }\n",
	"says/said.txt":    "whole",
	"says/say_test.go": "package main\n\nimport (\n\t\"os/exec\"\n\t\"testing\"\n)\n\nfunc TestSaid(t *testing.T) {\n\tif out, err := exec.Command(\"go\", \"run\", \".\").CombinedOutput(); string(out) != \"whole\" {\n\t\tt.Errorf(\"%s %v\", out, err)\n\t}\n}\n",
}

func tiny(t *testing.T) suite {
	t.Helper()
	dir := t.TempDir()
	for name, text := range module {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return suite{overlay.Suite{Root: dir}}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	s := tiny(t)
	seen := overlay.Tests{Package: ".", Run: "TestSeen"}
	for _, test := range []struct {
		name   string
		edit   edit
		tests  overlay.Tests
		caught string
		fails  string
	}{
		{"caught", edit{"tiny.go", "Seen = 1", "Seen = 3"}, seen, "TestSeen/one", ""},
		{"survives", edit{"tiny.go", "Unseen = 2", "Unseen = 3"}, seen, "", "SURVIVED"},
		{"is in a file that a program embeds", edit{"says/said.txt", "whole", "torn"}, overlay.Tests{Package: "./says", Run: "TestSaid"}, "TestSaid", ""},
		{"does not compile", edit{"tiny.go", "Seen = 1", "Seen = "}, seen, "", "broke off"},
		{"panics", edit{"tiny.go", "Seen = 1", "Seen = 4"}, seen, "", "broke off"},
		{"has no tests", edit{"tiny.go", "Seen = 1", "Seen = 3"}, overlay.Tests{Package: ".", Run: "TestGone"}, "", "no tests called TestGone"},
		{"is stale", edit{"tiny.go", "const", "var"}, seen, "", "occurs 2 times in tiny.go"},
		{"has lost its file", edit{"gone.go", "const", "var"}, seen, "", "stale"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v, err := s.judge(t.Context(), &mutant{Edits: []edit{test.edit}, Tests: test.tests})
			if !strings.Contains(strings.Join(v.seen, ""), "`"+test.caught+"`") && test.caught != "" {
				t.Errorf("caught by %q, want %q", v.seen, test.caught)
			}
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v, want %q", err, test.fails)
			}
		})
	}
}

func TestEveryPackageMustNotice(t *testing.T) {
	t.Parallel()
	s := tiny(t)
	m := &mutant{Edits: []edit{{"tiny.go", "Seen = 1", "Seen = 3"}}, Tests: overlay.Tests{Package: ".", Run: "TestSeen"}, Also: overlay.Tests{Package: "./says", Run: "TestSaid"}}
	if v, err := s.judge(t.Context(), m); err == nil || !strings.Contains(err.Error(), "SURVIVED: no test notices in ./says") {
		t.Errorf("seen by %q: %v", v.seen, err)
	}
	m.Edits = append(m.Edits, edit{"says/said.txt", "whole", "torn"})
	if v, err := s.judge(t.Context(), m); err != nil || len(v.seen) != 2 {
		t.Errorf("seen by %q: %v", v.seen, err)
	}
}

func TestTestsThatFailAnywayCatchNothing(t *testing.T) {
	t.Parallel()
	s := tiny(t)
	mutants := []*mutant{{Tests: overlay.Tests{Package: ".", Run: "TestSeen"}}, {Tests: overlay.Tests{Package: "./says", Run: "TestSaid"}}}
	if err := s.sound(t.Context(), mutants); err != nil {
		t.Errorf("as it is: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.Root, "says", "said.txt"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.sound(t.Context(), mutants); err == nil || !strings.Contains(err.Error(), "TestSaid fails") {
		t.Errorf("with a test that fails: %v", err)
	}
}
