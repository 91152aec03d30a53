package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/notify"
	"waybill/schemas"
)

// place is the database and the log of a service, or of a partner with a separate database.
type place struct {
	Database          string `yaml:"database"`
	DatabaseFile      string `yaml:"database_file"`
	Store             string `yaml:"store"`
	StorePassword     string `yaml:"store_password"`
	StorePasswordFile string `yaml:"store_password_file"`
	AllowPlaintext    string `yaml:"allow_plaintext"`
	Spool             string `yaml:"spool"`

	Sign  *signConfig   `yaml:"sign"`
	Trust *trust.Policy `yaml:"trust"`
	Seal  *sealConfig   `yaml:"seal"`
	Open  *seal.Opener  `yaml:"open"`

	path   string
	zone   *time.Location
	stream string // the stream that is read or written there
}

// config is one party's file. It has either export or import.
type config struct {
	Service   string `yaml:"service"`
	place     `yaml:",inline"`
	Zone      string        `yaml:"zone"`
	Retention duration      `yaml:"retention"`
	Export    *exportConfig `yaml:"export"`
	Import    *importConfig `yaml:"import"`
	Jobs      jobsConfig    `yaml:"jobs"`

	Notify *notify.Settings `yaml:"notify"`

	consumer *importer.Consumer // of an importing party
	plans    []plan             // what `run` runs
}

type exportConfig struct {
	Streams     []string `yaml:"streams"`
	Heartbeat   duration `yaml:"heartbeat"`
	Grace       duration `yaml:"grace"`
	BatchEvents int      `yaml:"batch_events"`
}

type importConfig struct {
	Consumer       string   `yaml:"consumer"`
	Instance       string   `yaml:"instance"`
	Grace          duration `yaml:"grace"`
	LateAfter      duration `yaml:"late_after"`
	Lease          duration `yaml:"lease"`
	LockWait       duration `yaml:"lock_wait"`
	ActWithin      duration `yaml:"act_within"`
	Brake          *brake   `yaml:"brake"`
	Mode           string   `yaml:"mode"`
	QuarantineRows int      `yaml:"quarantine_rows"`
	MaxPartMiB     int64    `yaml:"max_part_mib"`
}

// duration is a Go duration, a number of days ("30d"), or "unlimited".
type duration time.Duration

func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	if node.Value == "unlimited" {
		*d = duration(importer.Unlimited)
		return nil
	}
	parsed, err := setting.ParseDuration(node.Value)
	*d = duration(parsed)
	return err
}

// brake is a number of effects, or "off".
type brake int

func (b *brake) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := parseBrake(node.Value)
	if err == nil {
		*b = *parsed
	}
	return err
}

func parseBrake(text string) (*brake, error) {
	if text == "off" {
		return new(brake(0)), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("brake %q is neither a number of at least 1 nor off", text)
	}
	return new(brake(n)), nil
}

// defaultBrake applies unless a file sets another or turns it off.
const defaultBrake brake = 50

// defaults returns the values of settings that a file leaves out.
func defaults() config {
	return config{Zone: "UTC", place: place{Spool: os.TempDir()}}
}

// readConfig reads and checks one file, without connecting to anything.
func readConfig(path string) (*config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.Unwrap(err), "`waybill init SERVICE` writes one")
	}
	return parseConfig(path, data)
}

// parseConfig parses and checks data, the content of the file path.
func parseConfig(path string, data []byte) (*config, error) {
	c := defaults()
	if err := setting.Load(data, &c); err != nil {
		return nil, fault.New(fault.Usage, "read", path, err, "`waybill help configuration` lists the settings")
	}
	c.path = path
	c.takeEmptySections(data)
	if err := c.check(); err != nil {
		return nil, fault.New(fault.Usage, "check", path, setting.WithLine(err, data), "")
	}
	return &c, nil
}

// takeEmptySections gives a section the defaults if all its settings are commented out: in YAML
// such a section is null.
func (c *config) takeEmptySections(data []byte) {
	var keys map[string]yaml.Node
	if err := yaml.Load(data, &keys); err != nil {
		return
	}
	if _, there := keys["export"]; there && c.Export == nil {
		c.Export = &exportConfig{}
	}
	if _, there := keys["import"]; there && c.Import == nil {
		c.Import = &importConfig{}
	}
}

