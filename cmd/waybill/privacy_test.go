package main_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"waybill/exchange/dir"
	"waybill/lab/hospital"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// distant is the present of the hospital whose patients are looked for: no date of theirs is that
// of a run.
var distant = time.Date(2187, 3, 4, 5, 6, 0, 0, time.UTC)

// witness runs commands with all that can be watched of them switched on, and keeps what they
// print, log, serve and send.
type witness struct {
	*site
	collector *collector
	seen      map[string]string // text by where it was seen
	commands  map[string]bool
}

func newWitness(t testing.TB) *witness {
	return &witness{site: newSite(t), collector: newCollector(t), seen: map[string]string{}, commands: map[string]bool{}}
}

// watch runs a command that must end with the code; -1: with any.
func (w *witness) watch(code int, environment []string, arguments ...string) {
	w.Helper()
	file := filepath.Join(w.dir, arguments[0]+".prom")
	watched := append([]string{"--log", "debug", "--metrics-file", file}, arguments...)
	r := w.run(append(environment, w.collector.environment()...), watched...)
	if code >= 0 && r.code != code {
		w.Errorf("waybill %v: exit %d, want %d\n%s%s", arguments, r.code, code, r.stdout, r.stderr)
	}
	name := fmt.Sprintf("waybill %v (%d)", arguments, len(w.seen))
	w.seen[name+" stdout"], w.seen[name+" stderr"] = r.stdout, r.stderr
	for _, a := range arguments {
		w.commands[a] = true
	}
	w.awaitBackends()
}

