package fhir

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"waybill/partner/format/record"
)

// Codes of deaths in resources other than Patient. Deaths in US death records (VRDR) are read. For others the line
// or Bundle is refused, unless the Patient states the death too.
const (
	loinc            = "http://loinc.org"
	snomed           = "http://snomed.info/sct"
	dateOfDeath      = "81956-5" // of LOINC, as the next one
	deathCertificate = "64297-5"

	certificates = "http://nchs.cdc.gov/vrdr_id" // the authority of their numbers: 2022YC000182
	nchs         = "http://nchs.cdc.gov/"        // the events of its messages begin with this
)

// deathCodes state a death when they are a resource's code, type or category.
var deathCodes = []coding{
	{loinc, dateOfDeath},
	{loinc, deathCertificate},
	{loinc, "80616-6"},    // date and time pronounced dead
	{loinc, "69453-9"},    // cause of death
	{loinc, "79378-6"},    // cause of death
	{loinc, "69449-7"},    // manner of death
	{loinc, "69409-1"},    // standard certificate of death
	{snomed, "419099009"}, // dead
	{snomed, "419620001"}, // death
	{snomed, "399753006"}, // date of death
	{snomed, "184305005"}, // cause of death
	{snomed, "16100001"},  // death diagnosis
	{snomed, "308646001"}, // death certification
}

var errElsewhere = errors.New("states a death elsewhere than in Patient")

// statement is a death that an entry states of a Patient.
type statement struct {
	held     *held
	subject  string // a reference to the Patient
	readable bool   // by its date of death, or as a death certificate
	attested bool   // of a certificate: by its certifier
	paper    bool   // it is a certificate
	period   record.Period
	err      error
}

// clinical has the members that are read of resources other than Patient.
type clinical struct {
	modifiers
	Status    jsontext.Value   `json:"status"`
	Code      jsontext.Value   `json:"code"`
	Type      jsontext.Value   `json:"type"`
	Category  jsontext.Value   `json:"category"`
	Subject   jsontext.Value   `json:"subject"`
	Attester  []jsontext.Value `json:"attester"`
	Value     string           `json:"valueDateTime"`
	Partial   element          `json:"_valueDateTime"`
	EventURI  string           `json:"eventUri"`
	EventCode coding           `json:"eventCoding"`
	Parameter []parameter      `json:"parameter"`
}

// other reads a resource that is not a Patient.
func (b *bundle) other(kind string, h *held, text []byte) error {
	var c clinical
	if kind == "Binary" {
		return errors.New("a Binary, a file in the file, is not read")
	}
	if err := decode(text, &c); err != nil {
		return err
	}
	switch kind {
	case "MessageHeader":
		b.event = cmp.Or(c.EventURI, c.EventCode.Code)
		return c.check()
	case "Parameters":
		if slices.ContainsFunc(c.Parameter, parameter.hasResource) {
			return errors.New("resources in Parameters are not read")
		}
		b.parameters = &parameters{c.Parameter}
		return c.check()
	}
	codes := slices.Concat(codings(c.Code), codings(c.Type), codings(c.Category))
	if !slices.ContainsFunc(codes, func(code coding) bool { return slices.Contains(deathCodes, code) }) {
		return nil
	}
	s := b.statement(kind, &c, codes)
	s.held = h
	switch {
	case !b.alone:
		b.deaths = append(b.deaths, s)
	case !b.dead[s.subject] && !b.dead[idOf(s.subject)]:
		return errElsewhere
	}
	return nil
}

