package mapping

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"waybill/internal/setting"
	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

// Column declares what a column holds: a field of the event, an identifier, or a constant.
type Column struct {
	Field      string       `yaml:"field"`      // one of [Fields]
	Identifier *record.Kind `yaml:"identifier"` // the value of the patient's identifier of a kind
	Survivor   bool         `yaml:"survivor"`   // take the identifier of the patient that this one was merged into
	Join       string       `yaml:"join"`       // text between several identifiers of the kind; "": a patient may have only one
	Constant   *string      `yaml:"constant"`

	Date      string            `yaml:"date"`      // a layout, for fields that are dates
	Map       map[string]string `yaml:"map"`       // values, and what the partner has for them; "" is no value
	Otherwise *string           `yaml:"otherwise"` // for values that the map lacks; absent: they are refused
}

// Place has the values of the file and of the row that a column may hold.
type Place struct {
	Sequence int64
	Row      int64
	Zone     *time.Location
}

// Values that a column can't hold.
var (
	ErrUnmapped = errors.New("a value is not in the column's map")
	ErrSeveral  = errors.New("there are several identifiers of the column's kind")
)

// String names the column in errors.
func (c *Column) String() string {
	switch {
	case c.Identifier != nil:
		return strings.TrimRight("identifier "+c.Identifier.Authority+" "+c.Identifier.Type, " ")
	case c.Constant != nil:
		return "a constant"
	default:
		return c.Field
	}
}

// needed reports whether a record needs the column's value. It does not need personal data. It does not need an
// identifier if another column has the id of the patient, or of the survivor.
func (c *Column) needed(all []*Column) bool {
	if c.Identifier == nil {
		return !slices.Contains(record.Personal, c.Field)
	}
	id := "patient_id"
	if c.Survivor {
		id = "merged_into"
	}
	return !slices.ContainsFunc(all, func(c *Column) bool { return c.Field == id })
}

// Verbatim reports whether the column's texts come from the partner's settings and not from patients' data.
func (c *Column) Verbatim() bool { return c.Constant != nil || c.Map != nil }

// Text returns what a column holds.
type Text func(e *record.Event, at Place) (string, error)

// compile checks a column of a partner who may see what is allowed.
func (c *Column) compile(allowed *record.Allowed) (Text, error) {
	text, err := c.source(allowed)
	if err != nil {
		return nil, err
	}
	if c.Otherwise != nil && c.Map == nil {
		return nil, setting.Errorf("otherwise", "add a map, or remove it")
	}
	if c.Map == nil {
		return text, nil
	}
	return func(e *record.Event, at Place) (string, error) {
		value, err := text(e, at)
		if err != nil {
			return "", err
		}
		mapped, ok := c.Map[value]
		switch {
		case ok:
			return mapped, nil
		case value == "":
			return "", nil
		case c.Otherwise != nil:
			return *c.Otherwise, nil
		}
		return "", ErrUnmapped
	}, nil
}

func (c *Column) source(allowed *record.Allowed) (Text, error) {
	given := 0
	for _, is := range []bool{c.Field != "", c.Identifier != nil, c.Constant != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, setting.Errorf("field", "give one of field, identifier and constant")
	case c.Date != "" && !c.dated():
		return nil, setting.Errorf("date", "remove it: the column is no date")
	case (c.Survivor || c.Join != "") && c.Identifier == nil:
		return nil, setting.Errorf("identifier", "is needed for survivor and join")
	case c.Constant != nil:
		return func(*record.Event, Place) (string, error) { return *c.Constant, nil }, nil
	case c.Identifier != nil:
		return c.identifier(allowed)
	}
	if slices.Contains(record.Personal, c.Field) && !allowed.Has(c.Field) {
		return nil, setting.Errorf("field", "%s is personal, and the partner is not allowed to see it; add it to allow", c.Field)
	}
	if c.dated() {
		return c.date()
	}
	get, known := plain[c.Field]
	if !known {
		return nil, setting.Errorf("field", "%s is unknown; write one of %s", c.Field, strings.Join(Fields(), ", "))
	}
	return func(e *record.Event, at Place) (string, error) { return get(e, at), nil }, nil
}

func (c *Column) identifier(allowed *record.Allowed) (Text, error) {
	if !allowed.Kind(*c.Identifier) {
		return nil, setting.Errorf("identifier", "the partner is not allowed to see this kind; add it to identifiers")
	}
	kind := record.Allowed{Identifiers: []record.Kind{*c.Identifier}}
	return func(e *record.Event, _ Place) (string, error) {
		if c.Survivor {
			e = e.Survivor
		}
		if e == nil {
			return "", nil
		}
		var values []string
		for _, i := range e.Identifiers {
			if kind.Kind(record.Kind{Authority: i.Authority, Type: i.Type}) {
				values = append(values, i.Value)
			}
		}
		if len(values) > 1 && c.Join == "" {
			return "", ErrSeveral
		}
		return strings.Join(values, c.Join), nil
	}, nil
}