// gather adds what was sent, and the names of all files; of files that are no parts, the content.
func (w *witness) gather() {
	w.Helper()
	for i, payload := range w.collector.sent() {
		w.seen[fmt.Sprintf("trace %d", i)] = payload
	}
	err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		w.seen["the name "+path] = path
		if err != nil || entry.IsDir() || strings.Contains(path, "/spool/") || strings.Contains(path, "/parts/") {
			return err
		}
		w.seen[path] = w.read(path)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// What is printed, logged, measured, traced or named holds ids and counts, and nothing of the
// patients themselves, whether it goes well or not.
func TestProofPatientsAppearNowhereButInTheParts(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	options := hospital.Options{Seed: 7, Now: distant, Patients: 60, Appointments: 120}
	if err := hospital.Fill(t.Context(), w.conn["patients"], w.conn["appointments"], options); err != nil {
		t.Fatal(err)
	}
	w.anOrdinaryDay(options)
	w.aBadDay(options)
	w.oldRecordsGo()
	w.sqlThatFails()
	w.rowsThatBreakTheContract()
	w.deliveries()
	w.jobs()
	w.window()
	w.everyOtherCommand()
	w.gather()

	private := w.private()
	if len(private) < 300 || len(w.collector.sent()) < 20 || len(w.seen) < 100 {
		t.Fatalf("%d values, %d payloads, %d texts: too few to tell", len(private), len(w.collector.sent()), len(w.seen))
	}
	for where, text := range w.seen {
		for _, value := range private {
			if at := occurs(text, value); at >= 0 {
				t.Errorf("%q appears in %s: …%q…", value, where, text[max(0, at-60):min(len(text), at+len(value)+60)])
			}
		}
	}
}

func (w *witness) anOrdinaryDay(options hospital.Options) {
	w.Helper()
	w.watch(2, nil, "init", "patients")
	w.watch(0, nil, "migrate")
	w.watch(0, nil, "export")
	if _, err := hospital.Day(w.Context(), w.conn["patients"], options); err != nil {
		w.Fatal(err)
	}
	w.watch(0, nil, "export")
	w.watch(0, nil, "import", "morgue", "--dry-run")
	w.seen["/metrics"] = w.scraped("import", "morgue")
	w.watch(0, nil, "import", "morgue")
	w.watch(0, nil, "import", "appointments")
	w.watch(0, nil, "rerun", "import", "morgue", "--batch", "0..2", "--reapply", "--reason", w.name())
	for _, command := range [][]string{{"status"}, {"batches"}, {"verify"}, {"trace", w.value(`SELECT id::text FROM patients.patient LIMIT 1`)}} {
		w.watch(0, nil, command...)
		w.watch(0, nil, append(command, "--json")...)
	}
}

// aBadDay is one of crashes, brakes, damage and refusals.
func (w *witness) aBadDay(options hospital.Options) {
	w.Helper()
	options.Seed++
	if _, err := hospital.Day(w.Context(), w.conn["patients"], options); err != nil {
		w.Fatal(err)
	}
	w.watch(-1, []string{"WAYBILL_KILL_AT=export.3"}, "export")
	w.watch(0, nil, "export", "--json")
	w.configure("morgue", "import: {instance: east, brake: 1}")
	w.watch(6, nil, "import", "morgue")
	w.watch(6, nil, "status")
	w.watch(0, nil, "import", "morgue", "--approve", "3", "--reason", w.name())
	w.watch(-1, []string{"WAYBILL_KILL_AT=import.3"}, "import", "appointments")
	w.damagePart(3)
	w.watch(3, nil, "import", "appointments")
	w.watch(3, nil, "verify")
	w.watch(0, nil, "repair", "3")
	w.watch(0, nil, "export", "--snapshot")
	w.watch(0, nil, "import", "appointments", "--json")
	w.watch(2, nil, "trace", w.name())
	w.everythingDiffers()
	w.exec("morgue", `ALTER ROLE CURRENT_USER IN DATABASE `+pgx.Identifier{w.value(`SELECT current_database()`, "morgue")}.Sanitize()+` SET default_transaction_read_only = on`)
	w.watch(-1, nil, "import", "morgue")
}

// everythingDiffers reconciles and examines a site whose outbox and projections were edited.
func (w *witness) everythingDiffers() {
	w.Helper()
	source, consumers := filepath.Join(w.dir, "source.half"), filepath.Join(w.dir, "consumers.half")
	w.watch(0, nil, "reconcile", "--side", "source", "--out", source)
	w.exec("patients", `UPDATE patients.outbox SET given_name = family_name, address_city = address_line`)
	w.exec("patients", `UPDATE patients.patient SET given_name = family_name, address_city = address_line`)
	w.exec("morgue", `UPDATE morgue.patient SET given_name = family_name, address_city = address_line`)
	w.exec("morgue", `DELETE FROM morgue.case_file`)
	w.exec("appointments", `DELETE FROM appointments.patient`)
	w.watch(3, nil, "reconcile")
	w.watch(3, nil, "reconcile", "--json", "--since", "yesterday")
	w.watch(3, nil, "reconcile", "--side", "consumers", "--against", source, "--out", consumers)
	for _, ids := range [][]string{nil, {"--ids"}} {
		w.watch(3, nil, append([]string{"reconcile", "patients", "--against", consumers, "--out", source}, ids...)...)
		w.watch(3, nil, append([]string{"reconcile", "morgue", "appointments", "--against", source, "--out", consumers + "-ids"}, ids...)...)
	}
	w.watch(2, nil, "reconcile", "--since", w.name())
	window := []string{"rerun", "export", "--window", "2020-01-01/P100Y"}
	w.watch(3, nil, append(window, "--dry-run")...)
	w.watch(0, nil, append(window, "--dry-run", "--correct", "--json")...)
	w.watch(0, nil, append(window, "--correct", "--reason", w.name())...)
	w.watch(2, nil, "rerun", "import", "morgue", "--window", w.name())
	w.watch(-1, nil, "rerun", "import", "morgue", "--window", "today", "--reason", w.name())
	w.watch(-1, nil, "doctor")
	w.watch(-1, nil, "doctor", "--json")
}

// oldRecordsGo prunes everything, leaves a consumer behind, and erases a patient.
func (w *witness) oldRecordsGo() {
	w.Helper()
	w.watch(0, nil, "export", "--snapshot", "--always")
	w.exec("patients", `SELECT patients.erase_patient(id) FROM patients.patient WHERE death_status = 'formal' AND family_name IS NOT NULL ORDER BY id LIMIT 1`)
	w.watch(0, nil, "export", "--snapshot")
	w.watch(2, nil, "prune", "--keep", w.name())
	w.watch(0, nil, "prune", "--keep", "0", "--dry-run", "--json")
	w.watch(6, nil, "prune", "--keep", "0")
	w.watch(6, nil, "prune", "--keep", "0", "--leave-behind", w.name())
	w.watch(0, nil, "prune", "--keep", "0", "--leave-behind", "appointments@east", "--leave-behind", "morgue@east", "--log", "debug")
	w.watch(3, nil, "import", "appointments")
	w.watch(3, nil, "status")
	snapshot := w.value(`SELECT max(batch)::text FROM exporter.plan WHERE kind = 'snapshot'`)
	w.watch(0, nil, "import", "appointments", "--from-snapshot", snapshot, "--reason", w.name(), "--dry-run")
	w.watch(0, nil, "import", "appointments", "--from-snapshot", snapshot, "--reason", w.name())
	w.watch(-1, nil, "reconcile", "appointments")
	w.watch(0, nil, "prune", "appointments", "--keep", "0")
	w.watch(2, nil, "repair", "1")
}

// sqlThatFails runs a consumer whose statements fail in the ways in which PostgreSQL quotes the row
// or value at fault.
func (w *witness) sqlThatFails() {
	w.Helper()
	w.service("careless", "import: {consumer: ./careless}", nil)
	w.write(block{file: "careless/consumer.yaml", text: "name: careless\nevents: [died, merged, death_retracted]\neffects: {noted: {brake: false, description: noted}}\nchecks: {noted: noted}\n"})
	w.write(block{file: "careless/migrations/00001_tables.sql", text: "-- +goose Up\n" +
		"CREATE TABLE short (name text CHECK (length(name) < 1));\nCREATE TABLE few (name text UNIQUE);\nCREATE TABLE known (name text NOT NULL, id uuid REFERENCES patient);\n"})
	w.write(block{file: "careless/apply.sql", text: "SELECT 1"})
	w.write(block{file: "careless/reconcile.sql", text: "SELECT 'noted', patient_id FROM patient"})
	w.watch(0, nil, "migrate", "careless")
	for _, sql := range []string{
		`SELECT family_name::integer FROM patient`,
		`SELECT address_line::timestamptz FROM patient`,
		`SELECT ('{' || family_name)::jsonb FROM patient`,
		`INSERT INTO short SELECT family_name FROM patient WHERE family_name IS NOT NULL`,
		`INSERT INTO few SELECT given_name FROM patient CROSS JOIN (VALUES (1), (2)) v`,
		`INSERT INTO known SELECT family_name, gen_random_uuid() FROM patient`,
		`SELECT family_name || 1 / (length(family_name) - length(family_name)) FROM patient`,
	} {
		w.write(block{file: "careless/apply.sql", text: sql})
		w.watch(3, nil, "import", "careless")
	}
	w.write(block{file: "careless/apply.sql", text: "SELECT 1"})
	w.watch(0, nil, "consumer", "check", "./careless")
	w.watch(0, nil, "import", "careless")
	for _, sql := range []string{
		`SELECT family_name::integer::text, patient_id FROM patient`,
		`SELECT family_name, patient_id FROM patient`,
		`SELECT 'noted', family_name FROM patient`,
		`SELECT 'noted', family_name, patient_id FROM patient`,
		`SELECT patient_id FROM patient WHERE family_name <> '` + w.name() + `'`,
	} {
		w.write(block{file: "careless/reconcile.sql", text: sql})
		w.watch(3, nil, "reconcile", "careless")
		w.watch(3, nil, "reconcile", "careless", "--json")
	}
	w.write(block{file: "careless/reconcile.sql", text: `SELECT 'noted', patient_id FROM patient`})
	w.exec("patients", `UPDATE patients.patient SET family_name = family_name || '-' || given_name WHERE given_name IS NOT NULL`)
	w.exec("patients", `DROP FUNCTION patients.differ CASCADE`)
	w.exec("patients", `ALTER TABLE patients.outbox ALTER COLUMN birth_date TYPE text`)
	w.exec("patients", `UPDATE patients.outbox SET birth_date = family_name WHERE position = (SELECT max(position) FROM patients.outbox)`)
	w.watch(3, nil, "export")
}

// rowsThatBreakTheContract follows a log whose producer let pass what the contract forbids.
func (w *witness) rowsThatBreakTheContract() {
	w.Helper()
	other := newSite(w.TB)
	place, err := dir.Open(filepath.Join(other.exchange(), schemas.Stream))
	if err != nil {
		w.Fatal(err)
	}
	contract := *schemas.PatientEvents()
	contract.Columns = slices.Clone(contract.Columns)
	contract.Columns[contract.Index("birth_date")].Pattern = nil
	producer := logtest.NewProducer(w.TB, place, time.Now())
	producer.Contract = &contract
	producer.Changes(logtest.State{
		Event: schemas.Died, Patient: patient(0), DeathNo: 1, Status: "formal",
		Earliest: distant, Latest: distant.Add(time.Minute), Precision: "minute", Family: unusualName, BirthDate: unusualDate,
	})
	bad := &witness{site: other, collector: w.collector, seen: w.seen, commands: w.commands}
	bad.watch(3, nil, "import", "morgue")
	bad.watch(3, nil, "verify")
	other.configure("morgue", "import: {instance: east, quarantine_rows: 1}")
	bad.watch(0, nil, "import", "morgue")
	bad.watch(-1, nil, "status", "--json")
	bad.gather()
}

const (
	unusualName = "Zanzibarović"
	unusualDate = "1931-13-99"
)

// window reads the pages that serve shows.
func (w *witness) window() {
	w.Helper()
	address := w.serve()
	w.seen["the page"] = w.get(address)
	w.seen["the page of a patient"] = w.get(address + "trace/" + w.value(`SELECT patient_id::text FROM patients.outbox WHERE event = 'died' LIMIT 1`))
	w.commands["serve"] = true
}

var commandInHelp = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}[A-Z]`)

// everyOtherCommand runs those that are in the help and were not run, as they are.
func (w *witness) everyOtherCommand() {
	w.Helper()
	found := commandInHelp.FindAllStringSubmatch(w.do("--help"), -1)
	if len(found) < 25 {
		w.Fatalf("found only %d commands in the help", len(found))
	}
	for _, command := range found {
		if !w.commands[command[1]] {
			w.watch(-1, nil, command[1])
			if command[1] != "help" && command[1] != "explain" { // which print text
				w.watch(-1, nil, command[1], "--json")
			}
		}
	}
}

// name is a patient's.
func (w *witness) name() string {
	return w.value(`SELECT family_name FROM patients.patient WHERE length(family_name) > 5 ORDER BY id LIMIT 1`)
}

// value returns what a query finds in the patients database, or in that of the service named.
func (w *witness) value(query string, service ...string) (value string) {
	w.Helper()
	conn := w.conn[append(service, "patients")[0]]
	if err := conn.QueryRow(w.Context(), query).Scan(&value); err != nil {
		w.Fatal(err)
	}
	return value
}

// private returns everything that was ever known of anybody, in the forms in which it might show.
func (w *witness) private() []string {
	w.Helper()
	forms := map[string]bool{}
	for _, value := range append(w.facts(), unusualName, unusualDate) {
		// A year, a country or a number of few digits identifies nobody and occurs by accident.
		if digits := strings.Trim(value, "0123456789") == ""; len(value) > 2 && (!digits || len(value) >= 8) {
			for _, form := range []string{value, strings.Trim(strconv.QuoteToASCII(value), `"`), url.QueryEscape(value), url.PathEscape(value)} {
				forms[form] = true
			}
		}
	}
	var list []string
	for form := range forms {
		list = append(list, form)
	}
	return list
}

