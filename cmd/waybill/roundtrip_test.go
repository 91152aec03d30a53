package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"

	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/lab/hospital"
	"waybill/lab/pg/pgtest"
	"waybill/partner/intake"
)

// crossing is one format: how it is delivered here, and read there.
type crossing struct {
	deliver string
	read    string
	death   func(status string) string // as far as the format can say
}

const allOfIt = `
allow: [family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country]
identifiers: [{authority: "*"}]
name: "{sequence:6}"
max_rows: 100
brake: 0
`

func alive(status string) string {
	if status == "void" {
		return "none"
	}
	return status
}

// columns are those of a table that has all that the contract has, and how they are read.
const columns = `
    - {field: patient_id, %[1]s}
    - {field: retired, %[1]s}
    - {field: death_status, %[1]s}
    - {field: death_date, %[1]s}
    - {field: family_name, %[1]s}
    - {field: given_name, %[1]s}
    - {field: birth_date, %[1]s}
    - {field: sex, %[1]s}
    - {field: address_line, %[1]s}
    - {field: address_city, %[1]s}
    - {field: address_postcode, %[1]s}
    - {field: address_country, %[1]s}
    - {identifier: {authority: HUB, type: PN}, %[1]s}
    - {identifier: {authority: "https://fhir.nhs.uk/Id/nhs-number", type: NH}, %[1]s}
    - {identifier: {authority: "https://hospital.example/mrn", type: MR}, %[1]s}
    - {identifier: {authority: "https://st-elsewhere.example/mrn", type: MR}, %[1]s}
    - {identifier: {authority: "https://passports.example", type: PPN}, %[1]s}
    - {identifier: {authority: "https://registrar.example/deaths", type: DEATH}, %[1]s}
`

const columnMap = `
  map:
    key: {column: patient_id, none: true}
    merged: retired
    family: family_name
    given: given_name
    birth_date: {column: birth_date}
    sex: {column: sex}
    address: {line: address_line, city: address_city, postcode: address_postcode, country: address_country}
    death: {status: {column: death_status}, date: {column: death_date}}
    identifiers:
      - {column: own, authority: HUB, type: PN}
      - {column: nhs, authority: "https://fhir.nhs.uk/Id/nhs-number", type: NH}
      - {column: mrn, authority: "https://hospital.example/mrn", type: MR}
      - {column: elsewhere, authority: "https://st-elsewhere.example/mrn", type: MR}
      - {column: passport, authority: "https://passports.example", type: PPN}
      - {column: certificate, authority: "https://registrar.example/deaths", type: DEATH}
    complete: true
    empty: deleted
`

var columnNames = []string{
	"patient_id", "retired", "death_status", "death_date", "family_name", "given_name", "birth_date", "sex",
	"address_line", "address_city", "address_postcode", "address_country", "own", "nhs", "mrn", "elsewhere", "passport", "certificate",
}

func crossings() map[string]crossing {
	const width = 120
	fields := ""
	for i, name := range columnNames {
		fields += fmt.Sprintf("    - {name: %s, from: %d, length: %d}\n", name, i*width+1, width)
	}
	return map[string]crossing{
		"hl7": {
			"format: hl7" + allOfIt,
			"kind: hl7\nhl7: {key: {authority: WAYBILL}, deaths: formal, totals: strict}\n",
			func(status string) string {
				if status == "informal" {
					return "formal" // HL7 does not tell, so the partner is trusted or not as a whole
				}
				return alive(status)
			},
		},
		"csv": {
			"format: csv" + allOfIt + "charset: utf-16le\ncsv:\n  merges: survivor\n  header: false\n  delimiter: ;\n  last: \"T;{rows}\"\n  columns:\n" +
				fmt.Sprintf(columns, "name: x"),
			"kind: csv\ncharset: utf-16\ncsv:\n  delimiter: ;\n  header: none\n  columns: [" + strings.Join(columnNames, ", ") + "]\n" +
				"  trailer: {starts: T, count: 2}\n" + columnMap,
			func(status string) string { return status },
		},
		"fixed": {
			"format: fixed" + allOfIt + "fixed:\n  merges: survivor\n  first: HEAD\n  last: \"TAIL{rows:8}\"\n  columns:\n" +
				fmt.Sprintf(columns, fmt.Sprintf("width: %d", width)),
			"kind: fixed\nfixed:\n" + fmt.Sprintf("  length: %d\n", width*len(columnNames)) +
				"  header: {starts: HEAD}\n  trailer: {starts: TAIL, count: {from: 5, length: 8}}\n  fields:\n" + fields + columnMap,
			func(status string) string { return status },
		},
	}
}

