package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// service connects to a patients service's database of the test's own.
func service(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t, patients.Migrate, "patients"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// load opens a file and loads it, and gives the reasons only where they are of interest.
func load(t testing.TB, conn *pgx.Conn, r io.Reader) Counts {
	t.Helper()
	opened, err := Patients("test", r, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	counts, err := Load(t.Context(), conn, "ward", opened.All)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func expectCounts(t testing.TB, got, want Counts) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Counts{}, "Reasons")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// column returns the only column of a query's rows as text.
func column(t testing.TB, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func events(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	return column(t, conn, "SELECT format('%s %s v%s%s', coalesce(family_name, '-'), event, version, CASE WHEN baseline THEN ' baseline' END) FROM patients.outbox ORDER BY family_name, patient_id, version")
}

func TestLoadingAFile(t *testing.T) {
	conn := service(t)
	counts := load(t, conn, openFixture(t, "patients.ndjson"))
	expectCounts(t, counts, Counts{Read: 8, Dead: 3, Inserted: 5, Refused: 3})
	expect(t, counts.Reasons[0], Refused{5, "Observation, not Patient"})
	first := []string{
		"Marsh died v1 baseline", "Quill died v1 baseline", "Reed registered v1",
		"- died v1 baseline", "- registered v1",
	}
	expect(t, events(t, conn), first)
	expect(t, column(t, conn, `SELECT row(family_name, given_name, birth_date, sex, death_status, death_earliest AT TIME ZONE 'UTC',
		death_latest AT TIME ZONE 'UTC', death_precision, address_line, address_city, address_postcode, address_country)::text
		FROM patients.patient WHERE family_name = 'Quill'`),
		[]string{`(Quill,"Ada May",1950-02-03,female,formal,"2024-05-06 05:08:00","2024-05-06 05:09:00",minute,"1 Wharf Lane, Flat 2",Porthaven,"PH1 2AB",XX)`})
	expect(t, column(t, conn, "SELECT row(patient_id, authority, type, value)::text FROM patients.identifier"),
		[]string{"(0a1b2c3d-0000-4000-8000-000000000001,http://mrn.example.org,MR,000017)"})

	again := load(t, conn, openFixture(t, "patients.ndjson"))
	expectCounts(t, again, Counts{Read: 8, Dead: 3, Unchanged: 5, Refused: 3})
	expect(t, events(t, conn), first)
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.intake_row"), []string{"0"})
}

func patientLine(fields string) string {
	return `{"resourceType":"Patient","id":"17","name":[{"family":"Quill"}]` + fields + "}\n"
}

func TestWhatALaterFileSaysOfADeath(t *testing.T) {
	dead, informally := `,"deceasedDateTime":"2024-05-06"`, `,"deceasedDateTime":"2024-05",`+extensions(notification("1"))
	for name, c := range map[string]struct {
		file   string
		want   []string
		status string
	}{
		"nothing":                  {patientLine(""), nil, "formal"},
		"that there was none":      {patientLine(`,"deceasedBoolean":false`), []string{"Quill death_retracted v2"}, "none"},
		"that it is void":          {patientLine("," + extensions(notification("U"))), []string{"Quill death_retracted v2"}, "void"},
		"less, and informally":     {patientLine(informally), nil, "formal"},
		"another date":             {patientLine(`,"deceasedDateTime":"2024-05-07"`), []string{"Quill death_corrected v2"}, "formal"},
		"none, then another death": {patientLine(`,"deceasedBoolean":false`) + patientLine(dead), nil, "formal"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := service(t)
			load(t, conn, strings.NewReader(patientLine(dead)))
			load(t, conn, strings.NewReader(c.file))
			expect(t, events(t, conn), append([]string{"Quill died v1 baseline"}, c.want...))
			expect(t, column(t, conn, "SELECT death_status FROM patients.patient"), []string{c.status})
		})
	}
}

func TestTheSameIDOfTwoSourcesIsTwoPatients(t *testing.T) {
	conn := service(t)
	for _, source := range []string{"ward", "clinic"} {
		opened, err := Patients("test", strings.NewReader(patientLine("")), Options{Source: source})
		if err != nil {
			t.Fatal(err)
		}
		counts, err := Load(t.Context(), conn, source, opened.All)
		if err != nil {
			t.Fatal(err)
		}
		expectCounts(t, counts, Counts{Read: 1, Inserted: 1})
	}
}

func TestAnIdentifierStaysWithItsPatient(t *testing.T) {
	conn := service(t)
	const identifier = `"identifier":[{"system":"a","value":"1"}]`
	counts := load(t, conn, strings.NewReader(`{"resourceType":"Patient","id":"1",`+identifier+`}`+"\n"+`{"resourceType":"Patient","id":"2",`+identifier+`}`))
	expectCounts(t, counts, Counts{Read: 2, Inserted: 2, Conflicts: 1})
}

// A file that ends in the middle of a record that can't be told from the next leaves nothing.
func TestAFileThatBreaksLoadsNothing(t *testing.T) {
	lost := errors.New("connection lost")
	for name, c := range map[string]struct {
		patients func() iter.Seq2[Patient, error]
		class    fault.Class
	}{
		"open quote": {func() iter.Seq2[Patient, error] {
			text := "Id,BIRTHDATE,DEATHDATE,FIRST,LAST,GENDER\n1,1950,,Ada,Quill,F\n2,1950,,\"Tom,Reed,M\n"
			opened, err := Patients("test", strings.NewReader(text), testOptions(t))
			if err != nil {
				t.Fatal(err)
			}
			return opened.All
		}, fault.Poison},
		"lost connection": {func() iter.Seq2[Patient, error] {
			return func(yield func(Patient, error) bool) {
				_ = yield(Patient{ID: id("0a1b2c3d-0000-4000-8000-000000000001")}, nil) && yield(Patient{}, unread("test", lost))
			}
		}, fault.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			conn := service(t)
			counts, err := Load(t.Context(), conn, "ward", c.patients())
			if err == nil || fault.ClassOf(err) != c.class || !strings.HasPrefix(err.Error(), "read test: ") {
				t.Fatalf("%v of class %s", err, fault.ClassOf(err))
			}
			expect(t, counts, Counts{})
			expect(t, column(t, conn, "SELECT count(*)::text FROM patients.patient"), []string{"0"})
		})
	}
}

func TestTwoLoadsOfOneFileAtOnceCountOnce(t *testing.T) {
	url := pgtest.Database(t, patients.Migrate, "patients")
	var file strings.Builder
	for i := range 300 {
		fmt.Fprintf(&file, `{"resourceType":"Patient","id":"%d","deceasedBoolean":true}`+"\n", i)
	}
	var both [2]Counts
	var group errgroup.Group
	for i := range both {
		group.Go(func() error {
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				return err
			}
			defer conn.Close(context.Background())
			opened, err := Patients("test", strings.NewReader(file.String()), Options{Source: "ward"})
			if err != nil {
				return err
			}
			both[i], err = Load(t.Context(), conn, "ward", opened.All)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	expect(t, both[0].Inserted+both[1].Inserted, int64(300))
	expect(t, both[0].Unchanged+both[1].Unchanged, int64(300))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.outbox"), []string{"300"})
}

func TestRowsThatSomebodyElseStagedStopTheLoad(t *testing.T) {
	conn := service(t)
	if _, err := conn.Exec(t.Context(), "INSERT INTO patients.intake_row (source, seq, id) VALUES ('ward', 99, gen_random_uuid())"); err != nil {
		t.Fatal(err)
	}
	opened, err := Patients("test", strings.NewReader(patientLine("")), testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Load(t.Context(), conn, "ward", opened.All)
	expect(t, fmt.Sprint(err), "load ward: 1 rows were staged and 2 taken in")
	expect(t, fault.ClassOf(err), fault.Poison)
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.patient"), []string{"0"})
}

func TestADatabaseThatIsNotMigratedIsNamedAsSuch(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t, nil, "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	_, err = Load(t.Context(), conn, "ward", func(func(Patient, error) bool) {})
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "waybill migrate") {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
}

func TestOnlyTheFirstReasonsAreKept(t *testing.T) {
	conn := service(t)
	counts := load(t, conn, strings.NewReader(strings.Repeat(`{"resourceType":"Group"}`+"\n", 150)))
	expectCounts(t, counts, Counts{Read: 150, Refused: 150})
	expect(t, len(counts.Reasons), maxReasons)
	expect(t, counts.Reasons[99].Line, 100)
}

func TestLoadingSamples(t *testing.T) {
	for file, want := range map[string]Counts{
		"fhir-bulk-synthea/100-Patient.000.ndjson": {Read: 120, Dead: 20, Inserted: 120},
		"fhir-bulk-synthea/10-Patient.000.ndjson":  {Read: 13, Dead: 3, Inserted: 13},
		"synthea-csv/dbt-patients.csv":             {Read: 27, Dead: 2, Inserted: 27},
	} {
		t.Run(file, func(t *testing.T) {
			conn := service(t)
			expectCounts(t, load(t, conn, openSample(t, file)), want)
			died := []string{fmt.Sprintf("died %d", want.Dead), fmt.Sprintf("registered %d", want.Inserted-want.Dead)}
			const byType = "SELECT event || ' ' || count(*) FROM patients.outbox GROUP BY event ORDER BY event"
			expect(t, column(t, conn, byType), died)
			want.Unchanged, want.Inserted = want.Inserted, 0
			expectCounts(t, load(t, conn, openSample(t, file)), want)
			expect(t, column(t, conn, byType), died)
		})
	}
}

// A file far larger than the memory that reading it may take.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const records, most = 40_000, 8 << 20
	line := patientLine(`,"text":{"div":"` + strings.Repeat("narrative ", 200) + `"}`)
	file := io.LimitReader(repeating(line), int64(records*len(line)))
	opened, err := Patients("test", file, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var before, now runtime.MemStats
	for _, err := range opened.All {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%10_000 != 0 {
			continue
		}
		runtime.GC()
		runtime.ReadMemStats(&now)
		if before.HeapAlloc == 0 {
			before = now
		}
		if now.HeapAlloc > before.HeapAlloc+most {
			t.Fatalf("the heap grew from %d to %d bytes within %d records", before.HeapAlloc, now.HeapAlloc, n)
		}
	}
	expect(t, n, records)
}