// facts are the names, addresses, dates and identifiers of the fixtures.
func (w *witness) facts() (facts []string) {
	w.Helper()
	rows, err := w.conn["patients"].Query(w.Context(), `
		SELECT family_name, given_name, birth_date, address_line, address_city, address_postcode, identifiers, death_earliest, death_latest
		FROM patients.outbox
		UNION ALL SELECT family_name, given_name, birth_date, NULL, NULL, NULL, '[]', NULL, NULL FROM patients.patient`)
	if err != nil {
		w.Fatal(err)
	}
	var texts [6]*string
	var identifiers []byte
	var deaths [2]*time.Time
	_, err = pgx.ForEachRow(rows, []any{&texts[0], &texts[1], &texts[2], &texts[3], &texts[4], &texts[5], &identifiers, &deaths[0], &deaths[1]}, func() error {
		for _, text := range texts {
			if text != nil {
				facts = append(facts, *text)
			}
		}
		for _, t := range deaths {
			if t != nil {
				facts = append(facts, t.Format(time.DateOnly), fmt.Sprint(t.Unix()), fmt.Sprint(t.UnixMilli()), fmt.Sprint(t.UnixMicro()))
			}
		}
		var list []struct{ Value string }
		err := json.Unmarshal(identifiers, &list)
		for _, i := range list {
			facts = append(facts, i.Value)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return facts
}

// occurs returns where a value stands in a text as a word of its own, or -1.
func occurs(text, value string) int {
	for from := 0; ; {
		at := strings.Index(text[from:], value)
		if at < 0 {
			return -1
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, size := utf8.DecodeRuneInString(text[at+len(value):])
		if !within(before) && (size == 0 || !within(after)) {
			return at
		}
		from = at + 1
	}
}

func within(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
