// Package site runs three services that cannot reach each other (patients, morgue, appointments),
// each with a PostgreSQL database of its own, and a store between them: for the demonstration,
// the torture and the endurance run.
package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange/store"
	"waybill/importer"
	"waybill/lab/pg"
	"waybill/lab/servers"
)

// Patients is the service that exports.
const Patients = "patients"

// Consumers are the services that import.
func Consumers() []string { return []string{"morgue", "appointments"} }

// Services are all services, the exporting one first.
func Services() []string { return append([]string{Patients}, Consumers()...) }

// Options describe a site.
type Options struct {
	Name  string // of its folder and its importers' instances
	Store string // one of servers.AllKinds
	// Apart gives each service a separate PostgreSQL server, not only a database.
	Apart bool
	// Clocks gives each server a clock that can be set.
	Clocks bool
	// Postgres says how the servers run, but for their folders.
	Postgres pg.Options
	// Secure has the services sign and seal what they write, and demand it of each other.
	Secure bool
	// Instances are more names that importers run by, for the keys of their receipts.
	Instances []string
	// ActWithin and Brake are the importers'.
	ActWithin time.Duration
	Brake     int
}

// ActWithinText is ActWithin as a configuration file has it.
func (o Options) ActWithinText() string {
	if o.ActWithin == importer.Unlimited {
		return "unlimited"
	}
	return o.ActWithin.String()
}

// Site is a running site. Close ends it.
type Site struct {
	Options
	Root     string // everything it keeps on disk is below
	Host     *servers.Host
	Exchange servers.Exchange
	Services map[string]*Service

	servers []*pg.Server
	keys    map[string]*Keys
	clock   *servers.Clock // the last server's
	places  []*store.Place
}

// Service is one party's database.
type Service struct {
	Name   string
	URL    string // for its own role, which can't reach other databases
	Server *pg.Server
	Clock  *servers.Clock // the server's; nil unless asked for
}

// Connect opens a connection as the service's application does.
func (s *Service) Connect(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.URL) }

// Open starts the servers and makes the services' tables. ctx bounds the start.
func Open(ctx context.Context, opt Options) (_ *Site, err error) {
	s := &Site{Options: opt, Services: map[string]*Service{}}
	if s.Root, err = os.MkdirTemp("", "waybill-"+opt.Name+"-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// If this process is root, servers run as another user, who must reach the folders below.
	if err := os.Chmod(s.Root, 0o711); err != nil {
		return nil, err
	}
	if err := s.makeKeys(); err != nil {
		return nil, err
	}
	for _, name := range Services() {
		if err := s.openService(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := s.openExchange(ctx); err != nil {
		return nil, err
	}
	return s, s.migrate(ctx)
}

func (s *Site) openService(ctx context.Context, name string) error {
	if s.Apart || len(s.servers) == 0 {
		opt := s.Postgres
		opt.Dir = filepath.Join(s.Root, "postgres")
		if s.Apart {
			opt.Dir += "-" + name
		}
		if s.Clocks {
			var err error
			if s.clock, err = servers.NewClock(opt.Dir + ".clock"); err != nil {
				return err
			}
			opt.Environment = s.clock.Environment()
		}
		server, err := pg.Start(ctx, opt)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, server)
	}
	server := s.servers[len(s.servers)-1]
	if err := os.Mkdir(s.Spool(name), 0o700); err != nil {
		return err
	}
	url, err := server.CreateService(ctx, name)
	s.Services[name] = &Service{Name: name, URL: url, Server: server, Clock: s.clock}
	return err
}

// openExchange also puts what the store's clients need into this process's environment.
func (s *Site) openExchange(ctx context.Context) (err error) {
	if s.Host, err = servers.StartHost(ctx, s.Store, s.StoreFolder()); err != nil {
		return err
	}
	for _, variable := range s.Host.Environment {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	s.Exchange, err = s.Host.NewExchange(ctx, "exchange")
	return err
}

// StoreFolder is where the store's server keeps all that it has.
func (s *Site) StoreFolder() string { return filepath.Join(s.Root, "store") }

// Place opens the exchange until the site is closed.
func (s *Site) Place() (*store.Place, error) {
	place, err := store.Open(store.Config{URL: s.Exchange.URL, Secret: func() (string, error) { return s.Exchange.Password, nil }})
	if err == nil {
		s.places = append(s.places, place)
	}
	return place, err
}

// Spool is the folder for a service's temporary files.
func (s *Site) Spool(service string) string { return filepath.Join(s.Root, "spool-"+service) }

// Close stops everything and removes all files.
func (s *Site) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var failed []error
	for _, place := range s.places {
		failed = append(failed, place.Close())
	}
	if s.Host != nil {
		failed = append(failed, s.Host.Stop(ctx))
	}
	for _, server := range s.servers {
		failed = append(failed, server.Stop(ctx))
	}
	return errors.Join(append(failed, os.RemoveAll(s.Root))...)
}
