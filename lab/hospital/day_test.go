package hospital_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/hospital"
)

// liveDay fills both databases and lives a day; the view day then shows its events, each with
// the state before it.
func liveDay(t *testing.T, p, a *pgx.Conn, opt hospital.Options) hospital.Lived {
	t.Helper()
	fill(t, p, a, opt)
	position := ask[int64](t, p, "SELECT max(position) FROM patients.outbox")
	lived, err := hospital.Day(t.Context(), p, opt)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Exec(t.Context(), fmt.Sprintf(`CREATE TEMP VIEW day AS
		SELECT o.*, o.death_status IN ('informal', 'formal') AS dead, b.death_status AS was, b.tx AS tx_before,
			b.death_latest AS latest_before, b.identifiers AS identifiers_before, b.address_line AS address_before
		FROM patients.outbox o
		LEFT JOIN patients.outbox b ON b.patient_id = o.patient_id AND b.version = o.version - 1
		WHERE o.position > %d`, position))
	if err != nil {
		t.Fatal(err)
	}
	return lived
}

func TestADayHasEverything(t *testing.T) {
	t.Parallel()
	p := patientsDB(t)
	lived := liveDay(t, p, appointmentsDB(t), hospital.Options{Seed: 11, Now: now, Patients: 4000})
	wantSome(t, p, map[string]int{
		"FROM day WHERE event = 'registered'":                                                                                         lived.Registered * 9 / 10,
		"FROM day WHERE event = 'updated'":                                                                                            lived.Updated * 8 / 10,
		"FROM day WHERE event = 'died' AND version = 1":                                                                               2,
		"FROM day WHERE event = 'died' AND version > 1":                                                                               70,
		"FROM day WHERE event = 'died' AND dead AND death_precision IS NULL":                                                          2,
		"FROM day WHERE event = 'died' AND identifiers <> identifiers_before AND address_line <> address_before":                      10,
		"FROM day WHERE event = 'death_corrected'":                                                                                    lived.Certified,
		"FROM day WHERE event = 'death_corrected' AND was = 'informal' AND death_status = 'formal' AND death_latest = latest_before":  5,
		"FROM day WHERE event = 'death_corrected' AND was = 'informal' AND death_status = 'formal' AND death_latest <> latest_before": 3,
		"FROM day WHERE event = 'death_retracted' AND was IN ('informal', 'formal') AND latest_before < '2026-11-21 10:07Z'":          1,
		"FROM day WHERE event = 'death_retracted' AND was IN ('informal', 'formal')":                                                  3,
		"FROM day WHERE event = 'death_retracted' AND was = 'none'":                                                                   1,
		"FROM day WHERE event = 'merged'":                                                                                             lived.Merged,
	})
	for _, precision := range []string{"year", "month", "day", "minute"} {
		wantSome(t, p, map[string]int{fmt.Sprintf("FROM day WHERE event = 'died' AND death_precision = '%s'", precision): 1})
	}
	if died := ask[int](t, p, "SELECT count(*) FROM day WHERE event = 'died' AND version > 1"); died > lived.Died || died < lived.Died-1 {
		t.Errorf("%d events of %d deaths; at most one death may be reported twice", died, lived.Died)
	}
	checkMerges(t, p)
}

// A merge of each kind, one of a survivor, and a death that reached the survivor of a merge.
func checkMerges(t *testing.T, p *pgx.Conn) {
	t.Helper()
	for retired, survivors := range map[bool][]bool{true: {true, false}, false: {true, false}} {
		for _, survivor := range survivors {
			wantSome(t, p, map[string]int{fmt.Sprintf(`FROM patients.alias a
				JOIN patients.patient r ON r.id = a.retired_id JOIN patients.patient s ON s.id = a.survivor_id
				WHERE (r.death_status IN ('informal', 'formal')) = %t AND (s.death_status IN ('informal', 'formal')) = %t`, retired, survivor): 1})
		}
	}
	wantSome(t, p, map[string]int{
		"FROM patients.alias a JOIN patients.alias b ON a.survivor_id = b.retired_id": 1,
		`FROM day d JOIN patients.alias a ON a.survivor_id = d.patient_id JOIN day m ON m.patient_id = a.retired_id AND m.event = 'merged'
			WHERE d.event = 'died' AND d.position > m.position`: 1,
	})
}

