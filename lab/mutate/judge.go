package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"waybill/lab/overlay"
)

// verdict is the tests' result on a mutant.
type verdict string

const (
	killed   verdict = "killed"
	survived verdict = "survived"
	invalid  verdict = "invalid" // does not compile, or PostgreSQL refuses its text
)

// result is the verdict on one mutant, and why.
type result struct {
	Verdict verdict
	By      string  `json:",omitempty"` // package and test
	Seconds float64 // that it took
	File    string
	Line    int
	Kind    string
}

// also are tests of other packages that test some files' rules as closely as the folder's own tests, such as the round trips
// of every format.
var also = []struct{ files, pkg string }{
	{"partner/format/", "./partner/format/..."},
	{"schemas/part/internal/", "./schemas/part"},
	{"exchange/whole/", "./exchange/dir"},
	{"exporter/patients/migrations/00009_intake", "./partner/intake"},
	{"exporter/patients/migrations/00010_intake", "./partner/intake"},
}

// wider are tests of other packages that test a folder's rules as a whole. They may run on mutants that survive the
// folder's own tests.
var wider = []struct {
	folder string
	tests  overlay.Tests
}{
	{"importer", oracle},
	{"exporter", oracle},
	{"exchange", overlay.Tests{Package: "./importer", Run: "Refused|Store|Damage|Receipt"}},
	{"schemas", overlay.Tests{Package: "./exchange"}},
	{"partner/format", overlay.Tests{Package: "./partner/intake"}},
}

var oracle = overlay.Tests{Package: "./lab/oracle", Run: "^(TestTheTablesTell|TestExamples)$"}

// judge runs tests on mutants, the likeliest to fail first.
type judge struct {
	overlay.Suite
	profiles map[string]profile // by package and the state of its folder
	covers   map[string]cover   // by package
	kept     string             // the folder of what makes these
	kills    map[string]int     // by package and test
	wider    bool
}

// profile is how long each test of a package takes.
type profile map[string]time.Duration

// slow tests run last: by the rule for names, or because they are histories at random.
const slow = "^TestProof|AnyHistory|EverybodyAtOnce"

// home returns the package whose tests belong to a file: the nearest above it that has tests.
func (j *judge) home(file string) string {
	dir := path.Dir(file)
	for ; dir != "."; dir = path.Dir(dir) {
		if found, err := filepath.Glob(filepath.Join(j.Root, dir, "*_test.go")); err == nil && found != nil {
			break
		}
	}
	return "./" + dir
}

// profile runs a package's tests on the unchanged code. They must pass there, otherwise they would kill any mutant.
func (j *judge) profile(ctx context.Context, pkg string) (profile, error) {
	state, err := git(ctx, j.Root, "rev-parse", "HEAD:"+strings.TrimSuffix(pkg, "/..."))
	if err != nil {
		return nil, err
	}
	key := pkg + " " + strings.TrimSpace(state)
	if p, ok := j.profiles[key]; ok {
		return p, nil
	}
	r, err := j.Test(ctx, overlay.Tests{Package: pkg, Skip: slow}, "")
	if err == nil && r.Failed != "" {
		err = fmt.Errorf("%s fails:\n%s", r.Failed, r.Said)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, as it is: %w", pkg, err)
	}
	j.profiles[key] = r.Passed
	return r.Passed, nil
}

// likely selects tests that together take a tenth of the time of all, or four seconds, and returns the others too. It
// prefers those that are about the file by their name, and kill the most mutants in that time. Of other tests that have the
// same way, if ways are given, two are enough.
func (j *judge) likely(pkg string, p, about profile, ways map[string]uint64) (first, others []string) {
	var names []string
	for name := range p {
		if !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	rate := func(name string) float64 {
		count := 1 + j.kills[pkg+" "+name]
		if _, ok := about[name]; ok {
			count += 20
		}
		return float64(count) / (0.2 + p[name].Seconds())
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(rate(b), rate(a)), cmp.Compare(a, b)) })
	taken := map[uint64]int{}
	var left time.Duration
	names = slices.DeleteFunc(names, func(name string) bool {
		_, isAbout := about[name]
		if taken[ways[name]]++; ways != nil && !isAbout && taken[ways[name]] > 2 {
			return true
		}
		left += p[name]
		return false
	})
	left = max(left/10, 4*time.Second)
	for i, name := range names {
		if left -= p[name]; left < 0 {
			return names[:max(i, 1)], names[max(i, 1):]
		}
	}
	return names, nil
}

