package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/lab/servers"
)

// Consumer returns one of the built-in consumers.
func Consumer(name string) (*importer.Consumer, error) {
	files := map[string]func() fs.FS{"morgue": morgue.Files, "appointments": appointments.Files}[name]
	if files == nil {
		return nil, fmt.Errorf("there is no consumer %q", name)
	}
	return importer.LoadConsumer(files())
}

func (s *Site) migrate(ctx context.Context) error {
	url := s.Services[Patients].URL
	if err := errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url)); err != nil {
		return err
	}
	for _, name := range Consumers() {
		consumer, err := Consumer(name)
		if err != nil {
			return err
		}
		if err := importer.Migrate(ctx, s.Services[name].URL, consumer); err != nil {
			return err
		}
	}
	return nil
}

// Exporter returns the patients service's exporter, to run in this process.
func (s *Site) Exporter(place exchange.Store) (*exporter.Exporter, error) {
	keys := s.Keys(Patients)
	return exporter.New(exporter.Config{
		Sign: keys.Sign, Trust: keys.Trust, Secrets: keys.Secrets, Readers: keys.Readers,
		DatabaseURL: s.Services[Patients].URL, Store: place, Spool: s.Spool(Patients), Release: s.Name,
	})
}

// Importer returns a consumer's importer, to run in this process.
func (s *Site) Importer(name string, place importer.Store) (*importer.Importer, error) {
	return s.importer(name, place, false)
}

// Observer returns the same importer while its mode is observe.
func (s *Site) Observer(name string, place importer.Store) (*importer.Importer, error) {
	return s.importer(name, place, true)
}

func (s *Site) importer(name string, place importer.Store, observe bool) (*importer.Importer, error) {
	consumer, err := Consumer(name)
	if err != nil {
		return nil, err
	}
	keys := s.Keys(name)
	return importer.New(importer.Config{
		Sign: keys.Sign, Trust: keys.Trust, Open: keys.Open,
		DatabaseURL: s.Services[name].URL, Store: place, Consumer: consumer, Instance: s.Name,
		Spool: s.Spool(name), ActWithin: s.ActWithin, Brake: s.Brake, Release: s.Name, Observe: observe,
	})
}

// Party is a process's view of the site, as its configuration file says it.
type Party struct {
	Service  string
	Database string           // URL
	Exchange servers.Exchange // by the address that this party reaches it at
	Spool    string
	Section  string // the line `export: …` or `import: …`
	Keys     string // settings of its keys
}

// Party returns the plain view of a service.
func (s *Site) Party(service string) Party {
	section := "export: {}"
	if service != Patients {
		section = fmt.Sprintf("import: {consumer: %s, instance: %s, brake: %d, act_within: %s}", service, s.Name, s.Brake, s.ActWithinText())
	}
	return Party{service, s.Services[service].URL, s.Exchange, s.Spool(service), section, s.Keys(service).Settings}
}

// Write writes the configuration file, for the binary.
func (p Party) Write(file string) error {
	password := ""
	if p.Exchange.Password != "" {
		password = "store_password: " + p.Exchange.Password + "\n"
	}
	text := fmt.Sprintf("service: %s\ndatabase: %s\nstore: %s\n%sspool: %s\n%s\n%s",
		p.Service, p.Database, p.Exchange.URL, password, p.Spool, p.Section, p.Keys)
	return os.WriteFile(file, []byte(text), 0o600)
}
