package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mutant is a mutation of one file. File and Change name it, so that it keeps its name while lines move.
type mutant struct {
	File   string
	Line   int
	Change string // the text around it, what is replaced, and by what
	mutation
}

func (m mutant) name() string { return m.File + ": " + m.Change }

// mutants returns the mutants of all files, in order.
func mutants(root string, files []string) (all []mutant, err error) {
	replaced, err := replacedFunctions(root, files)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, err
		}
		found, err := mutate(file, string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, described(file, string(text), slices.DeleteFunc(found, func(m mutation) bool {
			return slices.ContainsFunc(replaced[file], func(r [2]int) bool { return m.from >= r[0] && m.to <= r[1] })
		}))...)
	}
	return all, nil
}

func mutate(file, text string) ([]mutation, error) {
	if path.Ext(file) == ".go" {
		return mutateGo(text)
	}
	up, _, _ := strings.Cut(text, "-- +goose Down")
	return mutateSQL(up), nil
}

// described names the mutations of one file. If several have the same description, it numbers the later ones.
func described(file, text string, found []mutation) []mutant {
	slices.SortStableFunc(found, func(a, b mutation) int { return a.from - b.from })
	seen := map[string]int{}
	all := make([]mutant, 0, len(found))
	for _, m := range found {
		change := fmt.Sprintf("%s [%s → %s] %s", words(text[max(0, m.from-200):m.from], -5), words(text[m.from:m.to], 0), words(m.text, 0), words(text[m.to:min(len(text), m.to+200)], 5))
		if seen[change]++; seen[change] > 1 {
			change += fmt.Sprintf(" #%d", seen[change])
		}
		all = append(all, mutant{file, 1 + strings.Count(text[:m.from], "\n"), change, m})
	}
	return all
}

// words returns the first n words of a text, the last -n, or for 0 all.
func words(text string, n int) string {
	all := strings.Fields(strings.ToValidUTF8(text, ""))
	switch {
	case n > 0:
		all = all[:min(n, len(all))]
	case n < 0:
		all = all[max(0, len(all)+n):]
	}
	return strings.Join(all, " ")
}

var defined = regexp.MustCompile(`(?:CREATE|CREATE OR REPLACE) (?:FUNCTION|PROCEDURE) ([\w.]+) ?\(`)

// replacedFunctions returns where in the files a function is defined that a later migration of the same
// folder defines anew: a mutant there would never run.
func replacedFunctions(root string, files []string) (map[string][][2]int, error) {
	type place struct {
		file string
		at   [2]int
	}
	last := map[string]place{}
	replaced := map[string][][2]int{}
	for _, file := range files {
		if path.Ext(file) != ".sql" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, err
		}
		up, _, _ := bytes.Cut(text, []byte("-- +goose Down"))
		for _, at := range defined.FindAllSubmatchIndex(up, -1) {
			end := bytes.Index(up[at[1]:], []byte("-- +goose StatementEnd"))
			if end < 0 {
				end = len(up) - at[1]
			}
			// A function of one name may exist for several lists of arguments.
			arguments, _, _ := bytes.Cut(up[at[1]:], []byte("\n"))
			key := path.Dir(file) + " " + string(up[at[2]:at[3]]) + string(arguments)
			if before, ok := last[key]; ok {
				replaced[before.file] = append(replaced[before.file], before.at)
			}
			last[key] = place{file, [2]int{at[0], at[1] + end}}
		}
	}
	return replaced, nil
}

// sources returns the module's own sources below the given folders.
func sources(ctx context.Context, root string, folders []string) ([]string, error) {
	out, err := git(ctx, root, append([]string{"ls-files", "--"}, folders...)...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Fields(out), func(file string) bool {
		return path.Ext(file) != ".go" && path.Ext(file) != ".sql" || strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "lab/") || strings.HasPrefix(file, "deploy/")
	}), nil
}

var hunk = regexp.MustCompile(`^@@ -\S+ \+(\d+)(?:,(\d+))? @@`)

// touched keeps the mutants on lines that differ from the commit base.
func touched(ctx context.Context, root, base string, all []mutant) ([]mutant, error) {
	out, err := git(ctx, root, "diff", "--unified=0", "--no-color", "--no-ext-diff", "--relative", base)
	if err != nil {
		return nil, err
	}
	lines := map[string][][2]int{}
	file := ""
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "+++ b/"); ok {
			file = name
		} else if at := hunk.FindStringSubmatch(line); at != nil {
			from, _ := strconv.Atoi(at[1])
			count := 1
			if at[2] != "" {
				count, _ = strconv.Atoi(at[2])
			}
			lines[file] = append(lines[file], [2]int{from, from + count})
		}
	}
	return slices.DeleteFunc(all, func(m mutant) bool {
		return !slices.ContainsFunc(lines[m.File], func(r [2]int) bool { return m.Line >= r[0] && m.Line < r[1] })
	}), nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}
