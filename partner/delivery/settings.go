package delivery

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/internal/setting"
	"waybill/partner/envelope"
	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/fhir"
	"waybill/partner/format/fixed"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
	"waybill/schemas"
)

// Settings are the section `deliver` of a partner's file; docs/delivery.md explains them.
type Settings struct {
	Format string        `yaml:"format"` // csv, fixed, hl7 or fhir
	CSV    *table.Config `yaml:"csv"`
	Fixed  *fixed.Config `yaml:"fixed"`
	HL7    *adt.Config   `yaml:"hl7"`

	Events      []string      `yaml:"events"`      // types that the partner gets; default all but erased
	Allow       []string      `yaml:"allow"`       // personal fields that the partner may see; default none
	Identifiers []record.Kind `yaml:"identifiers"` // kinds of identifiers that the partner may see; default none
	Send        string        `yaml:"send"`        // changes (default): every event, in order; states: each patient's last event in a file
	Start       string        `yaml:"start"`       // state (default): also what is known at the start; now: only later changes

	Charset          string            `yaml:"charset"` // default utf-8
	Unencodable      charset.Rule      `yaml:"unencodable"`
	Replacement      string            `yaml:"replacement"`
	Transliterations map[string]string `yaml:"transliterations"`
	Unwritable       string            `yaml:"unwritable"` // values that can't be written: refuse (default), blank

	Seal *envelope.Sealing `yaml:"seal"` // how files are encrypted and signed; nil: they are not

	Folder    string   `yaml:"folder"`  // below the store's; default none
	Name      string   `yaml:"name"`    // a pattern: "PAT{sequence:4}_{yyyy}{mm}{dd}.csv"
	Partial   string   `yaml:"partial"` // the suffix of a file while it is written
	Trigger   *Trigger `yaml:"trigger"`
	Sequence  Sequence `yaml:"sequence"`
	MaxRows   int      `yaml:"max_rows"`   // of a file; default 10,000
	MaxMiB    int64    `yaml:"max_mib"`    // of a file; default 16
	EmptyFile string   `yaml:"empty_file"` // never (default); daily: a file without records on a day without events

	Brake    *int `yaml:"brake"`     // deaths, retractions or merges of one run; default 50, 0: no brake
	KeepDays int  `yaml:"keep_days"` // how long delivered rows stay in the queue; default 90
}

// Trigger declares the file that announces another one.
type Trigger struct {
	Name    string `yaml:"name"`    // a pattern: "{name}.done", "{stem}.ctl"
	Content string `yaml:"content"` // a pattern; default nothing
	Mesh    *Mesh  `yaml:"mesh"`    // the control file of an NHS MESH client, in place of content
}

// Mesh is what a MESH control file says.
type Mesh struct {
	From     string `yaml:"from"`     // mailboxes
	To       string `yaml:"to"`       //
	Workflow string `yaml:"workflow"` // the workflow id
	Subject  string `yaml:"subject"`
}

// Sequence is the number in file names.
type Sequence struct {
	First int64 `yaml:"first"` // default 1
	Last  int64 `yaml:"last"`  // after it comes First; default the highest that fits into the name, or 9999
	Start int64 `yaml:"start"` // of the very first file; default First
}

// DefaultBrake applies unless a partner's file sets the brake.
const DefaultBrake = 50

func (s *Settings) defaults() {
	s.Charset = cmp.Or(strings.ToLower(s.Charset), "utf-8")
	s.Unencodable = cmp.Or(s.Unencodable, charset.Refuse)
	s.Unwritable = cmp.Or(s.Unwritable, "refuse")
	s.Send = cmp.Or(s.Send, "changes")
	s.Start = cmp.Or(s.Start, "state")
	s.EmptyFile = cmp.Or(s.EmptyFile, "never")
	s.Sequence.First = cmp.Or(s.Sequence.First, 1)
	s.Sequence.Last = cmp.Or(s.Sequence.Last, s.lastNumber())
	s.Sequence.Start = cmp.Or(s.Sequence.Start, s.Sequence.First)
	s.MaxRows = cmp.Or(s.MaxRows, 10_000)
	s.MaxMiB = cmp.Or(s.MaxMiB, 16)
	s.KeepDays = cmp.Or(s.KeepDays, 90)
	s.Brake = cmp.Or(s.Brake, new(DefaultBrake))
	if len(s.Events) == 0 {
		s.Events = slices.DeleteFunc(slices.Clone(schemas.PatientEvents().Events()), func(e string) bool { return e == schemas.Erased })
	}
}