func (c *Column) dated() bool {
	return slices.Contains([]string{"birth_date", "death_date", "recorded_at", "death_earliest", "death_latest"}, c.Field)
}

func (c *Column) date() (Text, error) {
	text := c.Date
	if text == "" {
		text = map[string]string{"birth_date": "yyyy-mm-dd", "death_date": "yyyy-mm-ddTHH:MMZZ"}[c.Field]
	}
	if text == "" {
		text = "yyyy-mm-ddTHH:MM:SSZZ"
	}
	layout, err := date.ParseLayout(text)
	if err != nil {
		return nil, setting.In("date", err)
	}
	return func(e *record.Event, at Place) (string, error) {
		d, err := c.known(e, at)
		if err != nil || d.IsZero() {
			return "", err
		}
		return layout.Format(d), nil
	}, nil
}

// known returns the known parts of the column's date. If nothing is known it returns the zero date.
func (c *Column) known(e *record.Event, at Place) (date.Date, error) {
	const exact = "minute" // or finer
	switch c.Field {
	case "birth_date":
		if e.BirthDate == "" {
			return date.Date{}, nil
		}
		d, err := date.ParseFHIR(e.BirthDate)
		if d.Timed {
			err = date.ErrFHIR
		}
		return d, err
	case "recorded_at":
		return date.Of(e.RecordedAt.In(at.Zone), exact), nil
	}
	switch {
	case e.Death.Precision == "":
		return date.Date{}, nil
	case c.Field == "death_earliest":
		return date.Of(e.Death.Earliest.In(at.Zone), exact), nil
	case c.Field == "death_latest":
		return date.Of(e.Death.Latest.In(at.Zone), exact), nil
	default:
		return date.Of(e.Death.At(at.Zone), e.Death.Precision), nil
	}
}

// plain has the fields that are not dates.
var plain = map[string]func(*record.Event, Place) string{
	"row":              func(_ *record.Event, at Place) string { return strconv.FormatInt(at.Row, 10) },
	"sequence":         func(_ *record.Event, at Place) string { return strconv.FormatInt(at.Sequence, 10) },
	"event":            func(e *record.Event, _ Place) string { return e.Type },
	"baseline":         func(e *record.Event, _ Place) string { return yesNo(e.Baseline) },
	"patient_id":       func(e *record.Event, _ Place) string { return e.Patient.String() },
	"generation":       func(e *record.Event, _ Place) string { return strconv.FormatInt(int64(e.Generation), 10) },
	"version":          func(e *record.Event, _ Place) string { return strconv.FormatInt(e.Version, 10) },
	"revision":         func(e *record.Event, _ Place) string { return strconv.FormatInt(int64(e.Revision), 10) },
	"death_no":         func(e *record.Event, _ Place) string { return strconv.FormatInt(int64(e.DeathNo), 10) },
	"death_status":     func(e *record.Event, _ Place) string { return e.Status },
	"death_precision":  func(e *record.Event, _ Place) string { return e.Death.Precision },
	"dead":             func(e *record.Event, _ Place) string { return dead(e) },
	"retired":          func(e *record.Event, _ Place) string { return id(e.Retired) },
	"merged_into":      func(e *record.Event, _ Place) string { return id(e.MergedInto) },
	"family_name":      func(e *record.Event, _ Place) string { return e.Family },
	"given_name":       func(e *record.Event, _ Place) string { return e.Given },
	"sex":              func(e *record.Event, _ Place) string { return e.Sex },
	"address_line":     func(e *record.Event, _ Place) string { return e.Address.Line },
	"address_city":     func(e *record.Event, _ Place) string { return e.Address.City },
	"address_postcode": func(e *record.Event, _ Place) string { return e.Address.Postcode },
	"address_country":  func(e *record.Event, _ Place) string { return e.Address.Country },
}

// Fields returns the fields that a column can hold.
func Fields() []string {
	names := append(slices.Collect(maps.Keys(plain)), "birth_date", "death_date", "recorded_at", "death_earliest", "death_latest")
	slices.Sort(names)
	return names
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// dead returns "" for an erased patient, and for a survivor of whom nothing is known.
func dead(e *record.Event) string {
	if e.Status == "" {
		return ""
	}
	return yesNo(e.Dead())
}

func id(of uuid.UUID) string {
	if of == uuid.Nil {
		return ""
	}
	return of.String()
}
