package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"waybill/lab/overlay"
)

// suite is the module's tests.
type suite struct{ overlay.Suite }

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
	sources, err := m.apply(s.Root)
	if err != nil {
		return verdict{}, err
	}
	changed, err := overlay.Write(s.Root, dir, sources)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{mutant: m}
	for _, t := range m.all() {
		r, err := s.Test(ctx, t, changed)
		if err == nil && r.Failed == "" {
			err = fmt.Errorf("%w in %s", errSurvived, t.Package)
		}
		if err != nil {
			return verdict{}, err
		}
		v.seen = append(v.seen, fmt.Sprintf("%s `%s`", strings.TrimPrefix(t.Package, "./"), r.Failed))
		v.after = append(v.after, fmt.Sprintf("%.2f s", r.After.Seconds()))
		v.said += r.Said
	}
	return v, nil
}

// sound runs the mutants' tests on the unchanged code. They must pass there, otherwise they would
// catch any mutant.
func (s suite) sound(ctx context.Context, mutants []*mutant) error {
	patterns := map[string][]string{}
	for _, m := range mutants {
		for _, t := range m.all() {
			patterns[t.Package] = append(patterns[t.Package], t.Run)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for pkg, runs := range patterns {
		group.Go(func() error { return s.passes(ctx, pkg, runs) })
	}
	return group.Wait()
}

func (s suite) passes(ctx context.Context, pkg string, runs []string) error {
	r, err := s.Test(ctx, overlay.Tests{Package: pkg, Run: strings.Join(runs, "|")}, "")
	if err == nil && r.Failed != "" {
		err = fmt.Errorf("%s fails:\n%s", r.Failed, r.Said)
	}
	if err != nil {
		return fmt.Errorf("%s, as it is: %w", pkg, err)
	}
	fmt.Fprintf(os.Stderr, "%-44s passes as it is\n", pkg)
	return nil
}