func (s *Settings) lastNumber() int64 {
	last := int64(9999)
	if name, err := pattern.Parse(s.Name, pattern.Naming); err == nil && name.Sequence() > 0 {
		last = int64(math.Pow10(min(name.Sequence(), 12))) - 1
	}
	return last
}

// Check fills in defaults and returns the first setting that can't be used, as a [setting.Error].
func (s *Settings) Check() error {
	s.defaults()
	for _, check := range []func() error{s.checkChoices, s.checkContent, s.checkNames, s.checkTrial} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) checkChoices() error {
	if err := cmp.Or(
		setting.OneOf("format", s.Format, "csv", "fixed", "hl7", "fhir"),
		setting.OneOf("send", s.Send, "changes", "states"),
		setting.OneOf("start", s.Start, "state", "now"),
		setting.OneOf("empty_file", s.EmptyFile, "never", "daily"),
		setting.OneOf("unencodable", string(s.Unencodable), "refuse", "replace", "transliterate"),
		setting.OneOf("unwritable", s.Unwritable, "refuse", "blank"),
	); err != nil {
		return err
	}
	for format, there := range map[string]bool{"csv": s.CSV != nil, "fixed": s.Fixed != nil, "hl7": s.HL7 != nil} {
		if there && format != s.Format {
			return setting.Errorf(format, "remove it: the format is %s", s.Format)
		}
	}
	if needed := map[string]bool{"csv": s.CSV == nil, "fixed": s.Fixed == nil}[s.Format]; needed {
		return setting.Errorf("format", "add `%s:` with its columns", s.Format)
	}
	if s.Format == "fhir" && s.Charset != "utf-8" {
		return setting.Errorf("charset", "must be utf-8 for FHIR")
	}
	switch {
	case s.MaxRows < 1 || s.MaxRows > 1_000_000:
		return setting.Errorf("max_rows", "must be 1 to 1000000")
	case s.MaxMiB < 1 || s.MaxMiB > 256:
		return setting.Errorf("max_mib", "must be 1 to 256")
	case *s.Brake < 0:
		return setting.Errorf("brake", "must be 0 or more")
	case s.KeepDays < 1:
		return setting.Errorf("keep_days", "must be 1 or more")
	}
	return setting.In("seal", s.Seal.Check())
}

func (s *Settings) checkContent() error {
	known := schemas.PatientEvents().Events()
	for i, e := range s.Events {
		if !slices.Contains(known, e) {
			return setting.At("events", i, fmt.Errorf("the contract has no %q", e))
		}
	}
	if slices.Contains(s.Events, schemas.Died) && !slices.Contains(s.Events, schemas.DeathRetracted) {
		return setting.Errorf("events", "add death_retracted: a partner that gets deaths must get their retractions")
	}
	for i, field := range s.Allow {
		if !slices.Contains(record.Personal, field) {
			return setting.At("allow", i, fmt.Errorf("must be one of %s", strings.Join(record.Personal, ", ")))
		}
	}
	for i, kind := range s.Identifiers {
		if kind.Authority == "" {
			return setting.At("identifiers", i, fmt.Errorf(`name an authority, or "*" for any`))
		}
	}
	return nil
}

