package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/lab/audit"
	"waybill/lab/pg/pgtest"
	"waybill/lab/site"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	one = `'00000000-0000-4000-8000-000000000001'`
	two = `'00000000-0000-4000-8000-000000000002'`
	end = `'00000000-0000-4000-8000-000000000003'`

	admitted = `INSERT INTO patients.patient (id) VALUES (` + one + `), (` + two + `), (` + end + `);`
	died     = `UPDATE patients.patient SET death_status = 'formal' WHERE id IN (` + one + `, ` + two + `);`
	longAgo  = `UPDATE patients.patient SET death_earliest = '2000-01-01Z', death_latest = '2000-01-02Z', death_precision = 'day' WHERE death_status = 'formal';`
	merged   = `INSERT INTO patients.alias (retired_id, survivor_id) VALUES (` + one + `, ` + two + `), (` + two + `, ` + end + `);`

	named = `UPDATE patients.patient SET family_name = 'Abel';`
	erase = `SELECT patients.erase_patient(` + one + `), patients.erase_patient(` + two + `);`

	cases = `SELECT set_config('waybill.applying', 'on', false); INSERT INTO morgue.case_file (patient_id, death_no, noticed_at, stated, death_status)
		SELECT id, 1, now(), '{}', 'none' FROM unnest(ARRAY[` + one + `, ` + two + `]::uuid[]) AS id; SELECT set_config('waybill.applying', '', false);`
	second   = `UPDATE morgue.case_file SET patient_id = ` + two + `, death_no = 2 WHERE patient_id = ` + one + `;`
	received = `UPDATE morgue.case_file SET state = 'received', tag = id, received_at = now();`
	voided   = `UPDATE morgue.case_file SET state = 'void', voided_by = 'a person';`
	byUs     = `SELECT set_config('waybill.applying', 'on', false); UPDATE morgue.case_file SET state = 'void', voided_at = now(), voided_by = 'waybill';`
	named1   = `UPDATE morgue.case_file SET state = 'void', voided_by = 'a person', family_name = 'Abel' WHERE patient_id = ` + one + `;`
	alert    = `INSERT INTO morgue.alert (kind, patient_id, death_no, raised_at) SELECT 'identity', id, 1, now() FROM unnest(ARRAY[` + one + `, ` + two + `]::uuid[]) AS id;`
	resolved = `UPDATE morgue.alert SET resolved_at = now(), resolved_by = 'a person';`
	conflict = `INSERT INTO morgue.alert (kind, patient_id, death_no, raised_at) VALUES ('merge_conflict', ` + two + `, 1, now());`

	booking = `INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		VALUES (` + one + `, 'consultation', 'room', '2999-01-01', '2999-01-02');`
	cancelled = `SELECT set_config('waybill.applying', 'on', false); UPDATE appointments.appointment SET status = 'cancelled', cancellation_reason = 'pat-dec';`
	byPerson  = `UPDATE appointments.appointment SET status = 'cancelled', cancellation_reason = 'pat-dec';`
	moved     = `SELECT set_config('waybill.applying', 'on', false); UPDATE appointments.appointment SET starts_at = '2998-01-01';`
	listed    = `INSERT INTO appointments.worklist (reason, appointment_id, patient_id, death_no, raised_at)
		SELECT 'not_cancelled', id, patient_id, 1, now() FROM appointments.appointment;`
	stays = `INSERT INTO appointments.worklist (reason, appointment_id, patient_id, death_no, raised_at)
		SELECT 'kind_stays', id, patient_id, 1, now() FROM appointments.appointment;`
	decided = `UPDATE appointments.kind SET post_mortem = true;`
	dealt   = `UPDATE appointments.worklist SET resolved_at = now(), resolved_by = 'a person';`
	settled = `SELECT set_config('waybill.applying', 'on', false); UPDATE appointments.worklist SET resolved_at = now(), resolved_by = 'waybill';`
)

