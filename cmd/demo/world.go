package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange/store"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/internal/pg"
	"waybill/internal/servers"
)

// world is one server with three services that cannot reach each other, and a folder between them.
type world struct {
	root     string
	server   *pg.Server
	host     *servers.Host
	exchange servers.Exchange
	store    *store.Place
	services map[string]*service
	exporter *exporter.Exporter
	importer map[string]*importer.Importer
	before   map[uuid.UUID]state // the appointments when it began
}

// service is one party's database, seen by its own role.
type service struct {
	url  string
	conn *pgx.Conn
}

var consumers = []string{"morgue", "appointments"}

func openWorld(ctx context.Context, opt options) (_ *world, err error) {
	w := &world{services: map[string]*service{}, importer: map[string]*importer.Importer{}}
	if w.root, err = os.MkdirTemp("", "waybill-demo-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	// The server runs as another user where this one is root: it needs to get through.
	if err := os.Chmod(w.root, 0o711); err != nil {
		return nil, err
	}
	if w.server, err = pg.Start(ctx, pg.Options{Dir: filepath.Join(w.root, "postgres")}); err != nil {
		return nil, err
	}
	for _, name := range append([]string{"patients"}, consumers...) {
		if w.services[name], err = w.openService(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := w.openStore(ctx, opt.store); err != nil {
		return nil, err
	}
	return w, w.openParties(ctx, opt)
}

func (w *world) openStore(ctx context.Context, kind string) (err error) {
	if w.host, err = servers.StartHost(ctx, kind, filepath.Join(w.root, "store")); err != nil {
		return err
	}
	for _, variable := range w.host.Environment {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if w.exchange, err = w.host.NewExchange(ctx, "exchange"); err != nil {
		return err
	}
	w.store, err = store.Open(store.Config{URL: w.exchange.URL, Secret: func() (string, error) { return w.exchange.Password, nil }})
	return err
}

func (w *world) openService(ctx context.Context, name string) (*service, error) {
	url, err := w.server.CreateService(ctx, name)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, url)
	return &service{url: url, conn: conn}, err
}

// openParties migrates the three databases and sets up the exporter and the importers. The brake
// is set so that a day's deaths pass and a flood would not.
func (w *world) openParties(ctx context.Context, opt options) (err error) {
	url := w.services["patients"].url
	if err := errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url)); err != nil {
		return err
	}
	if w.exporter, err = exporter.New(exporter.Config{
		DatabaseURL: url, Store: w.store, Spool: w.spool("patients"), Release: "demo",
	}); err != nil {
		return err
	}
	for name, files := range map[string]fs.FS{"morgue": morgue.Files(), "appointments": appointments.Files()} {
		consumer, err := importer.LoadConsumer(files)
		if err != nil {
			return err
		}
		if err := importer.Migrate(ctx, w.services[name].url, consumer); err != nil {
			return err
		}
		if w.importer[name], err = importer.New(importer.Config{
			DatabaseURL: w.services[name].url, Store: w.store, Consumer: consumer, Instance: "demo",
			Spool: w.spool(name), ActWithin: opt.actWithin, Brake: opt.brake(), Release: "demo",
		}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) spool(service string) string { return filepath.Join(w.root, "spool-"+service) }

// exchangeAll is what cron does: one export, then one import per consumer.
func (w *world) exchangeAll(ctx context.Context, r *report) error {
	summary, err := w.exporter.Run(ctx)
	if err != nil {
		return err
	}
	r.exported(summary)
	for _, name := range consumers {
		summary, err := w.importer[name].Run(ctx, importer.Options{})
		if err != nil {
			return err
		}
		r.imported(summary)
	}
	return nil
}

// close stops everything and leaves nothing behind.
func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, s := range w.services {
		if s != nil && s.conn != nil {
			_ = s.conn.Close(ctx)
		}
	}
	var err error
	if w.store != nil {
		err = w.store.Close()
	}
	if w.host != nil {
		err = errors.Join(err, w.host.Stop(ctx))
	}
	if w.server != nil {
		err = errors.Join(err, w.server.Stop(ctx))
	}
	return errors.Join(err, os.RemoveAll(w.root))
}

// printAccess writes a configuration per service beside the exchange, and says what to type.
func (w *world) printAccess(out io.Writer, opt options) error {
	for _, name := range append([]string{"patients"}, consumers...) {
		section := "export: {}\n"
		if name != "patients" {
			section = fmt.Sprintf("import: {consumer: %s, instance: demo, brake: %d, act_within: %s}\n", name, opt.brake(), opt.actWithinText())
		}
		text := fmt.Sprintf("service: %s\ndatabase: %s\nstore: %s\n%sspool: %s\n%s", name, w.services[name].url, w.exchange.URL, w.passwordSetting(), w.spool(name), section)
		if err := os.WriteFile(filepath.Join(w.root, name+".yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, `
kept running until interrupted; in another terminal:
  make build && export WAYBILL_CONFIG=%s%s
  bin/waybill status
  bin/waybill batches
  bin/waybill verify
  psql %s
  psql %s
  psql %s
`, w.root, w.exports(), w.services["patients"].url, w.services["morgue"].url, w.services["appointments"].url)
	return err
}

func (w *world) passwordSetting() string {
	if w.exchange.Password == "" {
		return ""
	}
	return "store_password: " + w.exchange.Password + "\n"
}

// exports is what the shell of another terminal needs for the store.
func (w *world) exports() string {
	if len(w.host.Environment) == 0 {
		return ""
	}
	return " " + strings.Join(w.host.Environment, " ")
}
