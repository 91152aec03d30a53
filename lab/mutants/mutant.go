package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"waybill/lab/overlay"
)

//go:embed planted/*.yaml
var files embed.FS

// mutant is one mistake, as its file in planted/ describes it.
type mutant struct {
	Name    string        `yaml:"-"`       // of its file
	Mistake string        `yaml:"mistake"` // what somebody did, in one sentence
	Edits   []edit        `yaml:"edits"`
	Tests   overlay.Tests `yaml:"tests"` // that are to notice
	Also    overlay.Tests `yaml:"also"`  // of another package, which must notice too
	Bug     *bug          `yaml:"bug"`   // nil: nobody has made this mistake here
}

// bug is a mistake that was in this code: when it was repaired, and what found it.
type bug struct {
	Date  string `yaml:"date"`
	Found string `yaml:"found"`
}

// all returns the tests of each package that must notice.
func (m *mutant) all() []overlay.Tests {
	if m.Also.Package == "" {
		return []overlay.Tests{m.Tests}
	}
	return []overlay.Tests{m.Tests, m.Also}
}

// edit replaces a text that occurs once in a file.
type edit struct {
	File string `yaml:"file"`
	Old  string `yaml:"old"`
	New  string `yaml:"new"`
}

// load reads the mutants in planted/, in order of their names.
func load(folder fs.FS) ([]*mutant, error) {
	files, err := fs.Glob(folder, "planted/*.yaml")
	if err != nil {
		return nil, err
	}
	mutants := make([]*mutant, len(files))
	for i, file := range files {
		if mutants[i], err = read(folder, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return mutants, nil
}

func read(folder fs.FS, file string) (*mutant, error) {
	data, err := fs.ReadFile(folder, file)
	if err != nil {
		return nil, err
	}
	m := &mutant{Name: strings.TrimSuffix(path.Base(file), ".yaml")}
	if err := yaml.Load(data, m, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	if m.Mistake == "" || len(m.Edits) == 0 || m.Tests.Package == "" || m.Tests.Run == "" {
		return nil, errors.New("it needs a mistake, edits, and the package and names of its tests")
	}
	return m, nil
}

// choose returns the mutants of these names; all of them if there are none.
func choose(mutants []*mutant, names []string) ([]*mutant, error) {
	if len(names) == 0 {
		return mutants, nil
	}
	chosen := make([]*mutant, len(names))
	for i, name := range names {
		at := slices.IndexFunc(mutants, func(m *mutant) bool { return m.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("no mutant is called %q", name)
		}
		chosen[i] = mutants[at]
	}
	return chosen, nil
}

// every returns the Kth of each N mutants, for a share such as "3/8".
func every(mutants []*mutant, share string) (chosen []*mutant, err error) {
	var k, n int
	if _, err := fmt.Sscanf(share, "%d/%d", &k, &n); err != nil || k < 0 || k >= n {
		return nil, fmt.Errorf("-share %q: write K/N, with K from 0 to N-1", share)
	}
	for i := k; i < len(mutants); i += n {
		chosen = append(chosen, mutants[i])
	}
	return chosen, nil
}

var errStale = errors.New("stale: the code has moved on; see to the mutant")

// apply returns the mutant's sources, by their names below root.
func (m *mutant) apply(root string) (map[string][]byte, error) {
	sources := map[string][]byte{}
	for _, e := range m.Edits {
		text, edited := sources[e.File]
		if !edited {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, e.File)); err != nil {
				return nil, fmt.Errorf("%w: %w", errStale, err)
			}
		}
		if n := bytes.Count(text, []byte(e.Old)); n != 1 {
			return nil, fmt.Errorf("%w: a text to replace occurs %d times in %s", errStale, n, e.File)
		}
		sources[e.File] = bytes.Replace(text, []byte(e.Old), []byte(e.New), 1)
	}
	return sources, nil
}
