package hospital_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/lab/hospital"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var now = time.Date(2026, 11, 22, 10, 7, 0, 0, time.UTC)

func patientsDB(t *testing.T) *pgx.Conn {
	return connect(t, pgtest.Database(t, patients.Migrate, "patients"))
}

func appointmentsDB(t *testing.T) *pgx.Conn {
	return connect(t, pgtest.Database(t, func(ctx context.Context, url string) error {
		consumer, err := importer.LoadConsumer(appointments.Files())
		if err != nil {
			return err
		}
		return importer.Migrate(ctx, url, consumer)
	}, "appointments"))
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var answer T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// check wants each query to count no rows: they look for what must not be.
func check(t *testing.T, conn *pgx.Conn, none map[string]string) {
	t.Helper()
	for what, query := range none {
		if n := ask[int](t, conn, "SELECT count(*) "+query); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}

// wantSome wants each query to count at least as many rows as given.
func wantSome(t *testing.T, conn *pgx.Conn, some map[string]int) {
	t.Helper()
	for query, least := range some {
		if n := ask[int](t, conn, "SELECT count(*) "+query); n < least {
			t.Errorf("%d rows, want %d or more: %s", n, least, query)
		}
	}
}

func fill(t *testing.T, p, a *pgx.Conn, opt hospital.Options) {
	t.Helper()
	if err := hospital.Fill(t.Context(), p, a, opt); err != nil {
		t.Fatal(err)
	}
}

func TestFillMakesAPlausibleHospital(t *testing.T) {
	t.Parallel()
	p, a := patientsDB(t), appointmentsDB(t)
	last := map[string]int{}
	fill(t, p, a, hospital.Options{Seed: 7, Now: now, Patients: 3000, Progress: func(step string, done, total int) { last[step] = done - total }})
	if !maps.Equal(last, map[string]int{"patients": 0, "appointments": 0}) {
		t.Errorf("progress ended at %v", last)
	}
	if n := ask[int](t, p, "SELECT count(*) FROM patients.patient"); n != 3000 {
		t.Errorf("%d patients", n)
	}
	if n := ask[int](t, a, "SELECT count(*) FROM appointments.appointment"); n != 9000 {
		t.Errorf("%d appointments", n)
	}
	if n := ask[int](t, p, "SELECT count(*) FROM patients.patient WHERE death_status IN ('informal', 'formal')"); n < 60 || n > 130 {
		t.Errorf("%d of 3,000 patients are dead, want about 3 %%", n)
	}
	check(t, p, map[string]string{
		"dead before birth":           "FROM patients.patient WHERE extract(year FROM death_latest)::int < left(birth_date, 4)::int",
		"dead today or later":         "FROM patients.patient WHERE death_earliest > '2026-11-21 10:07Z'",
		"patients without identifier": "FROM patients.patient p WHERE NOT EXISTS (SELECT FROM patients.identifier i WHERE i.patient_id = p.id)",
		"patients without an event":   "FROM patients.patient p WHERE NOT EXISTS (SELECT FROM patients.outbox o WHERE o.patient_id = p.id)",
	})
	wantSome(t, p, map[string]int{
		"FROM patients.patient WHERE family_name ~ '[^ -~]'":                                         300,
		"FROM patients.patient WHERE given_name IS NULL":                                             5,
		"FROM patients.patient WHERE length(birth_date) = 4":                                         50,
		"FROM patients.patient WHERE length(birth_date) = 7":                                         100,
		"FROM patients.patient WHERE death_status = 'void'":                                          1,
		"FROM patients.patient WHERE death_latest > '2026-10-23Z'":                                   10,
		"FROM patients.patient WHERE death_latest < '2026-10-23Z'":                                   30,
		"FROM (SELECT patient_id FROM patients.identifier GROUP BY 1 HAVING count(*) > 2) AS many":   100,
		"FROM (SELECT FROM patients.patient GROUP BY family_name, given_name HAVING count(*) > 1) s": 100,
	})
	checkAppointments(t, p, a)
}

func checkAppointments(t *testing.T, p, a *pgx.Conn) {
	t.Helper()
	wantSome(t, a, map[string]int{
		"FROM appointments.appointment WHERE status = 'booked' AND starts_at > '2026-11-22 10:07Z'":                   3000,
		"FROM appointments.appointment WHERE status = 'booked' AND starts_at < '2026-11-22 10:07Z'":                   20,
		"FROM appointments.appointment WHERE status = 'fulfilled'":                                                    3000,
		"FROM appointments.appointment WHERE status = 'noshow'":                                                       300,
		"FROM appointments.appointment WHERE status = 'cancelled' AND cancellation_reason IN ('pat', 'prov')":         300,
		"FROM appointments.appointment JOIN appointments.kind ON code = kind WHERE post_mortem AND status = 'booked'": 5,
		"FROM appointments.appointment WHERE kind = 'autopsy'":                                                        1,
		"FROM (SELECT DISTINCT starts_at::time FROM appointments.appointment) AS of_the_day":                          96,
		"FROM (SELECT resource FROM appointments.appointment GROUP BY 1 HAVING count(*) > 500) AS clinics":            1,
	})
	check(t, a, map[string]string{
		"booked after it starts": "FROM appointments.appointment JOIN appointments.kind ON code = kind WHERE booked_at > starts_at",
		"future, and over":       "FROM appointments.appointment WHERE starts_at > '2026-11-22 10:07Z' AND status <> 'booked'",
		"a slot taken twice":     "FROM (SELECT FROM appointments.appointment GROUP BY resource, starts_at HAVING count(*) > 1) AS twice",
		"cancelled for a death":  "FROM appointments.appointment WHERE cancellation_reason = 'pat-dec'",
	})
	copyDeaths(t, p, a)
	check(t, a, map[string]string{
		"of nobody":                              "FROM appointments.appointment WHERE patient_id NOT IN (SELECT patient_id FROM life)",
		"clinical, of the long dead":             "FROM appointments.appointment JOIN life USING (patient_id) WHERE latest < '2026-10-23Z' AND starts_at > latest",
		"post-mortem, of the living":             "FROM appointments.appointment JOIN appointments.kind ON code = kind JOIN life USING (patient_id) WHERE post_mortem AND latest IS NULL",
		"fulfilled after death, though clinical": "FROM appointments.appointment JOIN appointments.kind ON code = kind JOIN life USING (patient_id) WHERE NOT post_mortem AND status = 'fulfilled' AND starts_at > latest",
	})
	wantSome(t, a, map[string]int{
		"FROM appointments.appointment JOIN life USING (patient_id) WHERE latest IS NOT NULL AND status = 'booked' AND starts_at > '2026-11-22 10:07Z' AND kind = 'consultation'": 3,
	})
}

// copyDeaths copies what the patients service knows into the appointments' database, as table life.
func copyDeaths(t *testing.T, p, a *pgx.Conn) {
	t.Helper()
	if _, err := a.Exec(t.Context(), "CREATE TEMP TABLE life (patient_id uuid, latest timestamptz)"); err != nil {
		t.Fatal(err)
	}
	rows, err := p.Query(t.Context(), "SELECT id, death_latest FROM patients.patient")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.CopyFrom(t.Context(), pgx.Identifier{"life"}, []string{"patient_id", "latest"}, rows); err != nil {
		t.Fatal(err)
	}
}

func TestSameSeedSameHospital(t *testing.T) {
	t.Parallel()
	opt := hospital.Options{Seed: 3, Now: now, Patients: 200}
	var hospitals []string
	for _, seed := range []uint64{3, 3, 4} {
		opt.Seed = seed
		p, a := patientsDB(t), appointmentsDB(t)
		fill(t, p, a, opt)
		if _, err := hospital.Day(t.Context(), p, opt); err != nil {
			t.Fatal(err)
		}
		if _, err := hospital.Staff(t.Context(), a, opt); err != nil {
			t.Fatal(err)
		}
		hospitals = append(hospitals, ask[string](t, p, `SELECT md5(string_agg(o::text, '' ORDER BY position)) FROM (
			SELECT position, event, patient_id, death_status, death_earliest, identifiers, family_name, birth_date, address_line FROM patients.outbox) o`)+
			ask[string](t, a, `SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM (
			SELECT id, patient_id, kind, resource, starts_at, status, cancellation_reason, booked_at FROM appointments.appointment) o`))
	}
	if hospitals[0] != hospitals[1] {
		t.Error("one seed gave two hospitals")
	}
	if hospitals[0] == hospitals[2] {
		t.Error("two seeds gave one hospital")
	}
}

func TestNHSNumbersAreValid(t *testing.T) {
	t.Parallel()
	p := patientsDB(t)
	fill(t, p, appointmentsDB(t), hospital.Options{Seed: 2, Now: now, Patients: 3000, Appointments: 1})
	rows, err := p.Query(t.Context(), "SELECT value FROM patients.identifier WHERE type = 'NH'")
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(numbers) < 2500 {
		t.Errorf("%d of 3,000 patients have an NHS number", len(numbers))
	}
	for _, number := range numbers {
		sum := 0 // weighs the check digit by one
		for i, digit := range number {
			sum += (10 - i) * int(digit-'0')
		}
		if len(number) != 10 || number[:3] != "999" || sum%11 != 0 {
			t.Fatalf("%s is no NHS number of the test range", number)
		}
	}
}

func TestBulkIsOneTransactionOfTheLiving(t *testing.T) {
	t.Parallel()
	p := patientsDB(t)
	for seed := range uint64(2) {
		if err := hospital.Bulk(t.Context(), p, 2000, seed); err != nil {
			t.Fatal(err)
		}
	}
	check(t, p, map[string]string{
		"events but registrations":  "FROM patients.outbox WHERE event <> 'registered' OR jsonb_array_length(identifiers) <> 1",
		"transactions not of 2,000": "FROM (SELECT FROM patients.outbox GROUP BY tx HAVING count(*) <> 2000) AS torn",
	})
	if n := ask[int](t, p, "SELECT count(DISTINCT tx) FROM patients.outbox"); n != 2 {
		t.Errorf("%d transactions", n)
	}
}
