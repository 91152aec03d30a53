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
	"waybill/schemas"
)

// site is a patients service and the consumers, as a site would set them up.
type site struct {
	dir    string
	server *pg.Server
	urls   map[string]string
	conn   map[string]*pgx.Conn
	stored int64 // bytes of the parts
	copied int64 // bytes of the same rows in binary COPY
}

// consumer is an importing service. One without files is built into the binary.
type consumer struct {
	name  string
	what  string
	files map[string]string
}

const patients = "patients"

// consumers is what is measured: what loading costs at least, with a projection, and with effects.
func consumers() []consumer {
	events := "events: [" + strings.Join(schemas.PatientEvents().Events(), ", ") + "]\n"
	return []consumer{
		{name: "archive", what: "all events, appended", files: map[string]string{
			"consumer.yaml":       "name: archive\nappend: event\n" + events,
			"migrations/1_up.sql": "-- +goose Up\n" + createKeyed("event"),
		}},
		{name: "mirror", what: "all events, projected", files: map[string]string{
			"consumer.yaml":       "name: mirror\n" + events,
			"apply.sql":           "SELECT;",
			"migrations/1_up.sql": "-- +goose Up\nSELECT;",
		}},
		{name: "morgue", what: "deaths, a case for each"},
	}
}

func createPlain(table string) string {
	return fmt.Sprintf("CREATE TABLE %s (%s);\n", table, pg.Columns(schemas.PatientEvents()))
}

func createKeyed(table string) string {
	return createPlain(table) + fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (patient_id, generation, version, revision);\n", table)
}

func open(ctx context.Context) (_ *site, err error) {
	s := &site{urls: map[string]string{}, conn: map[string]*pgx.Conn{}}
	if s.dir, err = os.MkdirTemp("", "waybill-bench-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.Mkdir(s.path("spool"), 0o700); err != nil {
		return nil, err
	}
	// The server runs as another user where this one is root: it needs to get through.
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
	// Where plain COPY goes to.
	if err := s.service(ctx, "plain"); err != nil {
		return nil, err
	}
	_, err = s.conn["plain"].Exec(ctx, createPlain("plain")+createKeyed("keyed"))
	return s, err
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// build makes the real binary; its module is the folder above.
func (s *site) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.path("waybill"), "./cmd/waybill")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

func (s *site) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, conn := range s.conn {
		_ = conn.Close(ctx)
	}
	var err error
	if s.server != nil {
		err = s.server.Stop(ctx)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// service makes a service's database.
func (s *site) service(ctx context.Context, name string) (err error) {
	if s.urls[name], err = s.server.CreateService(ctx, name); err != nil {
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
	text := fmt.Sprintf("service: %s\ndatabase: %s\nstore: file://%s\nspool: %s\n%s\n",
		name, s.urls[name], s.path("exchange"), s.path("spool"), settings)
	if err := os.WriteFile(s.path(name+".yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	return s.migrate(ctx, name)
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
