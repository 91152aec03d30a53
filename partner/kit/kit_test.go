package kit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"waybill/lab/gnupg"
	"waybill/partner"
	"waybill/partner/format/date"
	"waybill/partner/intake"
)

var now = time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

// kitOf writes the kit of a partner's file. It returns its folder, and the reason if it has no samples.
func kitOf(t *testing.T, path string) (string, error) {
	t.Helper()
	p, err := partner.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	folder, program := filepath.Join(t.TempDir(), "kit"), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	noSamples, err := Write(t.Context(), folder, p, p.Location(zone), program, now)
	if err != nil {
		t.Fatal(err)
	}
	return folder, noSamples
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkSamples expects a right file without errors, and a wrong one with several mistakes and its answer.
func checkSamples(t *testing.T, folder string) {
	t.Helper()
	rules, err := Read(filepath.Join(folder, RulesFile))
	if err != nil {
		t.Fatal(err)
	}
	name := rules.Intake.SampleName()
	v, err := rules.Intake.Validate(t.Context(), rules.Partner, filepath.Join(folder, "right", name), now)
	if err != nil || !v.Good() || v.Records != 3 || len(v.Warnings) > 0 {
		t.Errorf("the right file: %+v %v", v, err)
	}
	v, err = rules.Intake.Validate(t.Context(), rules.Partner, filepath.Join(folder, "wrong", name), now)
	if err != nil || v.Good() || v.SetAside < 2 || v.SetAside != v.Records-1 {
		t.Errorf("the wrong file: %+v %v", v, err)
	}
	if diff := cmp.Diff(Text(v), text(t, folder, "wrong", "answer.txt")); diff != "" {
		t.Error(diff)
	}
}

// The kits of the worked partners read files as the partners' own files do, and their samples give the declared
// results.
func TestKitsOfTheWorkedPartners(t *testing.T) {
	files, err := filepath.Glob("../../deploy/partners/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			folder, noSamples := kitOf(t, file)
			if noSamples != nil {
				t.Fatal(noSamples)
			}
			checkSamples(t, folder)
			p, _ := partner.Read(file)
			rules, err := Read(filepath.Join(folder, RulesFile))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p.Intake.Format, rules.Intake.Format, cmpopts.IgnoreUnexported(date.Layout{})); diff != "" {
				t.Error(diff)
			}
			readme := text(t, folder, "README.md")
			for _, c := range columnsOfFormat(&rules.Intake.Format) {
				if !strings.Contains(readme, "| "+c.name+" |") && !strings.Contains(readme, "or "+c.name+" |") {
					t.Errorf("README.md does not explain %s", c.name)
				}
			}
			if program, err := os.Stat(filepath.Join(folder, "waybill")); err != nil || program.Mode()&0o111 == 0 {
				t.Error("no program", err)
			}
		})
	}
}

func columnsOfFormat(f *intake.Format) []column {
	switch {
	case f.CSV != nil:
		return columnsOf(&f.CSV.Map)
	case f.Fixed != nil:
		return columnsOf(&f.Fixed.Map)
	}
	return nil
}

const secret = "hunter2"

