package inbox_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"waybill/partner"
	"waybill/partner/intake/inbox"
	"waybill/partner/kit"
)

// reading says how files are to be read.
type reading struct {
	files  string // a pattern
	format yaml.Node
}

const (
	kis = `{kind: hl7, zone: Europe/Berlin, hl7: {key: {authority: KIS, type: PI}}}`
	lab = `{kind: csv, zone: Europe/Berlin, csv: {map: {key: {column: ID, authority: LAB, type: MR}, family: FAMILY, given: GIVEN, birth_date: {column: BORN}, death: {date: {column: DIED}}}}}`
)

func load(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := yaml.Load(text, into); err != nil {
		t.Fatal(err)
	}
}

// worked returns the samples of the worked partners, and those of their kits.
func worked(t *testing.T) (all []reading) {
	t.Helper()
	worked, err := filepath.Glob("../../../deploy/partners/*.yaml")
	if err != nil || len(worked) == 0 {
		t.Fatal(worked, err)
	}
	for _, file := range worked {
		var p struct {
			Intake struct{ Format yaml.Node }
		}
		load(t, contents(t, file), &p)
		name, folder := strings.TrimSuffix(filepath.Base(file), ".yaml"), filepath.Join(t.TempDir(), "kit")
		owner, err := partner.Read(file)
		if err == nil {
			_, err = kit.Write(t.Context(), folder, owner, owner.Location(time.UTC), os.DevNull, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, reading{filepath.Join(filepath.Dir(file), "samples", name, "*"), p.Intake.Format}, reading{filepath.Join(folder, "wrong", "*"), p.Intake.Format})
	}
	return all
}

// shared returns the folder with samples of other projects and files that were once read wrongly. They do not
// belong to the project.
func shared(t *testing.T) string {
	t.Helper()
	shared := filepath.Join("..", "..", "..", "..", "shared")
	if folder := os.Getenv("WAYBILL_SAMPLES"); folder != "" {
		shared = filepath.Dir(folder)
	}
	if _, err := os.Stat(shared); os.IsNotExist(err) {
		t.Skipf("no samples: set WAYBILL_SAMPLES (looked next to %s)", shared)
	}
	return shared
}

// others returns the samples of other projects.
func others(t *testing.T) (all []reading) {
	t.Helper()
	var declared []struct {
		Files, As string
		Format    yaml.Node
	}
	load(t, contents(t, "../testdata/samples.yaml"), &declared)
	for _, d := range declared {
		all = append(all, reading{filepath.Join(shared(t), "samples", d.Files), d.Format})
	}
	return all
}

// cases returns the files that were once read wrongly.
func cases(t *testing.T) (all []reading) {
	t.Helper()
	for pattern, format := range map[string]string{"*.hl7": kis, "*.csv": lab, "*.ndjson": "{kind: fhir}", "*.json": "{kind: fhir}"} {
		var node yaml.Node
		load(t, []byte(format), &node)
		for _, depth := range []string{"", "*"} {
			all = append(all, reading{filepath.Join(shared(t), "cases", depth, pattern), *node.Content[0]})
		}
	}
	return all
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// known are the reasons that need the database.
var known = regexp.MustCompile("another message was taken under its control id|" +
	"a death or merge under the key of a patient|reports a death before the birth date that is known|reports a patient alive|unlink")

// A partner's validation and a run say the same of a file, in the same words, except what needs the database.
func TestAValidationHasTheRunsReasons(t *testing.T) {
	t.Run("worked", func(t *testing.T) { judge(t, worked(t)) })
	t.Run("cases", func(t *testing.T) { judge(t, cases(t)) })
}

func TestProofAValidationHasTheRunsReasonsForEverySample(t *testing.T) { judge(t, others(t)) }

// judge tries files in two ways: all records may be set aside, or none.
func judge(t *testing.T, all []reading) {
	t.Helper()
	d := newDesk(t, "")
	seen, aside := map[string]bool{}, int64(0)
	for _, r := range all {
		matches, err := filepath.Glob(r.files)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range matches {
			if seen[path] {
				continue // the first pattern counts
			}
			seen[path] = true
			format, err := yaml.Dump(&r.format)
			if err != nil {
				t.Fatal(err)
			}
			for _, allowed := range []string{"100000", "0"} {
				d.settings = "name: \"*\"\nbrake: 0\nquarantine_records: " + allowed + "\nformat:\n  " + strings.ReplaceAll(strings.TrimSpace(string(format)), "\n", "\n  ")
				v := d.validate(path)
				s, err := d.inbox().Try(t.Context(), path)
				if len(s.Files) != 1 {
					t.Fatalf("%s: %v", path, err)
				}
				compare(t, filepath.Base(path), v, s.Files[0])
				if aside += v.SetAside; v.SetAside == 0 {
					break // and none is
				}
			}
		}
	}
	if t.Logf("%d files, %d records set aside", len(seen), aside); aside == 0 {
		t.Error("nothing was set aside")
	}
}

func (d *desk) validate(path string) inbox.Validation {
	d.Helper()
	s := d.inbox().Settings
	v, err := s.Validate(d.Context(), "gp", path, time.Now())
	if err != nil {
		d.Fatal(err)
	}
	return v
}

func compare(t *testing.T, name string, v inbox.Validation, f inbox.FileResult) {
	t.Helper()
	if v.Reason != f.Reason && !known.MatchString(f.Reason) {
		t.Errorf("%s: refused because %q, and by the run because %q", name, v.Reason, f.Reason)
	}
	if f.Status == "refused" {
		return // its records are in the reason
	}
	type said struct {
		Where   string
		Control string
		Reason  string
	}
	var ours, theirs []said
	for _, r := range v.Refused {
		ours = append(ours, said{inbox.Line(r.Member, int64(r.Line)), r.Control, r.Reason})
	}
	for _, r := range f.Records {
		if r.Outcome == "quarantined" && !known.MatchString(r.Reason) {
			theirs = append(theirs, said{inbox.Line(r.Member, int64(r.Line)), r.Control, r.Reason})
		}
	}
	if diff := cmp.Diff(theirs[:min(len(theirs), len(ours))], ours); diff != "" || v.SetAside != int64(len(theirs)) {
		t.Errorf("%s: %d set aside, and %d by the run; -run +validation\n%s", name, v.SetAside, len(theirs), diff)
	}
	if warnings := slices.DeleteFunc(slices.Clone(f.Warnings), func(w string) bool { return known.MatchString(w) }); !cmp.Equal(warnings, v.Warnings) {
		t.Errorf("%s: warnings %q, and by the run %q", name, v.Warnings, warnings)
	}
}

func TestAValidationKnowsTheFilesRules(t *testing.T) {
	folder := t.TempDir()
	path := func(name, content string) string {
		at := filepath.Join(folder, name)
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	d := &desk{TB: t, settings: "name: \"gp_{sequence:4}.csv\"\nmax_mib: 1\nquarantine_records: 1\nformat: " + lab}
	const head = "ID,FAMILY,GIVEN,BORN,DIED\n"
	for _, c := range []struct{ name, content, reason, misnamed string }{
		{"gp_0001.csv", head + "1,A,B,,\n2,A,B,,2026-01-01\n", "", ""},
		{"gp_0002.csv", "", "the file is empty", ""},
		{"gp_0003.csv", head + ",A,B,,\n0,A,B,,\n", "2 of 2 records can't be taken, and quarantine_records allows 1; the first: line 2: no id", ""},
		{"gp_0004.csv", head + strings.Repeat("1,A,B,,\n", 200_000), "the file is larger than max_mib allows", ""},
		{"gp_5.csv", head + "1,A,B,,\n", "", "a file of this name is not looked at: names are like gp_0001.csv"},
		{"gp_0006.csv.tmp", head + "1,A,B,,\n", "", "a file of this name is not looked at: names are like gp_0001.csv"},
	} {
		v := d.validate(path(c.name, c.content))
		if v.Reason != c.reason || v.Misnamed != c.misnamed || v.Good() != (c.reason+c.misnamed == "") {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	v := d.validate(path("gp_0007.csv", head+"1,A,B,,2999-01-01\n"))
	if len(v.Refused) != 1 || v.Refused[0].Reason != "the death lies in the future" || v.Status != "taken" || v.Good() {
		t.Errorf("%+v", v)
	}
	if _, err := d.inbox().Settings.Validate(t.Context(), "gp", folder, time.Now()); err == nil || !strings.Contains(err.Error(), "it is no file") {
		t.Error(err)
	}
}