func (b *bundle) statement(kind string, c *clinical, codes []coding) *statement {
	var subject reference
	if c.Subject != nil {
		if err := decode(c.Subject, &subject); err != nil {
			return &statement{err: record.Field("subject", err)}
		}
	}
	s := &statement{subject: subject.Reference}
	s.paper = kind == "Composition" && slices.Contains(codes, coding{loinc, deathCertificate})
	dated := kind == "Observation" && slices.Contains(codes, coding{loinc, dateOfDeath})
	if s.readable = s.paper || dated; !s.readable {
		return s
	}
	if s.err = c.check(); s.err == nil && !slices.Contains([]string{`"final"`, `"amended"`, `"corrected"`, `"preliminary"`}, string(c.Status)) {
		s.err = errors.New("the status of a death must be final, amended, corrected or preliminary")
	}
	s.attested = len(c.Attester) > 0
	if dated && s.err == nil {
		s.period, s.err = c.died(b.site.Zone)
	}
	return s
}

// died returns when an Observation dates a death; the zero period: the date is unknown.
func (c *clinical) died(zone *time.Location) (record.Period, error) {
	text := c.Value
	if text == "" {
		partial, err := partialDate(c.Partial.Extension)
		if err != nil {
			return record.Period{}, err
		}
		text = partial.dateTime()
	}
	if text == "" {
		return record.Period{}, nil
	}
	p, err := periodOf(text, zone)
	return p, record.Field("date of death", err)
}

// codings returns the codes of a CodeableConcept or of a list of them. It returns nil for any other value.
func codings(text jsontext.Value) []coding {
	var one concept
	var all []concept
	switch {
	case text == nil:
	case decode(text, &one) == nil:
		return one.Coding
	case decode(text, &all) == nil:
		for _, c := range all {
			one.Coding = append(one.Coding, c.Coding...)
		}
	}
	return one.Coding
}

// join finds the Patient of each death that another resource states. Such entries can't be read again one by one,
// so their place is that of the whole Bundle.
func (b *bundle) join() {
	isNested := func(h *held) bool { return h.nested != nil }
	if len(b.deaths) > 0 || b.event != "" || b.message != nil || slices.ContainsFunc(b.held, isNested) {
		for _, h := range b.held {
			h.Where, h.text = b.span, b.whole
		}
	}
	lost := map[string]bool{} // by subject: one refusal is enough
	for _, s := range b.deaths {
		if h := b.subject(s); h != nil {
			h.deaths = append(h.deaths, s)
		} else if !lost[s.subject] {
			lost[s.subject] = true
			s.held.err = cmp.Or(s.err, errElsewhere)
		}
	}
}

// subject returns the Patient whose death is stated. If the statement names none, it is the Bundle's only Patient.
func (b *bundle) subject(s *statement) *held {
	var only *held
	for _, h := range b.held {
		switch {
		case h.patient == nil:
		case s.subject != "" && (s.subject == h.url || idOf(s.subject) == h.patient.ID):
			return h
		case only != nil:
			return nil
		default:
			only = h
		}
	}
	if s.subject != "" {
		return nil
	}
	return only
}

// idOf returns the id that a reference to a Patient ends with, or the reference.
func idOf(text string) string {
	if id, err := (reference{Reference: text}).id("Patient"); err == nil {
		return id
	}
	return text
}

// records combines a Patient with the other statements of the patient's death. It returns an error if they
// contradict each other.
func (b *bundle) records(h *held) ([]record.Record, error) {
	stated, read, err := told(h.deaths)
	var numbers []record.Identifier
	if err == nil && read {
		numbers = b.allNumbers()
	}
	var all []record.Record
	if err == nil {
		all, err = h.patient.records(h.Where, b.Options, b.site, numbers)
	}
	if err != nil {
		return nil, err
	}
	own := &all[0].Death
	switch {
	case len(h.deaths) == 0:
	case !read && !own.Dead():
		return nil, errElsewhere
	case !read:
	case own.Status == record.Alive, own.Status == record.Void:
		return nil, errors.New("the Patient is stated to be alive, and a death is stated elsewhere")
	case own.Precision != "" && stated.Precision != "" && own.Period != stated.Period:
		return nil, errDates
	default:
		if stated.Precision == "" {
			stated.Period = own.Period
		}
		stated.NoDate = stated.Precision == ""
		*own, all[0].All = stated, false
		b.timed(&all[0])
		err = all[0].Finish(&b.site)
	}
	if own.Dead() && len(b.dead) < maxDead {
		b.remember(h)
	}
	return all, err
}

