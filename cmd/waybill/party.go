package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waybill/cmd/waybill/observe"
	"waybill/exchange"
	"waybill/exchange/guard"
	"waybill/exchange/store"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/schemas"
)

// installation is what the configuration files declare, and the stores that were opened for it.
type installation struct {
	paths   []string
	flags   string // that name them in commands that a person is to type
	log     *slog.Logger
	metrics *observe.Metrics
	service string       // the service that was named last; "" for several, or none
	policy  guard.Policy // how patient stores are; the zero value is the default
	opened  []io.Closer
}

// close closes the stores. It ignores failures, because the work is already done.
func (on *installation) close() {
	for _, place := range on.opened {
		_ = place.Close()
	}
}

// databaseURL reads the secret at each call, so that it can be rotated.
func (p *place) databaseURL() (string, error) {
	return setting.Source{Of: p.path, Key: "database", Text: p.Database, File: p.DatabaseFile, Hint: "set it, or use database_file"}.Read()
}

func (p *place) openStore(on *installation) (*store.Place, error) {
	url, err := setting.Source{Of: p.path, Key: "store", Text: p.Store, Hint: "set it, or write the store out"}.Read()
	if err != nil {
		return nil, err
	}
	password := setting.Source{
		Of: p.path, Key: "store_password", Text: p.StorePassword, File: p.StorePasswordFile, Hint: "set it, or use store_password_file",
	}
	opened, err := store.Open(store.Config{URL: url, Secret: password.Optional(), AllowPlaintext: p.AllowPlaintext, Policy: on.policy, Stream: p.stream})
	if err != nil {
		return nil, err
	}
	on.opened = append(on.opened, opened)
	return opened, nil
}

// streamFlag chooses one of the streams on a store.
type streamFlag struct {
	Stream string `json:"stream,omitempty" placeholder:"NAME" help:"The stream (default: the newest that is published or followed here)."`
}

// of returns the party's configuration for the chosen stream.
func (f streamFlag) of(party *config) (*config, error) {
	if f.Stream == "" {
		return party, nil
	}
	if schemas.ContractOf(f.Stream) == nil {
		return nil, fault.New(fault.Usage, "read", "--stream", fmt.Errorf("this release has %s, not %q", strings.Join(schemas.Streams(), ", "), f.Stream), "")
	}
	return party.on(f.Stream), nil
}

func (c *config) on(stream string) *config {
	of := *c
	of.stream = stream
	return &of
}

// each returns the party's configuration for each of its streams.
func (c *config) each() []*config {
	if c.Export == nil {
		return []*config{c}
	}
	var list []*config
	for _, stream := range c.Export.Streams {
		list = append(list, c.on(stream))
	}
	return list
}

// label names the service, and the stream if it has several.
func (c *config) label() string {
	if len(c.each()) == 1 {
		return c.Service
	}
	return c.Service + "/" + c.stream
}

// openLog returns the log of the first configuration, and its time zone.
func (on *installation) openLog(of streamFlag) (*exchange.Parts, *time.Location, error) {
	parties, err := on.configs("")
	if err != nil {
		return nil, nil, err
	}
	party, err := of.of(parties[0])
	if err != nil {
		return nil, nil, err
	}
	place, err := party.openStore(on)
	if err != nil {
		return nil, nil, err
	}
	reader, err := on.opener(place, party)
	return reader, party.zone, err
}

// configs returns the configurations of the named service, or of all.
func (on *installation) configs(service string) ([]*config, error) {
	list, broken, err := on.readConfigs()
	if err != nil {
		return nil, err
	}
	known := make([]string, len(list))
	for i, c := range list {
		known[i] = c.Service
	}
	named := func(c *config) bool { return service == "" || c.Service == service }
	list = slices.DeleteFunc(list, func(c *config) bool { return !named(c) })
	for _, b := range broken {
		if named(b.config) || len(list) == 0 {
			return nil, b.err
		}
	}
	if len(list) == 0 {
		return nil, on.noConfig(service, known)
	}
	return list, nil
}

// noConfig returns the error that the service has no configuration (for "", that no service has),
// and names the services that have one.
func (on *installation) noConfig(service string, known []string) error {
	where := strings.Join(on.paths, ", ")
	if where == "." {
		where, _ = os.Getwd() // "" if the folder is gone: then nothing can be named
	}
	if service == "" || len(known) == 0 {
		example, similar := service, ""
		if !slices.Contains(builtIn, service) {
			example, similar = "SERVICE", setting.DidYouMean(service, builtIn)
		}
		return fault.New(fault.Usage, "find", "configuration", fmt.Errorf("no service's file lies in %s%s", where, similar),
			"`waybill init "+example+"` writes one; --config or WAYBILL_CONFIG names another file or folder")
	}
	return fault.New(fault.Usage, "find", "configuration", fmt.Errorf("no file in %s is for service %s%s", where, service, setting.DidYouMean(service, known)),
		"configured there: "+strings.Join(known, ", ")+"; --config names another file or folder")
}

