package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
	"waybill/lab/servers"
	"waybill/schemas"
)

// site is a patients service and its consumers, set up as in production.
type site struct {
	dir    string
	store  servers.Exchange
	server *pg.Server
	urls   map[string]string
	conn   map[string]*pgx.Conn

	patients int
	copied   int64         // bytes of the events in binary COPY
	keyed    time.Duration // COPY of them into a table with their key, in this round

	prefix string  // of its databases
	others []*site // on the same server
	pair   []*site // of them, with small logs, in the open and secured
}

// consumer is an importing service. One without files is built into the binary.
type consumer struct {
	name  string
	files map[string]string
}

const patients = "patients"

// consumers returns the measured consumers: one with the least work, one with a projection, and one with effects.
func consumers() []consumer {
	events := "events: [" + strings.Join(schemas.PatientEvents().Events(), ", ") + "]\n"
	return []consumer{
		{name: "archive", files: map[string]string{
			"consumer.yaml":       "name: archive\nappend: event\n" + events,
			"migrations/1_up.sql": "-- +goose Up\n" + createKeyed("event"),
		}},
		{name: "mirror", files: map[string]string{
			"consumer.yaml":       "name: mirror\n" + events,
			"apply.sql":           "SELECT;",
			"migrations/1_up.sql": "-- +goose Up\nSELECT;",
		}},
		{name: "arrivals", files: map[string]string{
			"consumer.yaml": "name: arrivals\n" + events,
			"apply.sql": `INSERT INTO arrived (patient_id) SELECT patient_id FROM changed JOIN patient p USING (patient_id)
				WHERE p.death_status IN ('informal', 'formal') ON CONFLICT DO NOTHING;`,
			"migrations/1_up.sql": "-- +goose Up\n" + createArrived,
		}},
		{name: "morgue"},
	}
}

func createKeyed(table string) string {
	return fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (patient_id, generation, version, revision));\n", table, pg.Columns(schemas.PatientEvents()))
}

func open(ctx context.Context) (_ *site, err error) {
	s := &site{urls: map[string]string{}, conn: map[string]*pgx.Conn{}}
	if s.dir, err = os.MkdirTemp("", "waybill-bench-*"); err != nil {
		return nil, err
	}
	s.store.URL = "file://" + s.path("exchange")
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.Mkdir(s.path("spool"), 0o700); err != nil {
		return nil, err
	}
	// If this process is root, the server runs as another user, who must be able to enter this folder.
	if err := os.Chmod(s.dir, 0o711); err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	if s.server, err = pg.Start(ctx, pg.Options{Dir: s.path("postgres")}); err != nil {
		return nil, err
	}
	if err := s.party(ctx, patients, "export: {}"); err != nil {
		return nil, err
	}
	for _, c := range consumers() {
		if err := s.consumer(ctx, c); err != nil {
			return nil, err
		}
	}
	// The target of plain COPY.
	if err := s.service(ctx, "plain"); err != nil {
		return nil, err
	}
	_, err = s.conn["plain"].Exec(ctx, createKeyed("keyed"))
	return s, err
}

// another makes a small site on the same server.
func (s *site) another(name string) (*site, error) {
	of := &site{dir: s.path(name + "_small"), prefix: name + "_", server: s.server, urls: map[string]string{}, conn: map[string]*pgx.Conn{}}
	of.store.URL = "file://" + of.path("exchange")
	s.others = append(s.others, of)
	return of, errors.Join(os.Mkdir(of.dir, 0o711), os.Mkdir(of.path("exchange"), 0o755), os.Mkdir(of.path("spool"), 0o700),
		os.Symlink(s.path("waybill"), of.path("waybill")))
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// build makes the real binary; its module is two folders above.
func (s *site) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.path("waybill"), "./cmd/waybill")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

func (s *site) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, of := range append(s.others, s) {
		for _, conn := range of.conn {
			_ = conn.Close(ctx)
		}
	}
	var err error
	if s.server != nil {
		err = s.server.Stop(ctx)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// service makes a service's database.
func (s *site) service(ctx context.Context, name string) (err error) {
	if s.urls[name], err = s.server.CreateService(ctx, s.prefix+name); err != nil {
		return err
	}
	s.conn[name], err = pgx.Connect(ctx, s.urls[name])
	return err
}

// party makes a service that takes part in the exchange.
func (s *site) party(ctx context.Context, name, settings string) error {
	if err := s.service(ctx, name); err != nil {
		return err
	}
	if err := s.configure(s.path(name+".yaml"), name, s.store, settings); err != nil {
		return err
	}
	return s.migrate(ctx, name)
}

func (s *site) configure(file, name string, exchange servers.Exchange, settings string) error {
	if exchange.Password != "" {
		settings += "\nstore_password: " + exchange.Password
	}
	text := fmt.Sprintf("service: %s\ndatabase: %s\nstore: %s\nspool: %s\n%s\n", name, s.urls[name], exchange.URL, s.path("spool"), settings)
	return os.WriteFile(file, []byte(text), 0o600)
}

func (s *site) consumer(ctx context.Context, c consumer) error {
	folder := c.name
	for name, text := range c.files {
		folder = "./" + c.name
		file := s.path(filepath.Join(c.name, name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return s.party(ctx, c.name, fmt.Sprintf("import: {consumer: %s, brake: off}", folder))
}