func TestADayKeepsToTheRules(t *testing.T) {
	t.Parallel()
	p := patientsDB(t)
	lived := liveDay(t, p, appointmentsDB(t), hospital.Options{Seed: 12, Now: now, Patients: 3000})
	if living := 2900; lived.Died < living*15/1000 || lived.Died > living*25/1000 {
		t.Errorf("%d of about %d living patients died, want about 2 %%", lived.Died, living)
	}
	if 1000*lived.Retracted < 3*lived.Died {
		t.Errorf("%d retractions for %d deaths, want 0.3 %% or more", lived.Retracted, lived.Died)
	}
	check(t, p, map[string]string{
		"deaths that begin in the future":                       "FROM day WHERE death_earliest > '2026-11-22 10:07Z'",
		"formal deaths made informal":                           "FROM day WHERE was = 'formal' AND death_status = 'informal'",
		"patients of two events in a transaction, and no merge": "FROM (SELECT FROM day GROUP BY tx, patient_id HAVING count(*) > 1 AND NOT bool_or(event = 'merged')) AS two",
		"transactions of many patients":                         "FROM (SELECT FROM day GROUP BY tx HAVING count(DISTINCT patient_id) > 2) AS many",
	})
}

func TestDaysFollowEachOther(t *testing.T) {
	t.Parallel()
	p := patientsDB(t)
	opt := hospital.Options{Seed: 1, Now: now, Patients: 300}
	fill(t, p, appointmentsDB(t), opt)
	for n := range uint64(3) {
		opt.Seed, opt.Now = 1+n, now.AddDate(0, 0, int(n))
		if _, err := hospital.Day(t.Context(), p, opt); err != nil {
			t.Fatalf("day %d: %v", n, err)
		}
	}
}

// A hospital of one patient, or of none, has its days too.
func TestADayInASmallHospital(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 12} {
		p := patientsDB(t)
		opt := hospital.Options{Seed: 1, Now: now, Patients: n}
		fill(t, p, appointmentsDB(t), opt)
		for day := range uint64(4) {
			opt.Seed = day
			if _, err := hospital.Day(t.Context(), p, opt); err != nil {
				t.Fatalf("%d patients, day %d: %v", n, day, err)
			}
		}
	}
	if _, err := hospital.Day(t.Context(), patientsDB(t), hospital.Options{Seed: 1, Now: now}); err != nil {
		t.Fatalf("no patients: %v", err)
	}
}

func TestStaffWorkWithAppointments(t *testing.T) {
	t.Parallel()
	p, a := patientsDB(t), appointmentsDB(t)
	opt := hospital.Options{Seed: 5, Now: now, Patients: 2000}
	fill(t, p, a, opt)
	work, err := hospital.Staff(t.Context(), a, opt)
	if err != nil {
		t.Fatal(err)
	}
	if work.Arrived < 2 || work.Cancelled < 10 || work.Restored != 1 || work.Booked < 5 {
		t.Errorf("%+v", work)
	}
	touched := ask[int](t, a, "SELECT count(*) FROM appointments.appointment WHERE touched_by = 'reception'")
	if want := work.Arrived + work.Cancelled; touched != want {
		t.Errorf("reception touched %d, want %d: what is restored was cancelled before", touched, want)
	}
	booked := ask[int](t, a, "SELECT count(*) FROM appointments.appointment WHERE booked_at = $1", now)
	if booked != work.Booked {
		t.Errorf("%d bookings of today, want %d", booked, work.Booked)
	}
	check(t, a, map[string]string{"arrived long before it starts": "FROM appointments.appointment WHERE status = 'arrived' AND starts_at > '2026-11-22 12:07Z'"})
}

func TestStaffBookForTheDeadTheyKnow(t *testing.T) {
	t.Parallel()
	a := appointmentsDB(t)
	died := now.Add(-48 * time.Hour)
	_, err := a.Exec(t.Context(), `INSERT INTO appointments.patient
		(event, baseline, patient_id, generation, version, revision, recorded_at, death_no, death_status,
			death_earliest, death_latest, death_precision)
		SELECT 'died', false, gen_random_uuid(), 1, 1, 0, $1::timestamptz, 1, 'formal', $1::timestamptz, $1 + interval '1 minute', 'minute'
		FROM generate_series(1, 3)`, died)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hospital.Staff(t.Context(), a, hospital.Options{Seed: 5, Now: now}); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{"NOT post_mortem": 1, "post_mortem": 1} {
		if n := ask[int](t, a, "SELECT count(*) FROM appointments.appointment JOIN appointments.kind ON code = kind WHERE "+what); n != want {
			t.Errorf("%d bookings for the dead that are %s, want %d", n, what, want)
		}
	}
}