// Each of these is what a broken importer would leave, or what a sound one does.
func TestWhatIsWrongIsFound(t *testing.T) {
	now := time.Now()
	turned := map[uuid.UUID]time.Time{}
	for n := range 3 {
		turned[uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n+1))] = now.Add(time.Hour) // after everything that people did
	}
	first := uuid.MustParse("00000000-0000-4000-8000-000000000001")
	for name, test := range map[string]struct {
		patients, morgue, appointments string // appointments: the first statement is what was there before
		options                        audit.Options
		wrong                          []string // empty: nothing is
	}{
		"cases of the dead":          {admitted + died, cases, booking + cancelled, audit.Options{}, nil},
		"no cases":                   {admitted + died, "", "", audit.Options{}, []string{"has no case", "has no case"}},
		"expected twice":             {admitted + died, cases + second, "", audit.Options{}, []string{"has no case", "expected 2 times"}},
		"voided by a person":         {admitted + died, cases + voided, "", audit.Options{}, nil},
		"voided by us":               {admitted + died, cases + byUs, "", audit.Options{}, []string{"has no case", "has no case"}},
		"voided before":              {admitted + died, cases + voided, "", audit.Options{Turned: turned}, []string{"has no case", "has no case"}},
		"received, and voided by us": {admitted + died, cases + received + byUs, "", audit.Options{}, []string{"voided while the body was here", "voided while the body was here", "has no case", "has no case"}},
		"received before":            {admitted + died, cases + received, "", audit.Options{Turned: turned}, []string{"has no case", "has no case"}},
		"long dead and found":        {admitted + died + longAgo, "", booking + listed, audit.Options{Before: audit.Memory{Found: map[uuid.UUID]bool{first: false}}}, []string{"has no case"}},
		"found without a date":       {admitted + died, "", booking, audit.Options{Before: audit.Memory{Found: map[uuid.UUID]bool{first: false}}}, []string{"is booked", "has no case", "has no case"}},
		"nobody saw":                 {admitted + died, "", booking + listed, audit.Options{Before: audit.Memory{Found: map[uuid.UUID]bool{first: true}}}, []string{"has no case"}},

		"cases of the living":         {admitted, cases, "", audit.Options{}, []string{"lives and is expected", "lives and is expected"}},
		"cases of nobody":             {"", cases, "", audit.Options{}, []string{"lives and is expected", "lives and is expected"}},
		"bodies of the living":        {admitted, cases + received, "", audit.Options{}, []string{"without an alert", "without an alert"}},
		"asked about":                 {admitted, cases + received + alert, "", audit.Options{}, nil},
		"asked about and answered":    {admitted, cases + received + alert + resolved, "", audit.Options{}, nil},
		"asked about in another life": {admitted, cases + received + alert + resolved, "", audit.Options{Turned: turned}, []string{"without an alert", "without an alert"}},

		"dead of one person":          {admitted + died + merged, "", "", audit.Options{}, []string{"without an alert", "without an alert"}},
		"dead of one person, alerted": {admitted + died + merged, conflict, "", audit.Options{}, nil},

		"erased":                        {admitted + named + erase, cases + voided, "", audit.Options{}, nil},
		"erased and expected":           {admitted + named + erase, cases, "", audit.Options{}, []string{"erased and is expected", "erased and is expected"}},
		"erased and in custody":         {admitted + named + erase, cases + received, "", audit.Options{}, []string{"without an alert", "without an alert"}},
		"erased and known in a case":    {admitted + named + erase, cases + named1 + voided, "", audit.Options{}, []string{"erased and is known in a case"}},
		"erased and known again":        {admitted + named, "", "", audit.Options{Erased: []uuid.UUID{first}}, []string{"known again at the source"}},
		"erased and restored elsewhere": {"", "", "", audit.Options{Erased: []uuid.UUID{first}}, nil},

		"a booking of the dead":            {admitted + died, cases, booking, audit.Options{}, []string{"is booked and on nobody's worklist"}},
		"a listed booking":                 {admitted + died, cases, booking + listed, audit.Options{}, nil},
		"one that a person dealt with":     {admitted + died, cases, booking + listed + dealt, audit.Options{}, nil},
		"one dealt with for another death": {admitted + died, cases, booking + listed + dealt, audit.Options{Turned: turned}, []string{"is booked and on nobody's worklist"}},
		"one that we settled":              {admitted + died, cases, booking + listed + settled, audit.Options{}, []string{"is booked and on nobody's worklist"}},
		"a cancelled one that was to stay": {admitted + died, cases, booking + cancelled + decided, audit.Options{}, []string{"post-mortem appointment"}},
		"one of a kind decided later":      {admitted + died, cases, booking + cancelled + stays + decided, audit.Options{}, nil},
		"a cancelled booking of the alive": {admitted, "", booking + cancelled, audit.Options{}, []string{"is cancelled for a death"}},
		"one that a person cancelled":      {admitted, "", booking + byPerson, audit.Options{}, nil},
		"a booking that nobody moved":      {admitted, "", booking + moved, audit.Options{}, []string{"was changed by nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := databases(t)
			exec(t, db.Patients, test.patients)
			exec(t, db.Morgue, test.morgue)
			there, changes, _ := strings.Cut(test.appointments, ";")
			exec(t, db.Appointments, there)
			opt := test.options
			opt.Now = now
			if opt.Before.Found == nil {
				var err error
				if opt.Before, err = audit.Remember(t.Context(), db.Patients, db.Appointments); err != nil {
					t.Fatal(err)
				}
				opt.ActWithin = importer.Unlimited
			}
			exec(t, db.Appointments, changes)
			found, err := audit.Run(t.Context(), db, opt)
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Wrong) != len(test.wrong) {
				t.Fatalf("found %q, want %d", found.Wrong, len(test.wrong))
			}
			slices.Sort(found.Wrong)
			for i, want := range test.wrong {
				if !strings.Contains(found.Wrong[i], want) {
					t.Errorf("found %q, want %q", found.Wrong[i], want)
				}
			}
		})
	}
}

func databases(t *testing.T) audit.Databases {
	connect := func(name string, migrate func(context.Context, string) error) *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), pgtest.Database(t, migrate, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	consumer := func(name string) *pgx.Conn {
		return connect(name, func(ctx context.Context, url string) error {
			c, err := site.Consumer(name)
			if err != nil {
				return err
			}
			return importer.Migrate(ctx, url, c)
		})
	}
	return audit.Databases{
		Patients: connect(site.Patients, func(ctx context.Context, url string) error {
			return errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url))
		}),
		Morgue: consumer("morgue"), Appointments: consumer("appointments"),
	}
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