func (c *config) check() (err error) {
	switch {
	case c.Service == "":
		return setting.Errorf("service", "name the service this file is for")
	case (c.Export == nil) == (c.Import == nil):
		return setting.Errorf("service", "there must be either `export:` or `import:` settings")
	case c.Export != nil && c.Service != "patients":
		return setting.Errorf("export", "only the service patients publishes; %s takes `import:`", c.Service)
	case (c.Database == "") == (c.DatabaseFile == ""):
		return setting.Errorf("database", "give either database or database_file")
	case c.Store == "":
		return setting.Errorf("store", "name the place where the files lie")
	case c.StorePassword != "" && c.StorePasswordFile != "":
		return setting.Errorf("store_password", "give either store_password or store_password_file")
	case c.Retention < 0:
		return setting.Errorf("retention", "must be a duration; leave it out to prune nothing")
	}
	if c.zone, err = setting.Zone(c.Zone); err != nil {
		return setting.In("zone", err)
	}
	if err = c.Sign.check(); err != nil {
		return setting.In("sign", err)
	}
	if err = c.Trust.Validate(); err != nil {
		return setting.In("trust", err)
	}
	if err = c.checkSeals(); err != nil {
		return err
	}
	if c.plans, err = c.checkJobs(); err != nil {
		return setting.In("jobs", err)
	}
	if c.Notify != nil {
		if err := c.Notify.Check(); err != nil {
			return setting.In("notify", err)
		}
	}
	if c.Export != nil {
		err := setting.In("export", c.Export.check())
		c.stream = c.Export.Streams[len(c.Export.Streams)-1]
		return err
	}
	if err := setting.In("import", c.Import.check()); err != nil {
		return err
	}
	files, err := consumerFiles(cmp.Or(c.Import.Consumer, c.Service), filepath.Dir(c.path))
	if err != nil {
		return setting.In("import.consumer", err)
	}
	if c.consumer, err = importer.LoadConsumer(files); err == nil {
		c.stream = c.consumer.Stream
	}
	return err
}

func (e *exportConfig) check() error {
	known := schemas.Streams()
	if len(e.Streams) == 0 {
		e.Streams = known[len(known)-1:]
	}
	slices.SortFunc(e.Streams, func(a, b string) int { return cmp.Compare(slices.Index(known, a), slices.Index(known, b)) })
	switch {
	case slices.ContainsFunc(e.Streams, func(s string) bool { return !slices.Contains(known, s) }):
		return setting.Errorf("streams", "must be of those that this release knows: %s", strings.Join(known, ", "))
	case len(slices.Compact(slices.Clone(e.Streams))) < len(e.Streams):
		return setting.Errorf("streams", "name each once")
	case e.Heartbeat != 0 && time.Duration(e.Heartbeat) < time.Second:
		return setting.Errorf("heartbeat", "must be at least 1s")
	case e.Grace < 0:
		return setting.Errorf("grace", "must be a duration; only act_within can be unlimited")
	case e.BatchEvents < 0:
		return setting.Errorf("batch_events", "must be at least 1")
	}
	return nil
}

// check completes the settings and returns the first mistake.
func (i *importConfig) check() error {
	i.Mode = cmp.Or(i.Mode, "act")
	i.Brake = cmp.Or(i.Brake, new(defaultBrake))
	switch {
	case i.Mode != "act" && i.Mode != "observe":
		return setting.Errorf("mode", "must be act or observe")
	case i.Grace < 0 || i.LateAfter < 0 || i.Lease < 0 || i.LockWait < 0:
		return setting.Errorf("grace", "only act_within can be unlimited")
	case i.Lease != 0 && time.Duration(i.Lease) < time.Second:
		return setting.Errorf("lease", "must be at least 1s")
	case i.LockWait != 0 && time.Duration(i.LockWait) < 100*time.Millisecond:
		return setting.Errorf("lock_wait", "must be at least 100ms")
	case i.QuarantineRows < 0:
		return setting.Errorf("quarantine_rows", "must not be negative")
	case i.MaxPartMiB < 0:
		return setting.Errorf("max_part_mib", "must be at least 1")
	}
	return nil
}

// builtIn are the services that `waybill init` writes a file for without being shown a consumer.
var builtIn = []string{"patients", "morgue", "appointments"}

// consumerFiles returns the folder of a built-in or a custom consumer. A custom one is named by a
// path with a slash in it, relative to the configuration file.
func consumerFiles(name, base string) (fs.FS, error) {
	switch {
	case name == "morgue":
		return morgue.Files(), nil
	case name == "appointments":
		return appointments.Files(), nil
	case strings.Contains(name, "/"):
		if !filepath.IsAbs(name) {
			name = filepath.Join(base, name)
		}
		if _, err := os.Stat(filepath.Join(name, "consumer.yaml")); err != nil {
			return nil, fmt.Errorf("there is no consumer.yaml in %s", name)
		}
		return os.DirFS(name), nil
	default:
		return nil, fmt.Errorf("%q is not built in (morgue, appointments are)%s; a consumer of your own is named by its folder, like ./%s",
			name, setting.DidYouMean(name, builtIn), name)
	}
}
