package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

//go:embed excused.yaml
var excused []byte

// excuse is the reason why a mutant survives. It names the mutant by its text, so it stays valid if lines move.
type excuse struct {
	File   string `yaml:"file"`
	Change string `yaml:"change"`
	// One of the two: the mutant changes nothing visible, or a test would cost too much.
	Equivalent string `yaml:"equivalent"`
	Survives   string `yaml:"survives"`
}

// loadExcuses reads excused.yaml; with whole, each must be of a mutant that exists.
func loadExcuses(all []mutant, whole bool) (map[string]excuse, error) {
	var list []excuse
	if err := yaml.Load(excused, &list, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("excused.yaml: %w", err)
	}
	excuses := map[string]excuse{}
	for _, e := range list {
		name := mutant{File: e.File, Change: e.Change}.name()
		if (e.Equivalent == "") == (e.Survives == "") {
			return nil, fmt.Errorf("excused.yaml: %s: it needs one reason: equivalent or survives", name)
		}
		if whole && !slices.ContainsFunc(all, func(m mutant) bool { return m.name() == name }) {
			return nil, fmt.Errorf("excused.yaml: no mutant is %s", name)
		}
		excuses[name] = e
	}
	return excuses, nil
}

// results are the verdicts so far, and how long the tests of each package took on the code as it is.
type results struct {
	file     string
	Mutants  map[string]result
	Profiles map[string]profile // by package and the state of its folder
}

func open(file string) (*results, error) {
	r := &results{file, map[string]result{}, map[string]profile{}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(data, r)
}

func (r *results) save() error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(r.file, data, 0o600)
}

// kills counts what each test has killed.
func (r *results) kills() map[string]int {
	kills := map[string]int{}
	for _, one := range r.Mutants {
		if one.Verdict == killed {
			pkg, test, _ := strings.Cut(one.By, " ")
			test, _, _ = strings.Cut(test, "/")
			kills[pkg+" "+test]++
		}
	}
	return kills
}

// area is a row of the table.
type area struct{ mutants, killed, survived, reason, equivalent, invalid int }

func (a area) score() string {
	if ran := a.killed + a.survived + a.reason; ran > 0 {
		return fmt.Sprintf("%d %%", 100*a.killed/ran)
	}
	return "–"
}

// few is a number of mutants that is too small to fail a suite.
const few = 10

// report prints a row for each area, and what survived without a reason. It fails if fewer than least in 100
// were killed.
func (r *results) report(w io.Writer, all, chosen []mutant, excuses map[string]excuse, least int) error {
	areas := map[string]*area{}
	for _, m := range all {
		if areas[areaOf(m)] == nil {
			areas[areaOf(m)] = new(area)
		}
		areas[areaOf(m)].mutants++
	}
	var sum area
	for _, m := range chosen {
		e, isExcused := excuses[m.name()]
		one, judged := r.Mutants[m.name()]
		for _, a := range []*area{areas[areaOf(m)], &sum} {
			switch {
			case e.Equivalent != "":
				a.equivalent++
			case isExcused:
				a.reason++
			case judged && one.Verdict == killed:
				a.killed++
			case judged && one.Verdict == invalid:
				a.invalid++
			case judged:
				a.survived++
			}
		}
		if judged && !isExcused && one.Verdict == survived {
			fmt.Fprintf(w, "SURVIVED %s:%d: %s: %s %s\n", m.File, m.Line, m.kind, m.Change, one.By)
		}
	}
	fmt.Fprintln(w, "\n| area | mutants | killed | survived | survived, with a reason | equivalent | refused by the compiler or PostgreSQL | killed |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, name := range slices.Sorted(maps.Keys(areas)) {
		a := areas[name]
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %s |\n", name, a.mutants, a.killed, a.survived, a.reason, a.equivalent, a.invalid, a.score())
	}
	judged := sum.killed + sum.survived + sum.reason
	fmt.Fprintf(w, "\n%d of %d mutants were judged: %s killed.\n", judged+sum.equivalent+sum.invalid, len(all), sum.score())
	if judged >= few && 100*sum.killed < least*judged {
		return fmt.Errorf("fewer than %d %% were killed: write the tests that the survivors ask for, or name them in lab/mutate/excused.yaml with the reason", least)
	}
	return nil
}

// areaOf returns a mutant's folder, and whether it is SQL.
func areaOf(m mutant) string {
	dir := strings.TrimSuffix(path.Dir(m.File), "/migrations")
	if isSQL(m) {
		return dir + ", SQL"
	}
	return dir
}

func isSQL(m mutant) bool { return path.Ext(m.File) == ".sql" || strings.HasPrefix(m.kind, "SQL: ") }
