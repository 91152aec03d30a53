// Package mapping is what a partner declares about columns, for tables and for fixed width: which
// columns hold what, how dates are written, and what codes mean. A [Map] makes rows into records; a
// [Writer] makes events into rows.
package mapping

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"waybill/internal/setting"
	"waybill/partner/format/record"
)

// Map says which columns of a row hold what of a patient. Columns are named in any letter case.
type Map struct {
	// Key is the column by which the partner knows its patients.
	Key Identifier `yaml:"key"`

	Family    Columns `yaml:"family"` // several are joined by blanks
	Given     Columns `yaml:"given"`
	Name      Joined  `yaml:"name"` // one column with both, instead of Family and Given
	BirthDate Date    `yaml:"birth_date"`
	Sex       Code    `yaml:"sex"` // to male, female, other or unknown
	Address   Address `yaml:"address"`
	Death     Death   `yaml:"death"`

	Identifiers []Identifier `yaml:"identifiers"` // besides the key
	// Complete says that the row has all of the patient's identifiers.
	Complete bool `yaml:"complete"`

	// Merged is the column with the key of a record that was merged into the row's.
	Merged string `yaml:"merged"`
	// Sequence is the column of the source's own number or version of the row.
	Sequence string `yaml:"sequence"`
	// Recorded is when the source recorded the row. Of two rows the one recorded later counts, even if it
	// arrives first.
	Recorded Date `yaml:"recorded"`
	// Control is the column of the source's own name of the row, which reports repeat.
	Control string `yaml:"control"`

	// Optional are columns that a file may lack.
	Optional []string `yaml:"optional"`
	// Empty is unsaid (default): an empty column leaves the known value; or deleted: it deletes it.
	Empty string `yaml:"empty"`
	// Delete are the texts of a column that delete the known value, like "" or NULL.
	Delete []string `yaml:"delete"`
}

// Columns are one column or several; in YAML, a text or a list of them.
type Columns []string

// UnmarshalYAML reads one name or a list.
func (c *Columns) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*c = Columns{node.Value}
		return nil
	}
	return node.Decode((*[]string)(c))
}

// Identifier is a column of numbers of one authority and type.
type Identifier struct {
	Column    string `yaml:"column"`
	Authority string `yaml:"authority"` // default: the source
	Type      string `yaml:"type"`
	// None says that the key is not published as an identifier: it is only the source's own name of the row.
	None bool `yaml:"none"`
}

// Address are the columns of an address. Several columns of one line are joined by ", ".
type Address struct {
	Line     Columns `yaml:"line"`
	City     string  `yaml:"city"`
	Postcode string  `yaml:"postcode"`
	Country  string  `yaml:"country"`
}

// Code is a column of codes, and what they mean.
type Code struct {
	Column string            `yaml:"column"`
	Values map[string]string `yaml:"values"` // "" is what an empty column means
}

// Date is a date in one column, or in parts.
type Date struct {
	Column string `yaml:"column"`
	// Format is iso (default: YYYY, YYYY-MM, YYYY-MM-DD or a time of FHIR), or a layout of package date:
	// dd/mm/yyyy. Where a date may be less exact, its day or its day and month are missing, zero, or
	// one of Unknown.
	Format string `yaml:"format"`

	Year  string `yaml:"year"`
	Month string `yaml:"month"`
	Day   string `yaml:"day"`

	// Time is a further column with the time of day as HHMM or HH:MM.
	Time string `yaml:"time"`
	// Unknown are texts of a part (99), of the year (9999), of the time (9999) or of the whole
	// column that mean: not known.
	Unknown []string `yaml:"unknown"`
}

// Death are the columns of vital status.
type Death struct {
	Status Code `yaml:"status"` // to none, informal, formal or void
	Date   Date `yaml:"date"`
	// As is what a date without a status means: informal (default) or formal.
	As string `yaml:"as"`
	// Always says that every row is of a dead patient, with or without a date.
	Always bool `yaml:"always"`
	// Void is the column that marks void rows; its codes mean void or valid. A void row retracts the death that was
	// reported under its key. The rest of the row is ignored.
	Void Code `yaml:"void"`
}

const valid = "valid" // of a row that is not void

var (
	sexes    = []string{"male", "female", "other", "unknown"}
	statuses = []string{record.Unstated, record.Alive, record.Informal, record.Formal, record.Void}
	flags    = []string{valid, record.Void}
)

// Check returns the first setting that can't be used, as a [setting.Error].
func (m *Map) Check() error {
	if m.Key.Column == "" {
		return setting.Errorf("map.key.column", "name the column with the partner's key of the patient")
	}
	for i, identifier := range m.Identifiers {
		if identifier.Column == "" {
			return setting.At("map.identifiers", i, errors.New("name its column"))
		}
	}
	if len(m.Family)+len(m.Given) > 0 && m.Name.Column != "" {
		return setting.Errorf("map.name", "give either name, or family and given")
	}
	if m.Death.Void.Column != "" && len(m.Death.Void.Values) == 0 {
		return setting.Errorf("map.death.void.values", "say which values mean void and valid, such as {\"1\": void, \"0\": valid}")
	}
	return cmp.Or(
		setting.In("map.name", m.Name.check()),
		setting.In("map.sex", m.Sex.check(sexes)),
		setting.In("map.death.status", m.Death.Status.check(statuses)),
		setting.In("map.death.void", m.Death.Void.check(flags)),
		setting.OneOf("map.death.as", m.Death.As, "", record.Informal, record.Formal),
		setting.OneOf("map.empty", m.Empty, "", "unsaid", "deleted"),
		setting.In("map.birth_date", m.BirthDate.check()),
		setting.In("map.death.date", m.Death.Date.check()),
		setting.In("map.recorded", m.Recorded.check()),
	)
}

func (c Code) check(known []string) error {
	if c.Column == "" && len(c.Values) > 0 {
		return setting.Errorf("column", "name the column with these values")
	}
	for code, value := range c.Values {
		if err := setting.OneOf("values."+code, value, known...); err != nil {
			return err
		}
	}
	return nil
}

func (d Date) check() error {
	switch {
	case d.Column != "" && d.Year != "":
		return setting.Errorf("year", "give either column, or year with month and day")
	case d.Year == "" && (d.Month != "" || d.Day != ""):
		return setting.Errorf("year", "name the year's column, too")
	}
	_, err := parseLayout(d.Format)
	return setting.In("format", err)
}

// Name returns a column's name as columns are compared.
func Name(text string) string { return strings.ToUpper(strings.TrimSpace(text)) }

// Names returns the names of all columns that the map reads.
func (m *Map) Names() (names []string) {
	all := slices.Concat(m.Family, m.Given, m.Address.Line, []string{
		m.Key.Column, m.Merged, m.Sequence, m.Control, m.Address.City, m.Address.Postcode, m.Address.Country,
		m.Sex.Column, m.Death.Status.Column, m.Death.Void.Column, m.Name.Column,
	})
	for _, d := range []Date{m.BirthDate, m.Death.Date, m.Recorded} {
		all = append(all, d.Column, d.Year, d.Month, d.Day, d.Time)
	}
	for _, i := range m.Identifiers {
		all = append(all, i.Column)
	}
	for _, name := range all {
		if name != "" {
			names = append(names, Name(name))
		}
	}
	return names
}