func named(tests []string) string { return "^(" + strings.Join(tests, "|") + ")$" }

// own are the tests of a mutant's own package that run on it, in turn.
func (j *judge) own(ctx context.Context, m mutant, text string) (stages []overlay.Tests, err error) {
	pkg := j.home(m.File)
	if path.Ext(m.File) != ".go" {
		p, err := j.profile(ctx, pkg)
		first, _ := j.likely(pkg, p, nil, nil)
		return []overlay.Tests{{Package: pkg, Run: named(first)}, {Package: pkg, Skip: named(first) + "|" + slow}}, err
	}
	c, err := j.cover(ctx, pkg)
	p := c.tests(m, text)
	var ways map[string]uint64
	if !j.wider && !isSQL(m) {
		ways = c.ways(m.File)
	}
	first, others := j.likely(pkg, p, c[block{file: m.File}], ways)
	for _, tests := range [][]string{first, others} {
		within := 3 * time.Minute
		for _, test := range tests {
			within += 5 * p[test]
		}
		if len(tests) > 0 {
			stages = append(stages, overlay.Tests{Package: pkg, Run: named(tests), Within: within})
		}
	}
	return stages, err
}

// stages are the tests that run on a mutant, in turn, until one fails.
func (j *judge) stages(ctx context.Context, m mutant, text string) ([]overlay.Tests, error) {
	stages, err := j.own(ctx, m, text)
	if err != nil {
		return nil, err
	}
	for _, a := range also {
		if strings.HasPrefix(m.File, a.files) {
			if _, err := j.profile(ctx, a.pkg); err != nil {
				return nil, err
			}
			stages = append(stages, overlay.Tests{Package: a.pkg, Skip: slow})
		}
	}
	for _, w := range wider {
		if j.wider && strings.HasPrefix(m.File, w.folder+"/") {
			stages = append(stages, w.tests)
		}
	}
	return stages, nil
}

// refused matches PostgreSQL's errors for invalid SQL: a mistake that nobody could ship.
var refused = regexp.MustCompile(`SQLSTATE 42(60|70|71|72|80|83|84|88|P0|P1|P2)\w`)

// judge returns the verdict on a mutant.
func (j *judge) judge(ctx context.Context, m mutant) (result, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(filepath.Join(j.Root, m.File))
	if err != nil {
		return result{}, err
	}
	changed := slices.Concat(text[:m.from], []byte(m.text), text[m.to:])
	table, err := overlay.Write(j.Root, dir, map[string][]byte{m.File: changed})
	if err != nil {
		return result{}, err
	}
	stages, err := j.stages(ctx, m, string(text))
	if err != nil {
		return result{}, err
	}
	started := time.Now()
	r := result{Verdict: survived, File: m.File, Line: m.Line, Kind: m.kind}
	if len(stages) == 0 {
		r.By = "no test comes there"
	}
	for _, tests := range stages {
		seen, err := j.Test(ctx, tests, table)
		switch {
		case ctx.Err() != nil:
			return result{}, ctx.Err()
		case seen.Unbuilt || seen.Failed != "" && isSQL(m) && refused.MatchString(seen.Said):
			r.Verdict = invalid
		case seen.Failed != "" || seen.Broke:
			r.Verdict, r.By = killed, tests.Package+" "+seen.Failed
			top, _, _ := strings.Cut(seen.Failed, "/")
			j.kills[tests.Package+" "+top]++
		case err != nil && len(seen.Passed) > 0, errors.Is(err, overlay.ErrBrokeOff):
			return result{}, err
		default:
			continue
		}
		break
	}
	r.Seconds = time.Since(started).Seconds()
	return r, nil
}
