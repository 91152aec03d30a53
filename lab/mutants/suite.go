package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// suite is the module's tests.
type suite struct{ root string }

// verdict is how a mutant was caught.
type verdict struct {
	*mutant
	seen  []string // package and test, of each package the first that failed
	after []string // from the start of the package's tests
	said  string   // what they printed
}

var errSurvived = errors.New("SURVIVED: no test notices")

// judge runs the mutant's tests on it. Only a test that failed counts: a mutant that does not
// compile, or whose tests break off, was not caught.
func (s suite) judge(ctx context.Context, m *mutant) (verdict, error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return verdict{}, err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(s.root, dir)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{mutant: m}
	for _, t := range m.all() {
		r, err := s.test(ctx, t, overlay)
		if err == nil && r.failed == "" {
			err = fmt.Errorf("%w in %s", errSurvived, t.Package)
		}
		if err != nil {
			return verdict{}, err
		}
		v.seen = append(v.seen, fmt.Sprintf("%s `%s`", strings.TrimPrefix(t.Package, "./"), r.failed))
		v.after = append(v.after, fmt.Sprintf("%.2f s", r.after.Seconds()))
		v.said += r.said
	}
	return v, nil
}

// sound runs the mutants' tests on the code as it is. They must pass there, or they would catch
// anything.
func (s suite) sound(ctx context.Context, mutants []*mutant) error {
	patterns := map[string][]string{}
	for _, m := range mutants {
		for _, t := range m.all() {
			patterns[t.Package] = append(patterns[t.Package], t.Run)
		}
	}
	for pkg, runs := range patterns {
		r, err := s.test(ctx, tests{pkg, strings.Join(runs, "|")}, "")
		if err == nil && r.failed != "" {
			err = fmt.Errorf("%s fails:\n%s", r.failed, r.said)
		}
		if err != nil {
			return fmt.Errorf("%s, as it is: %w", pkg, err)
		}
		fmt.Fprintf(os.Stderr, "%-44s passes as it is\n", pkg)
	}
	return nil
}

// result is how a run of tests ended.
type result struct {
	passed int
	failed string // the first test to fail; "" if none did
	after  time.Duration
	broke  bool   // a panic, or the time-out that is one
	said   string // by the test that failed, or by all
}

// test runs tests with an overlay, if there is one. It is in the environment, so that it also
// reaches the programs that tests build.
func (s suite) test(ctx context.Context, t tests, overlay string) (result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-vet=off", "-count=1", "-failfast", "-timeout=5m", "-run", t.Run, t.Package)
	cmd.Dir, cmd.Env = s.root, os.Environ()
	if overlay != "" {
		cmd.Env = append(cmd.Env, "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // tests stop their servers
	cmd.WaitDelay = time.Minute
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failure := cmd.Run()
	r := collect(&stdout)
	switch {
	case r.failed != "" && !r.broke:
		return r, nil
	case failure != nil:
		return r, fmt.Errorf("the tests of %s broke off: %w\n%s%s", t.Package, failure, r.said, stderr.Bytes())
	case r.passed == 0:
		return r, fmt.Errorf("%s has no tests called %s", t.Package, t.Run)
	default:
		return r, nil
	}
}

// event is one of those that `go test -json` prints.
type event struct {
	Time    time.Time
	Action  string
	Package string
	Test    string
	Output  string
}

func collect(stream io.Reader) (r result) {
	var started time.Time
	var all strings.Builder
	said := map[string]*strings.Builder{}
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if said[e.Test] == nil {
			said[e.Test] = new(strings.Builder)
		}
		said[e.Test].WriteString(e.Output)
		all.WriteString(e.Output)
		r.broke = r.broke || strings.HasPrefix(e.Output, "panic: ")
		switch {
		case e.Action == "start":
			started = e.Time
		case e.Action == "pass" && e.Test != "":
			r.passed++
		case e.Action == "fail" && e.Test != "" && r.failed == "":
			r.failed, r.after, r.said = e.Test, e.Time.Sub(started), said[e.Test].String()
		}
	}
	if r.failed == "" || r.broke {
		r.said = all.String()
	}
	return r
}