func (b *bundle) remember(h *held) {
	if b.dead == nil {
		b.dead = map[string]bool{}
	}
	b.dead[h.patient.ID] = true
	if h.url != "" {
		b.dead[h.url] = true
	}
}

var errDates = errors.New("two dates of death that differ")

// told returns the death that all statements agree on, and whether one of them can be read. A certificate that
// nobody has attested is informal.
func told(all []*statement) (death record.Death, read bool, err error) {
	death.Status = record.Formal
	for _, s := range all {
		if s.err != nil {
			return death, false, s.err
		}
		read = read || s.readable
		if s.paper && !s.attested {
			death.Status = record.Informal
		}
		switch {
		case s.period.Precision == "":
		case death.Precision != "" && death.Period != s.period:
			return death, false, errDates
		default:
			death.Period = s.period
		}
	}
	return death, read, nil
}

// allNumbers returns the certificate's numbers. The message's number comes first, because voids name it.
func (b *bundle) allNumbers() (all []record.Identifier) {
	if b.message != nil {
		all = b.message.allNumbers()
	}
	for _, number := range b.numbers {
		if own := (record.Identifier{Authority: certificates, Value: number}); !slices.Contains(all, own) {
			all = append(all, own)
		}
	}
	return all
}

// timed gives a record its place in the source's order: the time of the message, or of the Bundle itself.
func (b *bundle) timed(r *record.Record) {
	for m := b; m != nil; m = m.message {
		if at, err := time.Parse(time.RFC3339, m.sent); err == nil {
			r.Order.Event = at
		}
	}
}

// certificateNumber is a year, a jurisdiction and the certificate's number within both.
var certificateNumber = regexp.MustCompile(`^[0-9]{4}[A-Z]{2}[0-9]{6}$`)

// number takes in the number of a certificate.
func (b *bundle) number(text string) {
	if certificateNumber.MatchString(text) && !slices.Contains(b.numbers, text) {
		b.numbers = append(b.numbers, text)
	}
}

// partial is a date of which parts may be unknown, as US vital records write it.
type partial struct {
	year, month, day int
	time             string
}

// partialDate reads the extension in its several editions: PartialDateTime with Date-Year, partial-date-time with
// year, Partial-date-part-absent-reason with date-year. A part that has only the reason for its absence is unknown.
func partialDate(all []extension) (p partial, err error) {
	for _, e := range all {
		if !strings.Contains(strings.ToLower(e.last()), "partial-date") && !strings.Contains(e.last(), "PartialDate") {
			continue
		}
		for _, part := range e.Extension {
			value := cmp.Or(part.ValueUnsignedInt, part.ValuePositiveInt, part.ValueInteger)
			name := strings.TrimPrefix(strings.ToLower(part.last()), "date-")
			to, is := map[string]*int{"year": &p.year, "month": &p.month, "day": &p.day}[name]
			switch {
			case name == "time":
				p.time = part.ValueTime
			case is && value != nil:
				if *to = *value; *value < 1 || *value > 9999 {
					return p, errors.New("a part of a partial date is out of range")
				}
			}
		}
	}
	return p, nil
}

func (e *extension) last() string { return e.URL[strings.LastIndexByte(e.URL, '/')+1:] }

// date returns the date down to the first part that is unknown.
func (p partial) date() string {
	switch {
	case p.year == 0:
		return ""
	case p.month == 0:
		return fmt.Sprintf("%04d", p.year)
	case p.day == 0:
		return fmt.Sprintf("%04d-%02d", p.year, p.month)
	}
	return fmt.Sprintf("%04d-%02d-%02d", p.year, p.month, p.day)
}

func (p partial) dateTime() string {
	if p.year == 0 || p.month == 0 || p.day == 0 || p.time == "" {
		return p.date()
	}
	return p.date() + "T" + p.time
}