func (s *Settings) checkNames() error {
	n, err := s.names()
	if err != nil {
		return err
	}
	q := s.Sequence
	digits := n.file.Sequence()
	switch {
	case q.First < 0 || q.Last <= q.First || q.Last > 999_999_999_999:
		return setting.Errorf("sequence", "last must be above first, and have 12 digits at most")
	case q.Start < q.First || q.Start > q.Last:
		return setting.Errorf("sequence.start", "must be between first and last")
	case digits < 0:
		return setting.Errorf("name", "add {sequence}, so that no two files have the same name")
	case digits > 0 && len(fmt.Sprint(q.Last)) > digits:
		return setting.Errorf("name", "{sequence:%d} is too short for %d; widen it or lower sequence.last", digits, q.Last)
	}
	if s.Partial != "" && exchange.CheckName("a"+s.Partial) != nil {
		return setting.Errorf("partial", "must be the end of a file's name: A-Z a-z 0-9 = . _ @ -")
	}
	name, trigger, err := n.of(pattern.Values{Sequence: q.Last, At: someDay, Partner: "partner"})
	switch {
	case err != nil:
		return setting.In("name", err)
	case exchange.CheckName(name) != nil:
		return setting.Errorf("name", "%s must have only A-Z a-z 0-9 = . _ @ - and no dot first, for every store to hold it", name)
	case trigger != "" && (exchange.CheckName(trigger) != nil || trigger == name || trigger == name+s.Partial):
		return setting.Errorf("trigger.name", "%s must be a file name that is not the data file's", trigger)
	}
	return nil
}

// someDay is the date in the names and texts of a trial.
var someDay = time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)

// checkTrial writes a file without records, and its trigger.
func (s *Settings) checkTrial() error {
	f, err := s.newFile(time.UTC)
	if err != nil {
		return err
	}
	v := pattern.Values{Sequence: s.Sequence.Last, At: someDay, Partner: "partner", Name: "name"}
	if err := f.begin(v); err != nil {
		return setting.In(s.Format, err)
	}
	if err := f.end(v); err != nil {
		return setting.In(s.Format, err)
	}
	return nil
}

func (s *Settings) allowed() *record.Allowed {
	return &record.Allowed{Fields: s.Allow, Identifiers: s.Identifiers}
}

// format writes one kind of file. Its methods append to a file in UTF-8.
type format interface {
	Begin(to []byte, v pattern.Values) ([]byte, error)
	// Event appends nothing for an event that the format can't express. v.Rows counts the event.
	Event(to []byte, e *record.Event, v pattern.Values, carry *charset.Encoder) ([]byte, error)
	End(to []byte, v pattern.Values) ([]byte, error)
}

// newFormat returns the writer of one file and its encoder. The encoder counts the values that can't be written as
// they are.
func (s *Settings) newFormat(zone *time.Location) (format, *charset.Encoder, error) {
	c := charset.Config{
		Name: s.Charset, Rule: s.Unencodable, Replacement: s.Replacement, Table: s.Transliterations, Blank: s.Unwritable == "blank",
	}
	allowed := s.allowed()
	var f format
	var err error
	switch s.Format {
	case "csv":
		var w *table.Writer
		if w, err = table.New(*s.CSV, allowed, zone); err == nil {
			f, c.Forbidden = w, w.Forbidden
		}
	case "fixed":
		c.Forbidden = fixed.Forbidden
		var encoder *charset.Encoder
		if encoder, err = charset.New(c); err != nil {
			return nil, nil, setting.In("charset", err)
		}
		f, err = fixed.New(*s.Fixed, allowed, zone, encoder)
	case "hl7":
		var config adt.Config
		if s.HL7 != nil {
			config = *s.HL7
		}
		f, err = adt.New(config, s.Charset, allowed, zone)
	default:
		c.Forbidden = fhir.Forbidden
		f = &fhir.Writer{Zone: zone}
	}
	if err != nil {
		return nil, nil, setting.In(s.Format, err)
	}
	encoder, err := charset.New(c)
	if err != nil {
		return nil, nil, setting.In("charset", err)
	}
	return f, encoder, nil
}
