package importer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/schemas"
)

// Consumer is how one service uses the stream. It is a folder with consumer.yaml, migrations/ and
// either apply.sql or, in consumer.yaml, the table that events are appended to. The folder may also
// have prepare.sql for what apply.sql needs on its connection, reconcile.sql and doctor.sql for checks, and open.sql if it
// leaves work to people.
// docs/new-consumer.md explains how to write one.
type Consumer struct {
	Name        string            `yaml:"name"` // also the PostgreSQL schema that holds its tables
	Description string            `yaml:"description"`
	Stream      string            `yaml:"stream"`  // the stream that it was written for; default the newest
	Events      []string          `yaml:"events"`  // the event types it subscribes to; erased is always added
	Slim        bool              `yaml:"slim"`    // whether it does with the columns of [schemas.Contract.Slim]
	Effects     map[string]Effect `yaml:"effects"` // every kind that apply.sql may record
	Append      string            `yaml:"append"`  // the table that takes the events as they are
	Checks      map[string]string `yaml:"checks"`  // every kind that reconcile.sql may find, with its description

	Command string `yaml:"-"` // that loads for it; "": waybill import NAME

	files     fs.FS
	prepare   string
	apply     string
	reconcile string
	doctor    string
	open      string
}

// command is what a person types to load for the consumer.
func (c *Consumer) command() string { return cmp.Or(c.Command, "waybill import "+c.Name) }

// Effect describes one kind of effect.
type Effect struct {
	Brake       bool   `yaml:"brake"` // whether it counts against the brake
	Description string `yaml:"description"`
}

// Effects that the importer itself records.
const (
	effectHistoric = "historic" // a death too old to act on
	effectVanished = "vanished" // a patient that a new generation of the source no longer has
	effectAppended = "appended" // an event stored by an appending consumer
	effectErased   = "erased"   // a patient of whom only the id is left
)

var identifierPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// LoadConsumer reads a consumer's folder. Errors are of class [fault.Usage] and name the field.
func LoadConsumer(files fs.FS) (*Consumer, error) {
	c := &Consumer{files: files}
	data, err := fs.ReadFile(files, "consumer.yaml")
	if err != nil {
		return nil, fault.New(fault.Usage, "read", "consumer.yaml", err, "a consumer's folder holds consumer.yaml, migrations/ and apply.sql")
	}
	if err := setting.Load(data, c); err != nil {
		return nil, fault.New(fault.Usage, "read", "consumer.yaml", err, "`waybill help new-consumer` lists what it may hold")
	}
	for name, text := range map[string]*string{"prepare.sql": &c.prepare, "apply.sql": &c.apply, "reconcile.sql": &c.reconcile, "doctor.sql": &c.doctor, "open.sql": &c.open} {
		data, err := fs.ReadFile(files, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.Usage, "read", name, err, "")
		}
		*text = string(data)
	}
	if c.Stream == "" {
		c.Stream = schemas.PatientEvents().Name
	}
	if err := c.validate(); err != nil {
		return nil, fault.New(fault.Usage, "check", "consumer.yaml", err, "")
	}
	c.Events = withErased(c.Events)
	return c, nil
}

func (c *Consumer) validate() error {
	switch {
	case !identifierPattern.MatchString(c.Name):
		return fmt.Errorf("name: %q is not a lower-case SQL identifier", c.Name)
	case len(c.Events) == 0:
		return errors.New("events: name at least one type")
	case (c.apply == "") == (c.Append == ""):
		return errors.New("there must be either apply.sql or `append: TABLE`, and not both")
	case (c.reconcile == "") != (len(c.Checks) == 0):
		return errors.New("checks: they are what reconcile.sql finds; there must be both or neither")
	case c.Append != "" && !identifierPattern.MatchString(c.Append):
		return fmt.Errorf("append: %q is not a lower-case SQL identifier", c.Append)
	}
	if c.Contract() == nil {
		return fmt.Errorf("stream: this release has %v, not %q", schemas.Streams(), c.Stream)
	}
	for _, event := range c.Events {
		if known := c.Contract().Events(); !slices.Contains(known, event) {
			return fmt.Errorf("events: the contract has no %q; it has %v", event, known)
		}
	}
	for kind := range c.Effects {
		if !identifierPattern.MatchString(kind) {
			return fmt.Errorf("effects: %q is not a lower-case identifier", kind)
		}
	}
	for kind := range c.Checks {
		if !identifierPattern.MatchString(kind) {
			return fmt.Errorf("checks: %q is not a lower-case identifier", kind)
		}
	}
	return nil
}

// Contract returns the contract that the consumer was written for, with the columns that it takes.
func (c *Consumer) Contract() *schemas.Contract {
	contract := schemas.ContractOf(c.Stream)
	if contract != nil && c.Slim {
		return contract.Slim()
	}
	return contract
}

// braked reports whether a kind of effect counts against the brake. Effects that erase or remove
// patients always count, because the patients' next real death may be missed.
func (c *Consumer) braked(kind string) bool {
	return kind == effectErased || kind == effectVanished || c.Effects[kind].Brake
}
