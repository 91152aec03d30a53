package intake

import (
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"
	"time"
)

// fhirPatient holds what intake reads of a FHIR R4 or R5 Patient.
type fhirPatient struct {
	fhirResource
	Identifier       []fhirIdentifier `json:"identifier"`
	Name             []fhirName       `json:"name"`
	Gender           string           `json:"gender"`
	BirthDate        string           `json:"birthDate"`
	Address          []fhirAddress    `json:"address"`
	DeceasedBoolean  *bool            `json:"deceasedBoolean"`
	DeceasedDateTime string           `json:"deceasedDateTime"`
	Extension        []fhirExtension  `json:"extension"`
}

type fhirIdentifier struct {
	Use    string      `json:"use"`
	Type   fhirConcept `json:"type"`
	System string      `json:"system"`
	Value  string      `json:"value"`
}

type fhirConcept struct {
	Coding []fhirCoding `json:"coding"`
}

type fhirCoding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type fhirName struct {
	Use    string   `json:"use"`
	Text   string   `json:"text"`
	Family string   `json:"family"`
	Given  []string `json:"given"`
}

type fhirAddress struct {
	Use        string   `json:"use"`
	Line       []string `json:"line"`
	City       string   `json:"city"`
	PostalCode string   `json:"postalCode"`
	Country    string   `json:"country"`
}

type fhirExtension struct {
	URL                  string          `json:"url"`
	ValueCodeableConcept fhirConcept     `json:"valueCodeableConcept"`
	Extension            []fhirExtension `json:"extension"`
}

func fhirPatients(in *lines, o Options) (next[Patient], error) {
	return readNDJSON(in, "Patient", func(line int, f *fhirPatient) (Patient, error) { return f.patient(line, o) }), nil
}

func (f *fhirPatient) patient(line int, o Options) (Patient, error) {
	p := Patient{Line: line, BirthDate: f.BirthDate, Sex: f.Gender}
	if !slices.Contains([]string{"", "male", "female", "other", "unknown"}, f.Gender) {
		return p, errors.New("gender is none of male, female, other and unknown")
	}
	p.Family, p.Given = f.name()
	p.Address = f.address()
	for _, i := range f.Identifier {
		if i.Use != "old" {
			p.Identifiers = append(p.Identifiers, Identifier{strings.TrimSpace(i.System), i.typeCode(), strings.TrimSpace(i.Value)})
		}
	}
	var err error
	if p.Death, err = f.death(o.Zone); err != nil {
		return p, err
	}
	return p.finish(f.ID, o.Source)
}

// best returns the first of the entries whose use comes earliest in the order of preference.
func best[T any](all []T, use func(T) string, order []string) (found T) {
	rank := func(t T) int {
		if i := slices.Index(order, use(t)); i >= 0 {
			return i
		}
		return len(order)
	}
	if len(all) == 0 {
		return found
	}
	return slices.MinFunc(all, func(a, b T) int { return rank(a) - rank(b) })
}

var (
	nameUses    = []string{"official", "usual", "", "nickname", "temp", "anonymous", "maiden", "old"}
	addressUses = []string{"home", "", "work", "temp", "billing", "old"}
)

// name returns the patient's most official name. A name given only as text is returned as a
// family name: nothing says which part is which.
func (f *fhirPatient) name() (family, given string) {
	name := best(f.Name, func(n fhirName) string { return n.Use }, nameUses)
	family, given = strings.TrimSpace(name.Family), joined(name.Given, " ")
	if family == "" && given == "" {
		family = strings.TrimSpace(name.Text)
	}
	return family, given
}

func (f *fhirPatient) address() Address {
	a := best(f.Address, func(a fhirAddress) string { return a.Use }, addressUses)
	return Address{Line: joined(a.Line, ", "), City: strings.TrimSpace(a.City), Postcode: strings.TrimSpace(a.PostalCode), Country: strings.TrimSpace(a.Country)}
}

// typeCode prefers HL7's own table where a type is coded several times.
func (i *fhirIdentifier) typeCode() string {
	const table = "http://terminology.hl7.org/CodeSystem/v2-0203"
	for _, c := range i.Type.Coding {
		if c.System == table {
			return strings.TrimSpace(c.Code)
		}
	}
	if len(i.Type.Coding) > 0 {
		return strings.TrimSpace(i.Type.Coding[0].Code)
	}
	return ""
}

// death reads the three places where a Patient can speak of death. Where they contradict each
// other the record is refused: neither a death nor a life may be inferred from it.
func (f *fhirPatient) death(zone *time.Location) (Death, error) {
	status, err := f.notification()
	if err != nil {
		return Death{}, err
	}
	notified := status == Informal || status == Formal
	dated := f.DeceasedDateTime != ""
	denied := f.DeceasedBoolean != nil && !*f.DeceasedBoolean
	affirmed := dated || f.DeceasedBoolean != nil && *f.DeceasedBoolean
	switch {
	case denied && dated:
		return Death{}, errors.New("deceasedBoolean is false beside a deceasedDateTime")
	case denied && notified:
		return Death{}, errors.New("deceasedBoolean is false beside a death notification")
	case affirmed && status == Void:
		return Death{}, errors.New("deceased beside a death notification that was removed")
	case dated:
		period, err := f.died(notified, zone)
		return Death{Status: cmp.Or(status, Formal), Period: period}, field("deceasedDateTime", err)
	case affirmed:
		return Death{Status: cmp.Or(status, Formal)}, nil
	case denied:
		return Death{Status: cmp.Or(status, Alive)}, nil
	default:
		return Death{Status: status}, nil
	}
}

// died returns the period of the date of death. The UK's demographics service, which is known
// by its death notification, gives every date a time and writes midnight UTC where it knows
// only the day: taken as a minute that would be the wrong one nearly always.
func (f *fhirPatient) died(notified bool, zone *time.Location) (Period, error) {
	if day, midnight := strings.CutSuffix(f.DeceasedDateTime, "T00:00:00+00:00"); midnight && notified {
		return periodOf(day, zone)
	}
	return periodOf(f.DeceasedDateTime, zone)
}

// notification returns the vital status of the UK's death notification extension.
func (f *fhirPatient) notification() (string, error) {
	codes := map[string]string{"1": Informal, "2": Formal, "U": Void}
	found := Unstated
	for _, e := range f.Extension {
		if !strings.Contains(path.Base(e.URL), "DeathNotificationStatus") { // UK Core and its forerunners
			continue
		}
		status, known := codes[e.notificationCode()]
		if !known {
			return "", errors.New("a death notification status that is none of 1, 2 and U")
		}
		if found != Unstated && found != status {
			return "", errors.New("two death notification statuses that differ")
		}
		found = status
	}
	return found, nil
}

func (e *fhirExtension) notificationCode() string {
	concept := e.ValueCodeableConcept
	for _, inner := range e.Extension {
		if inner.URL == "deathNotificationStatus" {
			concept = inner.ValueCodeableConcept
		}
	}
	if len(concept.Coding) == 0 {
		return ""
	}
	return concept.Coding[0].Code
}

// joined joins the parts that are not blank.
func joined(parts []string, separator string) string {
	kept := make([]string, 0, len(parts))
	for _, part := range parts {
		if part = strings.TrimSpace(part); part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, separator)
}
