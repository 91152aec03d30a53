package main_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange/seal"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
)

// binary is the real program, built with its crash points when it is first asked for: those who
// fuzz a function don't.
var binary = sync.OnceValue(func() string { return release("this", nil) })

var binaries = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "waybill-test-*")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	// Every S3 server of the tests knows the same user.
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": servers.S3Root.ID, "AWS_SECRET_ACCESS_KEY": servers.S3Root.Secret} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	pgtest.Main(m, hosttest.Stop, func() { os.RemoveAll(binaries()) })
}

// site is three services with their configurations in one folder, and nothing else in common
// than the exchange.
type site struct {
	testing.TB
	dir   string
	place hosttest.Exchange
	urls  map[string]string
	conn  map[string]*pgx.Conn

	program  string    // another release; "": this one
	keys     seal.Keys // that open the log's parts
	partners []*partner
}

func newSite(t testing.TB) *site {
	t.Helper()
	return newSiteAt(t, hosttest.New(t))
}

// newSiteAt is a site whose services meet at the given place.
func newSiteAt(t testing.TB, place hosttest.Exchange) *site {
	t.Helper()
	s := &site{TB: t, dir: t.TempDir(), place: place, urls: map[string]string{}, conn: map[string]*pgx.Conn{}}
	s.service("patients", "export: {heartbeat: 1h}", func(ctx context.Context, url string) error {
		return errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url))
	})
	for name, files := range map[string]func() (*importer.Consumer, error){
		"morgue":       func() (*importer.Consumer, error) { return importer.LoadConsumer(morgue.Files()) },
		"appointments": func() (*importer.Consumer, error) { return importer.LoadConsumer(appointments.Files()) },
	} {
		consumer, err := files()
		if err != nil {
			t.Fatal(err)
		}
		s.service(name, "import: {instance: east, brake: 1000}", func(ctx context.Context, url string) error {
			return importer.Migrate(ctx, url, consumer)
		})
	}
	return s
}

// exchange is the folder of the exchange on disk.
func (s *site) exchange() string { return s.place.Path }

func (s *site) service(name, section string, migrate func(context.Context, string) error) {
	s.Helper()
	s.urls[name] = pgtest.Database(s.TB, migrate, name)
	s.configure(name, section)
	conn, err := pgx.Connect(s.Context(), s.urls[name])
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	s.conn[name] = conn
}

func (s *site) configure(name, section string) {
	s.Helper()
	text := fmt.Sprintf("service: %s\ndatabase: %s\n%sspool: %s\n%s\n", name, s.urls[name], s.place.Settings(), filepath.Join(s.dir, "spool"), section)
	err := errors.Join(os.MkdirAll(filepath.Join(s.dir, "spool"), 0o700), os.WriteFile(filepath.Join(s.dir, name+".yaml"), []byte(text), 0o600))
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) exec(service, sql string, arguments ...any) {
	s.Helper()
	if _, err := s.conn[service].Exec(s.Context(), sql, arguments...); err != nil {
		s.Fatal(err)
	}
}

// command returns the binary with arguments and, as environment, NAME=value pairs.
func (s *site) command(environment []string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(s.waybill(), arguments...)
	cmd.Env = append(append(os.Environ(), "WAYBILL_CONFIG="+s.dir), environment...)
	cmd.Dir = s.dir
	return cmd
}

func (s *site) waybill() string { return cmp.Or(s.program, binary()) }

// as is the same site with another release of the program.
func (s *site) as(program string) *site {
	other := *s
	other.program = program
	return &other
}

// longest is how long a command may take that should end by itself, less than the limit of a planted mistake's tests.
const longest = 4 * time.Minute

// result is what a finished command left.
type result struct {
	code   int
	signal syscall.Signal
	stdout string
	stderr string
}

func (s *site) run(environment []string, arguments ...string) result {
	s.Helper()
	cmd := s.command(environment, arguments...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Start()
	if err == nil {
		late := time.AfterFunc(longest, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		if !late.Stop() {
			s.Fatalf("waybill %s had not ended after %s\n%s%s", strings.Join(arguments, " "), longest, stdout.String(), stderr.String())
		}
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		s.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.signal = status.Signal()
	}
	if s.program == "" && slices.Contains(arguments, "--json") {
		s.conforms(arguments, r.stdout)
	}
	return r
}

// do runs a command that must succeed and returns what it printed.
func (s *site) do(arguments ...string) string {
	s.Helper()
	r := s.run(nil, arguments...)
	if r.code != 0 {
		s.Fatalf("waybill %s: exit %d\n%s%s", strings.Join(arguments, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails runs a command that must fail with the code and say all of these.
func (s *site) fails(code int, says []string, arguments ...string) {
	s.Helper()
	r := s.run(nil, arguments...)
	if r.code != code {
		s.Errorf("waybill %s: exit %d, want %d\n%s%s", strings.Join(arguments, " "), r.code, code, r.stdout, r.stderr)
	}
	for _, want := range says {
		if !strings.Contains(r.stderr, want) {
			s.Errorf("waybill %s does not say %q but\n%s", strings.Join(arguments, " "), want, r.stderr)
		}
	}
}

// events is the log as its readers see it, in order.
func (s *site) events() []string {
	s.Helper()
	events, err := logtest.Events(s.Context(), s.place.Open(s), s.keys...)
	if err != nil {
		s.Fatal(err)
	}
	lines := make([]string, len(events))
	for i, e := range events {
		lines[i] = fmt.Sprintf("%d %s %s %d", e.Batch, e.Event, e.Patient, e.Version)
	}
	slices.Sort(lines) // sealed ones are in parts by reader
	return lines
}

// rows is everything the consumers hold but surrogate ids and times.
func (s *site) rows() []string {
	s.Helper()
	var all []string
	for service, queries := range map[string][]string{
		"morgue": {
			`SELECT concat_ws(' ', 'case', patient_id, death_no, state, family_name) FROM morgue.case_file`,
			`SELECT concat_ws(' ', 'patient', patient_id, version, death_status) FROM morgue.patient`,
			`SELECT concat_ws(' ', 'effect', batch, kind, patient_id) FROM morgue.effect_log`,
			`SELECT concat_ws(' ', 'ledger', batch, rerun, rows, changed, effects) FROM morgue.ledger`,
			`SELECT concat_ws(' ', 'checkpoint', batch, receipt) FROM morgue.checkpoint`,
		},
		"appointments": {
			`SELECT concat_ws(' ', 'appointment', id, status, cancellation_reason, revision) FROM appointments.appointment`,
			`SELECT concat_ws(' ', 'worklist', reason, appointment_id, patient_id) FROM appointments.worklist`,
			`SELECT concat_ws(' ', 'effect', batch, kind, subject) FROM appointments.effect_log`,
			`SELECT concat_ws(' ', 'ledger', batch, rerun, rows, changed, effects) FROM appointments.ledger`,
			`SELECT concat_ws(' ', 'checkpoint', batch, receipt) FROM appointments.checkpoint`,
		},
	} {
		for _, query := range queries {
			rows, err := s.conn[service].Query(s.Context(), query)
			if err != nil {
				s.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				s.Fatal(err)
			}
			for _, line := range lines {
				all = append(all, service+" "+line)
			}
		}
	}
	slices.Sort(all)
	return all
}
