package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/internal/fault"
)

// config is one party's file. It has either export or import.
type config struct {
	Service           string        `yaml:"service"`
	Database          string        `yaml:"database"`
	DatabaseFile      string        `yaml:"database_file"`
	Store             string        `yaml:"store"`
	StorePassword     string        `yaml:"store_password"`
	StorePasswordFile string        `yaml:"store_password_file"`
	AllowPlaintext    string        `yaml:"allow_plaintext"`
	Spool             string        `yaml:"spool"`
	Zone              string        `yaml:"zone"`
	Retention         duration      `yaml:"retention"`
	Export            *exportConfig `yaml:"export"`
	Import            *importConfig `yaml:"import"`
	Jobs              jobsConfig    `yaml:"jobs"`

	path     string
	zone     *time.Location
	consumer *importer.Consumer // of an importing party
	plans    []plan             // what `run` runs
}

type exportConfig struct {
	Heartbeat   duration `yaml:"heartbeat"`
	Grace       duration `yaml:"grace"`
	BatchEvents int      `yaml:"batch_events"`
}

type importConfig struct {
	Consumer       string   `yaml:"consumer"`
	Instance       string   `yaml:"instance"`
	Grace          duration `yaml:"grace"`
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
	parsed, err := parseDuration(node.Value)
	*d = duration(parsed)
	return err
}

// parseDuration reads a duration as people write it.
func parseDuration(text string) (time.Duration, error) {
	number, factor := text, 1
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, factor = days+"h", 24
	}
	parsed, err := time.ParseDuration(number)
	if err != nil || parsed <= 0 || parsed > math.MaxInt64/time.Duration(factor) {
		return 0, fmt.Errorf("%q is not a duration above 0, like 90s, 15m or 30d", text)
	}
	return parsed * time.Duration(factor), nil
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

// defaultBrake is in force unless a file sets another or turns it off.
const defaultBrake brake = 50

// defaults are in force for what a file leaves out.
func defaults() config {
	return config{Zone: "UTC", Spool: os.TempDir()}
}

// goType is what the YAML library says of our types, which mean nothing to an operator.
var goType = regexp.MustCompile(` in type [\w.]+`)

// readConfig reads and checks one file; nothing is connected to.
func readConfig(path string) (*config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.Unwrap(err), "`waybill init SERVICE` writes one")
	}
	return parseConfig(path, data)
}

// parseConfig reads and checks what is in the file path.
func parseConfig(path string, data []byte) (*config, error) {
	c := defaults()
	if err := yaml.Load(data, &c, yaml.WithKnownFields()); err != nil {
		text := goType.ReplaceAllString(err.Error(), "")
		return nil, fault.New(fault.Usage, "read", path, errors.New(text), "docs/configuration.md lists the settings")
	}
	c.path = path
	c.takeEmptySections(data)
	if err := c.check(data); err != nil {
		return nil, fault.New(fault.Usage, "check", path, err, "")
	}
	return &c, nil
}

// takeEmptySections makes a section that is there with every setting commented out, which is null
// to YAML, one of defaults.
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

func (c *config) check(data []byte) (err error) {
	at := func(key, problem string) error { return fmt.Errorf("line %d: %s: %s", lineOf(data, key), key, problem) }
	switch {
	case c.Service == "":
		return at("service", "name the service this file is for")
	case (c.Export == nil) == (c.Import == nil):
		return at("service", "there must be either `export:` or `import:` settings")
	case c.Export != nil && c.Service != "patients":
		return at("export", "only the service patients publishes; "+c.Service+" takes `import:`")
	case (c.Database == "") == (c.DatabaseFile == ""):
		return at("database", "give either database or database_file")
	case c.Store == "":
		return at("store", "name the place where the files lie")
	case c.StorePassword != "" && c.StorePasswordFile != "":
		return at("store_password", "give either store_password or store_password_file")
	}
	if c.Retention < 0 {
		return at("retention", "a duration; without one nothing is pruned")
	}
	if c.zone, err = time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" { // PostgreSQL knows no Local
		return at("zone", "unknown zone "+c.Zone)
	}
	if c.plans, err = c.checkJobs(); err != nil {
		return err
	}
	if c.Import != nil {
		return c.checkImport(at)
	}
	if c.Export.Heartbeat != 0 && time.Duration(c.Export.Heartbeat) < time.Second {
		return at("heartbeat", "at least 1s")
	}
	if c.Export.Grace < 0 {
		return at("grace", "a duration; it can't be unlimited")
	}
	if c.Export.BatchEvents < 0 {
		return at("batch_events", "at least 1")
	}
	return nil
}

func (c *config) checkImport(at func(key, problem string) error) (err error) {
	if c.Import.Mode == "" {
		c.Import.Mode = "act"
	}
	if c.Import.Brake == nil {
		c.Import.Brake = new(defaultBrake)
	}
	switch {
	case c.Import.Mode != "act" && c.Import.Mode != "observe":
		return at("mode", "either act or observe")
	case c.Import.Grace < 0 || c.Import.Lease < 0 || c.Import.LockWait < 0:
		return at("grace", "only act_within can be unlimited")
	case c.Import.Lease != 0 && time.Duration(c.Import.Lease) < time.Second:
		return at("lease", "at least 1s")
	case c.Import.LockWait != 0 && time.Duration(c.Import.LockWait) < 100*time.Millisecond:
		return at("lock_wait", "at least 100ms")
	case c.Import.QuarantineRows < 0:
		return at("quarantine_rows", "not below 0")
	case c.Import.MaxPartMiB < 0:
		return at("max_part_mib", "at least 1")
	}
	name := c.Import.Consumer
	if name == "" {
		name = c.Service
	}
	files, err := consumerFiles(name, filepath.Dir(c.path))
	if err != nil {
		return at("consumer", err.Error())
	}
	c.consumer, err = importer.LoadConsumer(files)
	return err
}

// consumerFiles returns the folder of a built-in consumer, or of a site's own, which is named by
// a path (one that has a slash in it), relative to the configuration file.
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
		return nil, fmt.Errorf("%q is not built in (morgue, appointments are); a consumer of your own is named by its folder, like ./%s", name, name)
	}
}

// lineOf returns the line on which a key stands, or 1.
func lineOf(data []byte, key string) int {
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		return 1
	}
	line := 1
	var search func(n *yaml.Node)
	search = func(n *yaml.Node) {
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == key {
					line = n.Content[i].Line
				}
			}
		}
		for _, child := range n.Content {
			search(child)
		}
	}
	search(&document)
	return line
}
