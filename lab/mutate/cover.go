package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// cover has the tests that come to each block of the Go files, and how long they take. All are in the
// empty block, and those of x_test.go in that of x.go that begins nowhere.
type cover map[block]profile

// block is a part of a file. Its ends are lines and columns, the line in the upper bits.
type block struct {
	file     string
	from, to int
}

var (
	aTest     = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	aFunction = regexp.MustCompile(`(?ms)^func [^\n]*(?:\}$|.*?^\})`)
	took      = regexp.MustCompile(`(?m)^--- PASS: \w+ \(([\d.]+s)\)`)
	came      = regexp.MustCompile(`(?m)^waybill/(\S+):(\d+)\.(\d+),(\d+)\.(\d+) \d+ (\d+)$`)
)

// cover runs each test of a package alone. What is kept is valid for the same sources and the same file of tests.
func (j *judge) cover(ctx context.Context, pkg string) (cover, error) {
	if c := j.covers[pkg]; c != nil {
		return c, nil
	}
	files, err := git(ctx, j.Root, "ls-files", "--cached", "--others", "--exclude-standard", "--", pkg)
	sources, tests, c := sha256.New(), map[string]string{}, cover{{}: {}}
	for _, file := range strings.Fields(files) {
		text, _ := os.ReadFile(filepath.Join(j.Root, file))
		switch {
		case path.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go"):
			fmt.Fprintf(sources, "%s %d %s", file, len(text), text)
		case "./"+path.Dir(file) == pkg:
			of := block{file: strings.TrimSuffix(file, "_test.go") + ".go"}
			c[of] = profile{}
			for _, found := range aTest.FindAllSubmatch(text, -1) {
				tests[string(found[1])] = fmt.Sprintf("%s-%x", found[1], sha256.Sum256(text))
				c[of][string(found[1])] = 0
			}
		}
	}
	dir := filepath.Join(j.Root, j.kept, fmt.Sprintf("%x", sources.Sum(nil)))
	defer os.Remove(filepath.Join(dir, "test"))
	for test, name := range tests {
		if skipped := regexp.MustCompile(slow + "|TestMain"); !skipped.MatchString(test) {
			text, err := j.alone(ctx, dir, name, test, pkg)
			if err != nil {
				return nil, fmt.Errorf("%s of %s, as it is: %w", test, pkg, err)
			}
			c.add(test, text)
		}
	}
	j.covers[pkg] = c
	return c, err
}

// alone returns what a test prints, and its profile.
func (j *judge) alone(ctx context.Context, dir, name, test, pkg string) (string, error) {
	binary, kept := filepath.Join(dir, "test"), filepath.Join(dir, name)
	if text, err := os.ReadFile(kept); err == nil {
		return string(text), nil
	}
	out, err := exec.CommandContext(ctx, "sh", "-ec", `mkdir -p "${0%/*}"; [ -e "$0" ] || go test -c -vet=off -cover -coverpkg="$1/..." -o "$0" "$1"
		cd "$1"; "$0" -test.v -test.run="^$2\$" -test.coverprofile="$0.cover"; cat "$0.cover"`, binary, pkg, test).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return string(out), os.WriteFile(kept, out, 0o600)
}

func (c cover) add(test, text string) {
	all := took.FindStringSubmatch(text)
	if all == nil {
		return
	}
	c[block{}][test], _ = time.ParseDuration(all[1])
	for _, found := range came.FindAllStringSubmatch(text, -1) {
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(found[2+i])
		}
		at := block{found[1], n[0]<<16 + n[1], n[2]<<16 + n[3]}
		if c[at] == nil {
			c[at] = profile{}
		}
		if n[4] > 0 {
			c[at][test] = c[block{}][test]
		}
	}
}

// tests returns the tests that come to a mutant. The condition of a case is in no block: those count that come to its
// function. Of what is in no function, all tests count.
func (c cover) tests(m mutant, text string) profile {
	at := m.Line<<16 + m.from - strings.LastIndex(text[:m.from], "\n")
	var first, last int
	for _, f := range aFunction.FindAllStringIndex(text, -1) {
		if f[0] <= m.from && m.from < f[1] {
			first, last = 1+strings.Count(text[:f[0]], "\n"), 1+strings.Count(text[:f[1]], "\n")
		}
	}
	if first == 0 {
		return c[block{}]
	}
	all := profile{}
	for b, tests := range c {
		switch {
		case b.file != m.File:
		case b.from <= at && at < b.to:
			return tests
		case b.from>>16 >= first && b.to>>16 <= last:
			for test, took := range tests {
				all[test] = took
			}
		}
	}
	return all
}

// ways returns a number for each test that is the same for all that come to the same blocks of a file.
func (c cover) ways(file string) map[string]uint64 {
	seed, ways := maphash.MakeSeed(), map[string]uint64{}
	for b, tests := range c {
		for test := range tests {
			if b.file == file {
				ways[test] += maphash.Comparable(seed, b)
			}
		}
	}
	return ways
}