// other is a patients service that knows the first one only from files.
type other struct {
	*partner
	crossing
	conn  *pgx.Conn
	taken map[string]bool // files, by name
}

func (s *site) other(name string, c crossing) *other {
	s.Helper()
	o := &other{partner: s.partner(name, c.deliver), crossing: c, taken: map[string]bool{}}
	url := pgtest.Database(s.TB, func(ctx context.Context, url string) error {
		return errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url))
	}, "patients")
	var err error
	if o.conn, err = pgx.Connect(s.Context(), url); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { o.conn.Close(context.Background()) })
	return o
}

// catchUp delivers what is new, and takes it in there.
func (o *other) catchUp() {
	o.Helper()
	o.do("deliver", o.name)
	var format intake.Format
	if err := yaml.Load([]byte(o.read), &format, yaml.WithKnownFields()); err != nil {
		o.Fatal(err)
	}
	files := o.files()
	for _, name := range sorted(files) {
		if o.taken[name] {
			continue
		}
		o.taken[name] = true
		reading, err := format.Open(name, "waybill", time.Now(), bytes.NewReader([]byte(files[name])))
		if err != nil {
			o.Fatal(err)
		}
		var counts intake.Counts
		err = pgx.BeginFunc(o.Context(), o.conn, func(tx pgx.Tx) error {
			counts, err = intake.Take(o.Context(), tx, "waybill", intake.Dispute, reading.All(), nil)
			return err
		})
		if err != nil || counts.Refused+counts.Disputed+counts.Stale > 0 || len(reading.Warnings()) > 0 {
			o.Fatalf("%s %s: %+v, %v (%v)", o.name, name, counts, reading.Warnings(), err)
		}
	}
}

func sorted(files map[string]string) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// known is what a patients service has of everybody who is not retired, and of the retired in whose
// favour they are. What it keeps of those is of no use to anybody.
func (o *other) known(conn *pgx.Conn, death func(string) string) map[string]string {
	o.Helper()
	rows, err := conn.Query(o.Context(), `
		SELECT p.id::text, coalesce(a.survivor_id::text, ''), p.death_status,
		    concat_ws('|', p.death_earliest, p.death_latest, p.death_precision,
		        p.family_name, '|', p.given_name, '|', p.birth_date, '|', p.sex, '|', p.address_line, '|', p.address_city, '|', p.address_postcode, '|', p.address_country,
		        (SELECT string_agg(concat_ws('/', authority, type, value), ' ' ORDER BY authority, type, value)
		         FROM patients.identifier i WHERE i.patient_id = p.id AND authority <> 'WAYBILL'))
		FROM patients.patient p LEFT JOIN patients.alias a ON a.retired_id = p.id`)
	if err != nil {
		o.Fatal(err)
	}
	all := map[string]string{}
	var id, into, status, rest string
	_, err = pgx.ForEachRow(rows, []any{&id, &into, &status, &rest}, func() error {
		all[id] = death(status) + " " + rest
		if into != "" {
			all[id] = "merged into " + into
		}
		return nil
	})
	if err != nil {
		o.Fatal(err)
	}
	return all
}

func (o *other) agrees(after string) {
	o.Helper()
	here := o.known(o.site.conn["patients"], o.death)
	there := o.known(o.conn, func(status string) string { return status })
	if len(here) < 10 {
		o.Fatalf("only %d patients to compare", len(here))
	}
	if diff := cmp.Diff(here, there); diff != "" {
		o.Fatalf("%s, after %s (-here +there):\n%s", o.name, after, diff)
	}
}