// brokenConfig is a file that can't be used. Its service is known from its name or its text.
type brokenConfig struct {
	*config
	err error
}

// readConfigs reads all files. It returns the good ones, the exporting party first, and separately
// those that can't be used, so that they don't stop the other services.
func (on *installation) readConfigs() (list []*config, broken []brokenConfig, err error) {
	for _, path := range on.paths {
		files, err := configFiles(path)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			c, err := readConfig(file)
			if err != nil {
				name := strings.TrimSuffix(filepath.Base(file), ".yaml")
				c = &config{Service: name, place: place{path: file, zone: time.UTC}}
				c.readNotify()
				broken = append(broken, brokenConfig{c, err})
				continue
			}
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b *config) int { return cmp.Compare(a.rank(), b.rank()) })
	for i, c := range list {
		if first := slices.IndexFunc(list, func(other *config) bool { return other.Service == c.Service }); first < i {
			broken = append(broken, brokenConfig{c, fault.New(fault.Usage, "find", "configuration",
				fmt.Errorf("both %s and %s are for service %s", list[first].path, c.path, c.Service), "remove one, or name one with --config")})
		}
	}
	return list, broken, nil
}

func (c *config) rank() int {
	if c.Export != nil {
		return 0
	}
	return 1
}

// configFiles returns path itself, or the files in it.
func configFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "find", path, errors.Unwrap(err), "--config names a file or a folder")
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	slices.Sort(files)
	return files, err
}

// config returns the one configuration of a service.
func (on *installation) config(service string) (*config, error) {
	list, err := on.configs(service)
	if err != nil {
		return nil, err
	}
	if on.service != service {
		on.service = service
		on.log = on.log.With("service", service)
	}
	return list[0], nil
}

// measured returns a party's store with its operations measured.
func (on *installation) measured(c *config, place *store.Place) exchange.Store {
	return on.metrics.Store(c.Service, place, on.log)
}

func (c *config) exporter(on *installation) (*exporter.Exporter, error) {
	url, err := c.databaseURL()
	if err != nil {
		return nil, err
	}
	place, err := c.openStore(on)
	if err != nil {
		return nil, err
	}
	sign, err := c.Sign.signers()
	if err != nil {
		return nil, err
	}
	secrets, readers, err := c.Seal.secrets()
	if err != nil {
		return nil, err
	}
	return exporter.New(exporter.Config{
		Secrets: secrets, Readers: readers, Sign: sign, Trust: c.Trust, DatabaseURL: url, Contract: schemas.ContractOf(c.stream), Streams: c.Export.Streams,
		Store: on.measured(c, place), Delete: place, Spool: c.Spool,
		Heartbeat: time.Duration(c.Export.Heartbeat), BatchEvents: c.Export.BatchEvents,
		Release: release(), Log: on.log,
		Published: func(b exporter.BatchSummary) { on.metrics.Published(c.Service, b) },
	})
}

func (c *config) importer(on *installation) (*importer.Importer, error) {
	url, err := c.databaseURL()
	if err != nil {
		return nil, err
	}
	place, err := c.openStore(on)
	if err != nil {
		return nil, err
	}
	sign, err := c.Sign.signers()
	if err != nil {
		return nil, err
	}
	open, err := c.opening()
	if err != nil {
		return nil, err
	}
	return importer.New(importer.Config{
		Open: open, Sign: sign, Trust: c.Trust, DatabaseURL: url, Store: on.measured(c, place), Delete: place, Consumer: c.consumer, Instance: c.Import.Instance, Spool: c.Spool,
		Grace: time.Duration(c.Import.Grace), LateAfter: time.Duration(c.Import.LateAfter), Lease: time.Duration(c.Import.Lease), LockWait: time.Duration(c.Import.LockWait), ActWithin: time.Duration(c.Import.ActWithin),
		Brake: int(*c.Import.Brake), Observe: c.Import.Mode == "observe", QuarantineRows: c.Import.QuarantineRows,
		MaxPartBytes: c.Import.MaxPartMiB << 20, Zone: c.zone, Log: on.log, Release: release(),
		Loaded: func(b importer.BatchSummary) { on.metrics.Loaded(c.Service, c.Import.Mode == "observe", b) },
	})
}
