package overlay

import (
	"bufio"
	"bytes"
	"cmp"
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

// Suite is the tests of the module in the folder Root.
type Suite struct{ Root string }

// Tests are the tests of one package that match Run and don't match Skip.
type Tests struct {
	Package string        `yaml:"package"`
	Run     string        `yaml:"run"`
	Skip    string        `yaml:"-"`
	Within  time.Duration `yaml:"-"` // seven minutes, unless it is given
}

// Result is how a run of tests ended.
type Result struct {
	Passed  map[string]time.Duration // how long each test took
	Failed  string                   // the first test to fail; "" if none did
	After   time.Duration
	Broke   bool   // a panic, also that of a time-out
	Unbuilt bool   // it does not compile
	Said    string // by the test that failed, or by all
}

// ErrBrokeOff is the error of tests that neither pass nor fail.
var ErrBrokeOff = errors.New("broke off")

// Test runs tests with an overlay, if there is one. It is in the environment, so that it also
// reaches the programs that tests build. A run without a test that failed or passed is an error.
func (s Suite) Test(ctx context.Context, t Tests, overlay string) (Result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-vet=off", "-count=1", "-failfast",
		"-timeout="+cmp.Or(t.Within, 7*time.Minute).String(), "-run="+t.Run, "-skip="+t.Skip, t.Package)
	cmd.Dir, cmd.Env = s.Root, os.Environ()
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
	case r.Failed != "" && !r.Broke:
		return r, nil
	case failure != nil:
		return r, fmt.Errorf("the tests of %s %w: %w\n%s%s", t.Package, ErrBrokeOff, failure, r.Said, stderr.Bytes())
	case len(r.Passed) == 0:
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
	Elapsed float64 // seconds
}

func collect(stream io.Reader) (r Result) {
	r.Passed = map[string]time.Duration{}
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
		r.Broke = r.Broke || strings.HasPrefix(e.Output, "panic: ")
		switch {
		case e.Action == "build-fail":
			r.Unbuilt = true
		case e.Action == "start":
			started = e.Time
		case e.Action == "pass" && e.Test != "":
			r.Passed[e.Test] = time.Duration(e.Elapsed * float64(time.Second))
		case e.Action == "fail" && e.Test != "" && r.Failed == "":
			r.Failed, r.After, r.Said = e.Test, e.Time.Sub(started), said[e.Test].String()
		}
	}
	if r.Failed == "" || r.Broke {
		r.Said = all.String()
	}
	return r
}