// A kit reveals nothing of the site: no address, no password, no comment, not how it watches the partner.
func TestNothingInAKitIsSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gp.yaml")
	settings := strings.ReplaceAll(`# SECRET
partner: gp # SECRET
database: &db "postgres://u:SECRET@db/x" # SECRET
log: s3://SECRET/x
log_password: SECRET
store: sftp://u@SECRET/x
store_password: SECRET
allow_plaintext: "for SECRET"
zone: Europe/Paris
# SECRET
intake: # SECRET
  # SECRET
  name: "gp*" # SECRET
  source: &s GP
  brake: 777 # SECRET
  grace: 7h
  silence: 777h
  identity_change: allow
  format: # SECRET
    kind: csv
    csv: {map: {key: {column: Id, authority: *s}}} # SECRET
    # SECRET
# SECRET
`, "SECRET", secret)
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, _ := kitOf(t, path)
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			for _, word := range []string{secret, "postgres", "777", "brake", "grace", "silence", "identity_change"} {
				if strings.Contains(text(t, path), word) {
					t.Errorf("%s holds %q", path, word)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := Read(filepath.Join(folder, RulesFile))
	if err != nil {
		t.Fatal(err)
	}
	if rules.Zone != "Europe/Paris" || rules.Intake.Source != "GP" || rules.Intake.Format.CSV.Map.Key.Authority != "GP" {
		t.Errorf("%+v", rules.Intake.Format.CSV.Map)
	}
}

// Samples are made from unusual rules, too.
func TestSamplesOfOddRules(t *testing.T) {
	const mapped = `map: {key: {column: nr, authority: GP, type: MR}, name: {column: name, pattern: "{given} {family}"}, birth_date: {year: y, month: m, day: d}, death: {date: {column: died, format: dd.mm.yyyy}}}`
	for name, c := range map[string]struct{ format, noSamples string }{
		"no header":       {`{kind: csv, csv: {header: none, columns: [nr, x, name, y, m, d, died], delimiter: tab, quote: none, ` + mapped + `}}`, ""},
		"exact, trailer":  {`{kind: csv, csv: {header: exact, skip: 2, columns: [x, x, nr, name, y, m, d, died], added: refuse, trailer: {starts: END, count: 3, extra: 1}, ` + mapped + `}}`, ""},
		"renamed":         {`{kind: csv, charset: utf-16, csv: {renamed: {Number: nr, Name der Person: name}, ` + mapped + `}}`, ""},
		"a form":          {`{kind: csv, forms: [{authority: GP, pattern: "(GP|X)-[0-9]{6}[A-F]+"}], csv: {` + mapped + `}}`, ""},
		"NHS":             {`{kind: csv, csv: {map: {key: {column: nhs, type: NH}, birth_date: {column: born}, death: {status: {column: v, values: {A: none, D: formal}}, date: {column: v}}}}}`, ""},
		"zipped":          {`{kind: csv, container: zip, members: "*.csv", csv: {` + mapped + `}}`, ""},
		"zstd":            {`{kind: fhir, container: zstd}`, ""},
		"several lines":   {`{kind: fixed, fixed: {length: 60, lines: {head: "1", more: ["2", "3"], lengths: {"2": 40}}, header: {starts: H}, trailer: {starts: T, count: {from: 5, length: 6}, of: lines}, fields: [{name: nr, from: 2, length: 8}, {name: nr, from: 2, length: 8, line: "2"}, {name: name, from: 10, length: 40}, {name: y, from: 10, length: 4, line: "2"}, {name: m, from: 14, length: 2, line: "2"}, {name: d, from: 16, length: 2, line: "2"}, {name: died, from: 20, length: 10, line: "2"}], ` + mapped + `}}`, ""},
		"characters":      {`{kind: fixed, charset: utf-16le, fixed: {length: 60, unit: characters, fields: [{name: nr, from: 1, length: 8}, {name: name, from: 10, length: 30}, {name: y, from: 40, length: 4}, {name: m, from: 44, length: 2}, {name: d, from: 46, length: 2}, {name: died, from: 50, length: 10}], ` + mapped + `}}`, ""},
		"no line ends":    {`{kind: fixed, fixed: {length: 60, ends: none, fields: [{name: nr, from: 1, length: 8}, {name: name, from: 10, length: 30}, {name: y, from: 40, length: 4}, {name: m, from: 44, length: 2}, {name: d, from: 46, length: 2}, {name: died, from: 50, length: 10}], ` + mapped + `}}`, ""},
		"HL7, authority":  {`{kind: hl7, hl7: {key: {authority: ours, type: PI}, authorities: {THEIRS: ours}, totals: strict}}`, ""},
		"HL7, any number": {`{kind: hl7}`, ""},
		"HL7 in PID-2":    {`{kind: hl7, hl7: {identifiers: [pid-2]}}`, "PID-3: no identifier of the key's authority and type"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gp.yaml")
			if err := os.WriteFile(path, []byte("partner: gp\nservice: patients\nstore: /x\nintake:\n  name: \"gp_{sequence:4}.x\"\n  quarantine_records: 5\n  format: "+c.format+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			folder, noSamples := kitOf(t, path)
			if noSamples != nil || c.noSamples != "" {
				if c.noSamples == "" || noSamples == nil || !strings.HasPrefix(noSamples.Error(), c.noSamples) {
					t.Errorf("no samples: %v, want %q", noSamples, c.noSamples)
				}
				return
			}
			checkSamples(t, folder)
		})
	}
}

func TestAKitHasAFolderOfItsOwn(t *testing.T) {
	p, err := partner.Read("../../deploy/partners/gp_csv.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), folder, p, time.UTC, "/proc/self/exe", now); err == nil || !strings.Contains(err.Error(), "the folder is not empty") {
		t.Error(err)
	}
}

func TestRulesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"partner: gp\nzone: UTC\nintake: {name: x, format: {kind: csv}}": "line 3: intake.format.csv: missing",
		"partner: gp\nzone: UTC\nstore: /x":                              `line 3: no setting "store"`,
		"partner: gp\nzone: UTC":                                         "these are not the rules of a kit: partner, zone and intake are needed",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A partner who encrypts gets our public keys, and a kit that judges the file before it is encrypted.
func TestAKitSaysHowFilesAreSealed(t *testing.T) {
	t.Parallel()
	g := gnupg.New(t)
	ours := g.Key("us@example.org", "ed25519", "never")
	identity, public := g.Identity()
	path := filepath.Join(t.TempDir(), "gp.yaml")
	settings := "partner: gp\nservice: patients\nstore: /nowhere\nintake:\n  name: \"*.hl7\"\n  format: {kind: hl7}\n" +
		"  open: {openpgp: [" + g.Private(ours) + "], age: [" + identity + "], signed_by: [" + g.Public(ours) + "], signature: \"{name}.sig\"}\n"
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := kitOf(t, path)
	if err != nil {
		t.Fatal(err)
	}
	checkSamples(t, folder)
	for _, said := range []string{"It is complete when it has its name", "OpenPGP " + ours, public, ".gpg", "gpg --detach-sign"} {
		if !strings.Contains(text(t, folder, "README.md"), said) {
			t.Errorf("README.md does not say %s", said)
		}
	}
	if rules := text(t, folder, RulesFile); strings.Contains(rules, identity) || strings.Contains(rules, "open") {
		t.Errorf("the rules name our files: %s", rules)
	}
}