// Log → files → intake at another patients service: vital status with its date, identity and merges
// are the same there, after each of several days of hospital life.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.oddities()
	options := hospital.Options{Seed: 11, Now: time.Now(), Patients: 40, Appointments: 1}
	if err := hospital.Fill(t.Context(), s.conn["patients"], s.conn["appointments"], options); err != nil {
		t.Fatal(err)
	}
	var others []*other
	for name, c := range crossings() {
		others = append(others, s.other(name, c))
	}
	for day := range 3 {
		s.do("export")
		for _, o := range others {
			o.catchUp()
			o.agrees(fmt.Sprintf("day %d", day))
		}
		options.Seed++
		lived, err := hospital.Day(t.Context(), s.conn["patients"], options)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", lived)
		s.moreOddities(day)
	}
}

// oddities are patients whose every value a format may stumble over.
func (s *site) oddities() {
	s.Helper()
	for n, precision := range []string{"year", "month", "day", "minute", "", "void"} {
		s.exec("patients", `INSERT INTO patients.patient (id, family_name, given_name, birth_date, sex, address_line) VALUES ($1, $2, $3, $4, $5, $6)`,
			patient(n), []string{`O'Brien & "Söhne"; |^~\&`, `""`, `Łukasz`, `中村`, `a,b`, `-`}[n], "Test", []string{"1931", "1931-02", "1931-02-28", "2001-01-01", "1999", "1950"}[n], "other",
			`7; High "St"`)
		s.exec("patients", `INSERT INTO patients.identifier (patient_id, authority, type, value) VALUES ($1, 'HUB', 'PN', $2)`, patient(n), fmt.Sprintf("94347659|%d", n))
		from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		to := map[string]time.Time{"year": from.AddDate(1, -2, 0), "month": from.AddDate(0, 1, 0), "day": from.AddDate(0, 0, 1), "minute": from.Add(time.Minute)}
		switch {
		case precision == "year":
			from = from.AddDate(0, -2, 0)
			fallthrough
		case to[precision] != time.Time{}:
			s.exec("patients", `SELECT patients.record_death($1, 'informal', $2, $3, $4)`, patient(n), from, to[precision], precision)
		case precision == "":
			s.exec("patients", `SELECT patients.record_death($1, 'formal')`, patient(n))
		default:
			s.exec("patients", `SELECT patients.record_death($1, 'informal')`, patient(n))
			s.exec("patients", `SELECT patients.record_death($1, 'void')`, patient(n))
		}
	}
}

// moreOddities change what was reported before: values go, deaths are corrected, retracted and reported
// again, the dead are merged with the living and what is retired is changed.
func (s *site) moreOddities(day int) {
	s.Helper()
	switch day {
	case 0:
		s.exec("patients", `UPDATE patients.patient SET address_line = NULL, birth_date = NULL, given_name = NULL WHERE id = $1`, patient(0))
		s.exec("patients", `SELECT patients.record_death($1, 'formal', '2026-03-04Z', '2026-03-05Z', 'day')`, patient(1))
		s.exec("patients", `SELECT patients.record_death($1, 'none')`, patient(2))
		s.exec("patients", `SELECT patients.record_death($1, 'formal', NULL, NULL, NULL)`, patient(3))
		s.exec("patients", `SELECT patients.record_death($1, 'informal')`, patient(5))
		s.exec("patients", `UPDATE patients.identifier SET value = 'another' WHERE patient_id = $1`, patient(0))
	case 1:
		s.exec("patients", `INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)`, patient(0), patient(1))
		s.exec("patients", `INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)`, patient(4), patient(2))
		s.exec("patients", `UPDATE patients.patient SET family_name = 'After' WHERE id = $1`, patient(4))
		s.exec("patients", `SELECT patients.record_death($1, 'formal', '2026-05-04Z', '2026-05-05Z', 'day')`, patient(0))
	}
}
