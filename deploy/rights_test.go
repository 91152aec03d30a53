// Package deploy holds what a site installs: it has no code but these tests, which try what can be
// tried without the site.
package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/exchange/store"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/exporter/prune"
	"waybill/exporter/rerun"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/internal/decision"
	"waybill/jobs"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Each party does its work with the rights of postgres/*.sql, and may do nothing else.
func TestGrantsAreEnoughAndNotMore(t *testing.T) {
	h := newHospital(t)
	h.may("patients", "patients_app",
		`INSERT INTO patients.patient (id, family_name) VALUES ('00000000-0000-4000-8000-000000000001', 'A'), ('00000000-0000-4000-8000-000000000002', 'B')`,
		`INSERT INTO patients.identifier (patient_id, authority, type, value) VALUES ('00000000-0000-4000-8000-000000000001', 'A', 'MR', '1')`,
		`UPDATE patients.patient SET death_status = 'formal' WHERE id = '00000000-0000-4000-8000-000000000001'`,
		`INSERT INTO patients.alias (retired_id, survivor_id) VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001')`)
	for _, export := range []func(*exporter.Exporter, context.Context) (exporter.Summary, error){(*exporter.Exporter).Run, (*exporter.Exporter).Snapshot} {
		h.export(export)
		h.load("morgue")
		h.load("appointments")
	}
	h.correct()
	h.rerun("morgue")
	h.may("appointments", "appointments_app",
		`INSERT INTO appointments.appointment (patient_id, resource, kind, starts_at, ends_at) VALUES ('00000000-0000-4000-8000-000000000001', 'room 1', 'consultation', now() + interval '1 day', now() + interval '25 hours')`)
	h.may("morgue", "morgue_app", `UPDATE morgue.case_file SET state = 'received', tag = 'T1'`)
	h.prune()
	h.may("patients", "patients_privacy", `SELECT patients.erase_patient('00000000-0000-4000-8000-000000000001')`)
	h.export((*exporter.Exporter).Run)
	h.load("morgue")
	h.load("appointments")
	h.may("morgue", "morgue_app", `UPDATE morgue.case_file SET state = 'released'`)
	exec(t, connect(t, h.urls["patients"]), `UPDATE exporter.plan SET system_identifier = 1`)
	h.export(func(e *exporter.Exporter, ctx context.Context) (exporter.Summary, error) {
		if _, err := e.Adopt(ctx, "a test", "ann"); err != nil {
			return exporter.Summary{}, err
		}
		return e.Snapshot(ctx)
	})
	h.grant("patients", "patients-new-generation")
	exec(t, connect(t, h.urls["patients"]), `DELETE FROM exporter.plan WHERE batch > 0; UPDATE exporter.plan SET system_identifier = 1`)
	h.may("patients", "patients_export", `SELECT patients.erase_again('00000000-0000-4000-8000-000000000003')`)
	h.export(func(e *exporter.Exporter, ctx context.Context) (exporter.Summary, error) { return e.NewGeneration(ctx) })
	h.load("morgue")
	h.run("patients", "patients_export")
	h.run("morgue", "morgue_import")
}

// A table that a later release adds is the importer's to work with, without another grant.
func TestTablesOfALaterReleaseNeedNoGrant(t *testing.T) {
	h := newHospital(t)
	for _, service := range []string{"morgue", "appointments"} {
		exec(t, connect(t, h.urls[service]), `CREATE TABLE `+service+`.later (n int)`)
		h.may(service, service+"_import", `INSERT INTO `+service+`.later VALUES (1)`, `UPDATE `+service+`.later SET n = 2 WHERE n = 1`, `DELETE FROM `+service+`.later`)
	}
}

// Everything here must be refused for want of a right.
func TestGrantsRefuse(t *testing.T) {
	h := newHospital(t)
	for _, test := range []struct{ database, role, statement string }{
		{"patients", "patients_app", `SELECT FROM patients.outbox`},
		{"patients", "patients_app", `DELETE FROM patients.patient`},
		{"patients", "patients_app", `DELETE FROM patients.alias`},
		{"patients", "patients_app", `INSERT INTO exporter.plan DEFAULT VALUES`},
		{"patients", "patients_app", `ALTER TABLE patients.patient DISABLE TRIGGER capture`},
		{"patients", "patients_app", `CREATE TABLE patients.mine ()`},
		{"patients", "patients_export", `UPDATE patients.patient SET family_name = ''`},
		{"patients", "patients_export", `SELECT FROM patients.patient`},
		{"patients", "patients_export", `SELECT FROM patients.state`},
		{"patients", "patients_export", `SELECT patients.arm()`},
		{"patients", "patients_export", `SELECT patients.capture('00000000-0000-4000-8000-000000000001', false)`},
		{"patients", "patients_export", `DELETE FROM patients.outbox`},
		{"patients", "patients_export", `UPDATE patients.outbox SET version = 1`},
		{"patients", "patients_export", `UPDATE patients.outbox SET tx = '1'`},
		{"patients", "patients_export", `DELETE FROM exporter.plan`},
		{"patients", "patients_export", `DELETE FROM exporter.decision`},
		{"patients", "patients_export", `UPDATE jobs.decision SET person = 'somebody else'`},
		{"patients", "patients_export", `SELECT exporter.prune_outbox('patient-events', 1, 0, 1, false)`},
		{"patients", "patients_app", `SELECT patients.erase_patient('00000000-0000-4000-8000-000000000001')`},
		{"patients", "patients_export", `SELECT patients.erase_again('00000000-0000-4000-8000-000000000001')`},
		{"patients", "patients_export", `SELECT patients.hold_capture()`},
		{"patients", "patients_export", `INSERT INTO patients.lost_death VALUES ('00000000-0000-4000-8000-000000000001', 1)`},
		{"patients", "patients_prune", `SELECT FROM patients.outbox`},
		{"patients", "patients_prune", `DELETE FROM patients.outbox`},
		{"patients", "patients_prune", `UPDATE exporter.plan SET kind = 'snapshot'`},
		{"patients", "patients_prune", `SELECT patients.erase_patient('00000000-0000-4000-8000-000000000001')`},
		{"patients", "patients_privacy", `SELECT FROM patients.patient`},
		{"patients", "patients_privacy", `DELETE FROM patients.erasure`},
		{"morgue", "morgue_import", `CREATE TABLE morgue.mine ()`},
		{"morgue", "morgue_import", `TRUNCATE morgue.ledger`},
		{"morgue", "morgue_import", `UPDATE morgue.decision SET person = 'somebody else'`},
		{"morgue", "morgue_import", `DELETE FROM morgue.decision`},
		{"morgue", "morgue_app", `INSERT INTO morgue.decision (kind, subject, seen, reason, person, login) VALUES ('approve', '', '', 'x', '', '')`},
		{"appointments", "appointments_import", `DELETE FROM appointments.decision`},
		{"morgue", "morgue_import", `ALTER TABLE morgue.checkpoint ADD COLUMN x int`},
		{"morgue", "morgue_app", `SELECT FROM morgue.patient`},
		{"morgue", "morgue_app", `UPDATE morgue.checkpoint SET batch = 0`},
		{"morgue", "morgue_app", `DELETE FROM morgue.case_file`},
		{"appointments", "appointments_app", `UPDATE appointments.checkpoint SET batch = 0`},
		{"appointments", "appointments_app", `DELETE FROM appointments.appointment`},
		{"appointments", "appointments_app", `SELECT FROM appointments.ledger`},
		{"appointments", "appointments_import", `DROP TABLE appointments.appointment`},
	} {
		_, err := h.connect(test.database, test.role).Exec(t.Context(), test.statement)
		refused, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || refused.Code != "42501" { // insufficient_privilege
			t.Errorf("%s in %s: %s: %v", test.role, test.database, test.statement, err)
		}
	}
}

// hospital is three services, each with the roles of its file in postgres.
type hospital struct {
	testing.TB
	urls  map[string]string
	store *store.Place
}

var roles = []string{"patients_app", "patients_export", "patients_prune", "patients_privacy", "morgue_import", "morgue_app", "appointments_import", "appointments_app"}

func newHospital(t *testing.T) *hospital {
	t.Helper()
	place, err := store.Open(store.Config{URL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { place.Close() })
	h := &hospital{TB: t, store: place, urls: map[string]string{}}
	super := connect(t, pgtest.Server(t).SuperURL("postgres"))
	for _, role := range roles {
		exec(t, super, fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s LOGIN PASSWORD 'opensesame'; EXCEPTION WHEN duplicate_object THEN END $$`, role))
	}
	h.service("patients", func(ctx context.Context, url string) error {
		return errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url))
	})
	for _, name := range []string{"morgue", "appointments"} {
		h.service(name, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, h.consumer(name)) })
	}
	return h
}

func (h *hospital) service(name string, migrate func(context.Context, string) error) {
	h.Helper()
	h.urls[name] = pgtest.Database(h.TB, func(ctx context.Context, url string) error {
		return errors.Join(jobs.Migrate(ctx, url), migrate(ctx, url))
	}, name)
	files := []string{name}
	if name == "patients" {
		files = append(files, "patients-prune", "patients-erase")
	}
	h.grant(name, files...)
}

// grant runs files of postgres as the owner of a service's database.
func (h *hospital) grant(service string, files ...string) {
	h.Helper()
	owner := connect(h.TB, h.urls[service])
	for _, file := range files {
		grants, err := os.ReadFile("postgres/" + file + ".sql")
		if err != nil {
			h.Fatal(err)
		}
		exec(h.TB, owner, string(grants))
		exec(h.TB, owner, string(grants)) // again does no harm
	}
}

func (h *hospital) consumer(name string) *importer.Consumer {
	h.Helper()
	files := morgue.Files()
	if name == "appointments" {
		files = appointments.Files()
	}
	consumer, err := importer.LoadConsumer(files)
	if err != nil {
		h.Fatal(err)
	}
	return consumer
}

// as returns the URL of a service's database for another role.
func (h *hospital) as(database, role string) string {
	h.Helper()
	u, err := url.Parse(h.urls[database])
	if err != nil {
		h.Fatal(err)
	}
	u.User = url.UserPassword(role, "opensesame")
	return u.String()
}

func (h *hospital) connect(database, role string) *pgx.Conn {
	h.Helper()
	return connect(h.TB, h.as(database, role))
}

func (h *hospital) may(database, role string, statements ...string) {
	h.Helper()
	conn := h.connect(database, role)
	for _, statement := range statements {
		if tag, err := conn.Exec(h.Context(), statement); err != nil || tag.RowsAffected() == 0 {
			h.Fatalf("%s: %d rows, %v", statement, tag.RowsAffected(), err)
		}
	}
}

func (h *hospital) export(export func(*exporter.Exporter, context.Context) (exporter.Summary, error)) {
	h.Helper()
	e, err := exporter.New(exporter.Config{DatabaseURL: h.as("patients", "patients_export"), Store: h.store, Spool: h.TempDir(), Heartbeat: time.Hour})
	if err != nil {
		h.Fatal(err)
	}
	if s, err := export(e, h.Context()); err != nil || len(s.Batches) == 0 {
		h.Fatal(s, err)
	}
}

// correct publishes again what an owner repaired in the outbox.
func (h *hospital) correct() {
	h.Helper()
	exec(h.TB, connect(h.TB, h.urls["patients"]), `UPDATE patients.outbox SET sex = 'other'`)
	e, err := exporter.New(exporter.Config{DatabaseURL: h.as("patients", "patients_export"), Store: h.store, Spool: h.TempDir()})
	if err != nil {
		h.Fatal(err)
	}
	s, err := e.Rerun(h.Context(), rerun.Options{Batches: []int64{1}, Correct: true, Reason: "a test", Person: "ann"})
	if err != nil || len(s.Corrections) != 1 {
		h.Fatal(s, err)
	}
}

func (h *hospital) prune() {
	h.Helper()
	e, err := exporter.New(exporter.Config{DatabaseURL: h.as("patients", "patients_prune"), Store: h.store, Delete: h.store, Spool: h.TempDir()})
	if err != nil {
		h.Fatal(err)
	}
	if s, err := e.Prune(h.Context(), prune.Options{}); err != nil || s.Batches == 0 || s.Plans == 0 {
		h.Fatal(s, err)
	}
}

func (h *hospital) load(name string) {
	h.Helper()
	i, err := importer.New(importer.Config{
		DatabaseURL: h.as(name, name+"_import"), Store: h.store, Consumer: h.consumer(name), Instance: "east", Spool: h.TempDir(), Zone: time.UTC,
	})
	if err != nil {
		h.Fatal(err)
	}
	if s, err := i.Run(h.Context(), importer.Options{}); err != nil || s.To < 1 {
		h.Fatal(s, err)
	}
}

// rerun notes a person's decision.
func (h *hospital) rerun(name string) {
	h.Helper()
	i, err := importer.New(importer.Config{DatabaseURL: h.as(name, name+"_import"), Store: h.store, Consumer: h.consumer(name), Spool: h.TempDir()})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := i.Rerun(h.Context(), importer.RerunOptions{Batches: []int64{1}, Reason: "a test", Person: "ann"}); err != nil {
		h.Fatal(err)
	}
	if fact := decision.Examine(h.Context(), h.connect(name, name+"_import"), name); fact.Fails || !strings.HasPrefix(fact.Value, "1, chain whole") {
		h.Errorf("%+v", fact)
	}
}

// run has jobs run as a role, leader and all, until one did.
func (h *hospital) run(name, role string) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 5*time.Minute)
	defer cancel()
	schedule, err := jobs.ParseSchedule("@every 1s", time.UTC)
	if err != nil {
		h.Fatal(err)
	}
	var said bytes.Buffer
	ran := false
	err = jobs.Run(ctx, jobs.Config{
		DatabaseURL: func() (string, error) { return h.as(name, role), nil }, Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Jobs: []jobs.Job{{Name: "any", Schedule: schedule, Timeout: time.Minute, Run: func(context.Context, jobs.Task) (jobs.Result, error) {
			ran = true
			cancel()
			return jobs.Result{}, nil
		}}},
	})
	if err != nil || !ran || said.Len() > 0 {
		h.Errorf("run as %s: ran %t, %v\n%s", role, ran, err, said.String())
	}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
