package audit_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/internal/audit"
	"waybill/internal/pg/pgtest"
	"waybill/internal/site"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	one = `'00000000-0000-4000-8000-000000000001'`
	two = `'00000000-0000-4000-8000-000000000002'`
	end = `'00000000-0000-4000-8000-000000000003'`

	admitted = `INSERT INTO patients.patient (id) VALUES (` + one + `), (` + two + `), (` + end + `);`
	died     = `UPDATE patients.patient SET death_status = 'formal' WHERE id IN (` + one + `, ` + two + `);`
	merged   = `INSERT INTO patients.alias (retired_id, survivor_id) VALUES (` + one + `, ` + two + `), (` + two + `, ` + end + `);`

	cases = `INSERT INTO morgue.case_file (patient_id, death_no, noticed_at, stated, death_status)
		SELECT id, 1, now(), '{}', 'formal' FROM unnest(ARRAY[` + one + `, ` + two + `]::uuid[]) AS id;`
	alert   = `INSERT INTO morgue.alert (kind, patient_id, death_no, raised_at) VALUES ('merge_conflict', ` + two + `, 1, now());`
	booking = `INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		VALUES (` + one + `, 'consultation', 'room', '2999-01-01', '2999-01-02');`
	cancelled = `UPDATE appointments.appointment SET status = 'cancelled', cancellation_reason = 'pat-dec';`
)

// Each of these is what a broken importer would leave, or what a sound one does.
func TestWhatIsWrongIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		patients, morgue, appointments string
		wrong                          []string // empty: nothing is
	}{
		"cases of the dead":                {admitted + died, cases, booking + cancelled, nil},
		"no cases":                         {admitted + died, "", "", []string{"is dead and has 0 open cases", "is dead and has 0 open cases"}},
		"cases of the living":              {admitted, cases, "", []string{"lives and has 1 open cases", "lives and has 1 open cases"}},
		"dead of one person":               {admitted + died + merged, "", "", []string{"without an alert", "without an alert"}},
		"dead of one person, alerted":      {admitted + died + merged, alert, "", nil},
		"a booking of the dead":            {admitted + died, cases, booking, []string{"is live and on nobody's worklist"}},
		"a cancelled booking of the alive": {admitted, "", booking + cancelled, []string{"is cancelled for a death", "was changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := databases(t)
			exec(t, db.Patients, test.patients)
			exec(t, db.Morgue, test.morgue)
			changes := strings.SplitAfterN(test.appointments, ";", 2)
			exec(t, db.Appointments, changes[0])
			before, err := audit.Remember(t.Context(), db.Appointments)
			if err != nil {
				t.Fatal(err)
			}
			for _, change := range changes[1:] { // as the importer, not as a person
				exec(t, db.Appointments, `SELECT set_config('waybill.applying', 'on', false)`)
				exec(t, db.Appointments, change)
			}
			found, err := audit.Run(t.Context(), db, audit.Options{ActWithin: importer.Unlimited, Before: before, Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Wrong) != len(test.wrong) {
				t.Fatalf("found %q, want %d", found.Wrong, len(test.wrong))
			}
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
