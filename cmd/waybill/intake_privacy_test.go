package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// Of what partners' files say of patients nothing is printed, logged, measured, traced or answered,
// whether it is taken, refused or set aside; only `quarantine show` has it.
func TestPatientsInPartnersFilesAppearNowhere(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.service("patients", "export: {heartbeat: 1h}", nil)
	w.do("migrate", "patients")
	ward := w.sender("ward", wardADT)
	lab := w.sender("lab", labCSV)

	contradiction := strings.Replace(admission(4, "Zwetschgenbaum", true), "|Y\r", "|N\r", 1)
	keyless := strings.Replace(admission(5, "Xylander", false), "5^^^EAST^MR", "^^^EAST^MR", 1)
	ward.leaveBatch(1, admission(1, "Querfurth", false), contradiction)
	ward.leaveBatch(2, admission(2, "Querfurth", true), keyless, strings.ReplaceAll(keyless, "m5", "m6"))
	lab.leave("lab1.csv", "id;name;born;died\n77123456;Wolkenstein;1931-13-41;\n77123457;Ypsilanti;19310401;1.4.26\n\"77123458;Broken\n77123459;Ypsilanti;1931-04-01;2026-04-01\nEND;4\n")
	for _, json := range [][]string{nil, {"--json"}} {
		w.watch(0, nil, append([]string{"partner", "check", "ward"}, json...)...)
		w.watch(0, nil, append([]string{"partner", "check", "lab"}, json...)...)
		w.watch(3, nil, append([]string{"intake", "ward", "--dry-run"}, json...)...)
		w.watch(-1, nil, append([]string{"intake", "lab", "--dry-run"}, json...)...)
	}
	w.watch(3, nil, "intake", "ward")
	w.watch(0, nil, "intake", "lab")
	for _, partner := range []string{"ward", "lab"} {
		w.watch(0, nil, "quarantine", "list", partner)
		w.watch(0, nil, "quarantine", "list", partner, "--all", "--json")
	}
	w.watch(3, nil, "quarantine", "release", "ward", w.item("ward"), "--reason", "again")
	w.watch(3, nil, "quarantine", "release", "lab", w.item("lab"), "--reason", "again", "--json")
	w.exec("patients", `ALTER TABLE patients.patient ADD CHECK (family_name <> 'Rumpelstilz')`)
	ward.leaveBatch(2, admission(7, "Rumpelstilz", false))
	w.watch(3, nil, "intake", "ward")
	w.gather()
	for _, p := range []*sender{ward, lab} {
		for _, name := range p.names() {
			w.seen["the name "+name] = name
			if strings.HasPrefix(name, "out/") {
				w.seen[name] = w.read(filepath.Join(p.place.Path, name))
			}
		}
	}
	if len(w.seen) < 40 {
		t.Fatalf("only %d texts", len(w.seen))
	}
	private := []string{
		"Querfurth", "Zwetschgenbaum", "Xylander", "Rumpelstilz", "Wolkenstein", "Ypsilanti", "Broken", "Otto", "19400102", "1940-01-02",
		"20260228", "2026-02-28", "1931-13-41", "19310401", "1.4.26", "77123456", "77123457", "77123458", "77123459",
	}
	for where, text := range w.seen {
		for _, value := range private {
			if at := occurs(text, value); at >= 0 {
				t.Errorf("%q appears in %s: …%q…", value, where, text[max(0, at-60):min(len(text), at+len(value)+60)])
			}
		}
	}
	if shown := w.do("quarantine", "show", "ward", w.item("ward")); !strings.Contains(shown, "Zwetschgenbaum") {
		t.Errorf("what is looked for is not what was sent: %s", shown)
	}
}

// item is the first record of a partner's that was set aside.
func (w *witness) item(partner string) string {
	w.Helper()
	return w.value(`SELECT min(id)::text FROM intake.quarantine WHERE record AND partner = '` + partner + `'`)
}

const labCSV = `name: "lab*.csv"
order: none
format:
  kind: csv
  csv:
    delimiter: ";"
    trailer: {starts: END, count: 2, totals: warn}
    map:
      key: {column: id, authority: LAB, type: MR}
      family: name
      birth_date: {column: born}
      death: {date: {column: died}}
quarantine_records: 9
report: {folder: out}
`
