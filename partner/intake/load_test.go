package intake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
	"waybill/partner/format/record"
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

// takeIn takes records in, in a transaction of their own.
func takeIn(ctx context.Context, conn *pgx.Conn, source string, records iter.Seq2[record.Record, error]) (counts Counts, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		counts, err = Take(ctx, tx, source, Dispute, records, nil)
		return err
	})
	return counts, err
}

// load loads a file in the format that its content shows.
func load(t testing.TB, conn *pgx.Conn, text string) Counts {
	t.Helper()
	counts, err := takeIn(t.Context(), conn, "ward", open(t, text).All())
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
	counts := load(t, conn, fixture(t, "patients.ndjson"))
	expectCounts(t, counts, Counts{Read: 8, Dead: 3, Inserted: 5, Refused: 3})
	expect(t, counts.Reasons[0], record.Refused{Where: record.Where{Line: 5, From: counts.Reasons[0].From, To: counts.Reasons[0].To}, Reason: "Observation, not Patient"})
	first := []string{
		"Marsh died v1", "Quill died v1", "Reed registered v1",
		"- died v1", "- registered v1",
	}
	expect(t, events(t, conn), first)
	expect(t, column(t, conn, `SELECT row(family_name, given_name, birth_date, sex, death_status, death_earliest AT TIME ZONE 'UTC',
		death_latest AT TIME ZONE 'UTC', death_precision, address_line, address_city, address_postcode, address_country)::text
		FROM patients.patient WHERE family_name = 'Quill'`),
		[]string{`(Quill,"Ada May",1950-02-03,female,formal,"2024-05-06 05:08:00","2024-05-06 05:09:00",minute,"1 Wharf Lane, Flat 2",Porthaven,"PH1 2AB",XX)`})
	expect(t, column(t, conn, "SELECT row(patient_id, authority, type, value)::text FROM patients.identifier"),
		[]string{"(0a1b2c3d-0000-4000-8000-000000000001,http://mrn.example.org,MR,000017)"})

	again := load(t, conn, fixture(t, "patients.ndjson"))
	expectCounts(t, again, Counts{Read: 8, Dead: 3, Unchanged: 5, Refused: 3})
	expect(t, events(t, conn), first)
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.intake_row"), []string{"0"})
}

func patientLine(fields string) string {
	return `{"resourceType":"Patient","id":"17","name":[{"family":"Quill"}]` + fields + "}\n"
}

func TestWhatALaterFileSaysOfADeath(t *testing.T) {
	dead, informally := `,"deceasedDateTime":"2024-05-06"`, `,"deceasedDateTime":"2024-05",`+notification("1")
	for name, c := range map[string]struct {
		file   string
		want   []string
		status string
	}{
		"nothing":                  {patientLine(""), nil, "formal"},
		"that there was none":      {patientLine(`,"deceasedBoolean":false`), []string{"Quill death_retracted v2"}, "none"},
		"that it is void":          {patientLine("," + notification("U")), []string{"Quill death_retracted v2"}, "void"},
		"less, and informally":     {patientLine(informally), nil, "formal"},
		"another date":             {patientLine(`,"deceasedDateTime":"2024-05-07"`), []string{"Quill death_corrected v2"}, "formal"},
		"none, then another death": {patientLine(`,"deceasedBoolean":false`) + patientLine(dead), []string{"Quill death_retracted v2", "Quill died v3"}, "formal"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := service(t)
			load(t, conn, patientLine(dead))
			load(t, conn, c.file)
			expect(t, events(t, conn), append([]string{"Quill died v1"}, c.want...))
			expect(t, column(t, conn, "SELECT death_status FROM patients.patient"), []string{c.status})
		})
	}
}

func TestTheSameIDOfTwoSourcesIsTwoPatients(t *testing.T) {
	conn := service(t)
	for _, source := range []string{"ward", "clinic"} {
		opened, err := (&Format{Kind: "fhir"}).Open("test", source, time.Now(), strings.NewReader(patientLine("")))
		if err != nil {
			t.Fatal(err)
		}
		counts, err := takeIn(t.Context(), conn, source, opened.All())
		if err != nil {
			t.Fatal(err)
		}
		expectCounts(t, counts, Counts{Read: 1, Inserted: 1})
	}
}

func TestAnIdentifierStaysWithItsPatient(t *testing.T) {
	conn := service(t)
	const identifier = `"identifier":[{"system":"a","value":"1"}]`
	counts := load(t, conn, (`{"resourceType":"Patient","id":"1",` + identifier + `}` + "\n" + `{"resourceType":"Patient","id":"2",` + identifier + `}`))
	expectCounts(t, counts, Counts{Read: 2, Inserted: 2, Conflicts: 1})
}

// A file that breaks off inside a record leaves nothing in the database.
func TestAFileThatBreaksLoadsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		records iter.Seq2[record.Record, error]
		class   fault.Class
	}{
		"half a Bundle": {open(t, "{\n\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":"+patientLine("")+"},").All(), fault.Poison},
		"lost connection": {func(yield func(record.Record, error) bool) {
			_ = yield(record.Record{Key: record.Identifier{Value: "1"}}, nil) && yield(record.Record{}, unread("test", errors.New("lost")))
		}, fault.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			conn := service(t)
			counts, err := takeIn(t.Context(), conn, "ward", c.records)
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
		fmt.Fprintf(&file, `{"resourceType":"Patient","id":"%d","deceasedBoolean":true}`+"\n", i+1)
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
			opened, err := (&Format{Kind: "fhir"}).Open("test", "ward", time.Now(), strings.NewReader(file.String()))
			if err != nil {
				return err
			}
			both[i], err = takeIn(t.Context(), conn, "ward", opened.All())
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
	_, err := takeIn(t.Context(), conn, "ward", open(t, patientLine("")).All())
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
	_, err = takeIn(t.Context(), conn, "ward", func(func(record.Record, error) bool) {})
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "waybill migrate") {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
}

func TestOnlyTheFirstReasonsAreKept(t *testing.T) {
	conn := service(t)
	counts := load(t, conn, strings.Repeat(`{"resourceType":"Group"}`+"\n", 150))
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
			expectCounts(t, load(t, conn, string(sample(t, file))), want)
			died := []string{fmt.Sprintf("died %d", want.Dead), fmt.Sprintf("registered %d", want.Inserted-want.Dead)}
			const byType = "SELECT event || ' ' || count(*) FROM patients.outbox GROUP BY event ORDER BY event"
			expect(t, column(t, conn, byType), died)
			want.Unchanged, want.Inserted = want.Inserted, 0
			expectCounts(t, load(t, conn, string(sample(t, file))), want)
			expect(t, column(t, conn, byType), died)
		})
	}
}

// notification is the UK's extension with a status.
func notification(code string) string {
	return fmt.Sprintf(`"extension":[{"url":"https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus",`+
		`"extension":[{"url":"deathNotificationStatus","valueCodeableConcept":{"coding":[{"code":%q}]}}]}]`, code)
}
