package fhir

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

// patient holds what is read and written of a Patient of FHIR R4 (chapter 8.1); R5 has all of it, too.
type patient struct {
	resource
	Extension        []extension  `json:"extension,omitempty"`
	Identifier       []identifier `json:"identifier,omitempty"`
	Name             []name       `json:"name,omitempty"`
	Gender           string       `json:"gender,omitempty"`
	BirthDate        string       `json:"birthDate,omitempty"`
	DeceasedBoolean  *bool        `json:"deceasedBoolean,omitempty"`
	DeceasedDateTime string       `json:"deceasedDateTime,omitempty"`
	Address          []address    `json:"address,omitempty"`
	Link             []link       `json:"link,omitempty"`

	// What is only read: a deceased[x] that is present and has no value, and the extensions of the birth date.
	dateless, valueless bool
	born                element
}

// patientNames are the members that are read or that may be ignored.
var patientNames = namesOf("resourceType", "id", "meta", "language", "text", "contained", "extension", "identifier", "active", "name",
	"telecom", "gender", "birthDate", "_birthDate", "deceasedBoolean", "_deceasedBoolean", "deceasedDateTime", "_deceasedDateTime",
	"address", "maritalStatus", "multipleBirthBoolean", "multipleBirthInteger", "photo", "contact", "communication",
	"generalPractitioner", "managingOrganization", "link", "implicitRules", "modifierExtension")

// decode reads a Patient strictly.
func (p *patient) decode(d *jsontext.Decoder) error {
	if err := open(d); err != nil {
		return plain(err)
	}
	for d.PeekKind() == '"' {
		name, err := patientNames.next(d)
		if err == nil {
			err = p.member(name, d)
		}
		if err != nil {
			return member(name, err)
		}
	}
	if err := end(d); err != nil {
		return plain(err)
	}
	if slices.ContainsFunc(p.Extension, func(e extension) bool { return e.URL == "" }) {
		return errors.New("extension: an extension without its url")
	}
	return nil
}

func (p *patient) member(name string, d *jsontext.Decoder) error {
	switch name {
	case "resourceType":
		return json.UnmarshalDecode(d, &p.ResourceType)
	case "id":
		return json.UnmarshalDecode(d, &p.ID)
	case "extension":
		return json.UnmarshalDecode(d, &p.Extension)
	case "identifier":
		return json.UnmarshalDecode(d, &p.Identifier)
	case "name":
		return json.UnmarshalDecode(d, &p.Name)
	case "gender":
		return json.UnmarshalDecode(d, &p.Gender)
	case "birthDate":
		return json.UnmarshalDecode(d, &p.BirthDate)
	case "_birthDate":
		return json.UnmarshalDecode(d, &p.born)
	case "address":
		return json.UnmarshalDecode(d, &p.Address)
	case "link":
		return json.UnmarshalDecode(d, &p.Link)
	case "deceasedBoolean":
		p.valueless = p.valueless || d.PeekKind() == 'n'
		return json.UnmarshalDecode(d, &p.DeceasedBoolean)
	case "_deceasedBoolean":
		p.valueless = true
	case "deceasedDateTime":
		p.dateless = true
		return json.UnmarshalDecode(d, &p.DeceasedDateTime)
	case "_deceasedDateTime":
		p.dateless = true
	case "contained":
		text, err := d.ReadValue()
		if n, _ := headsIn(text); err == nil && n > 0 {
			err = errContained
		}
		return err
	case "implicitRules", "modifierExtension":
		return fmt.Errorf("%s may change what the Patient means", name)
	default:
		if strings.HasPrefix(strings.ToLower(strings.TrimPrefix(name, "_")), "deceased") {
			return errors.New("a deceased[x] that FHIR does not have")
		}
	}
	return d.SkipValue()
}

type identifier struct {
	Use    string   `json:"use,omitempty"`
	Type   *concept `json:"type,omitempty"`
	System string   `json:"system,omitempty"`
	Value  string   `json:"value"`
}

type name struct {
	Use    string   `json:"use,omitempty"`
	Text   string   `json:"text,omitempty"`
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
}

type address struct {
	Use        string   `json:"use,omitempty"`
	Line       []string `json:"line,omitempty"`
	City       string   `json:"city,omitempty"`
	PostalCode string   `json:"postalCode,omitempty"`
	Country    string   `json:"country,omitempty"`
}

type link struct {
	Other             reference      `json:"other"`
	Type              string         `json:"type"`
	ModifierExtension jsontext.Value `json:"modifierExtension,omitempty"`
}

// identifierTypes is the code system of the types of identifiers: HL7's table 0203.
const identifierTypes = "http://terminology.hl7.org/CodeSystem/v2-0203"

// records returns what a Patient says: its state, and a merge for each record that it replaces or that replaces it.
// further are the patient's numbers from other resources.
func (p *patient) records(where record.Where, o *Options, site record.Site, further []record.Identifier) ([]record.Record, error) {
	own, err := p.state(where, o, site, further)
	if err != nil {
		return nil, err
	}
	all := []record.Record{own}
	for _, l := range p.Link {
		merge := record.Record{Where: where, Act: record.Merge, Key: own.Key}
		switch l.Type {
		case "replaced-by", "replaces":
			merge.Retired, err = l.Other.key(o, site)
		case "refer", "seealso":
			continue
		default:
			err = errors.New("type must be replaced-by, replaces, refer or seealso")
		}
		if err == nil && l.ModifierExtension != nil {
			err = errors.New("modifierExtension may change what the link means")
		}
		if err != nil {
			return nil, record.Field("link", err)
		}
		if l.Type == "replaced-by" {
			merge.Key, merge.Retired = merge.Retired, merge.Key
		}
		if err := merge.Finish(&site); err != nil {
			return nil, err
		}
		all = append(all, merge)
	}
	return all, nil
}

// key returns the key of the Patient that a reference names. It uses the id or an identifier, as the partner's keys
// do.
func (r reference) key(o *Options, site record.Site) (record.Identifier, error) {
	var named record.Identifier
	if r.Identifier != nil {
		named = r.Identifier.record()
	}
	if o.Key.Authority != "" {
		if !o.Key.Matches(named) {
			return named, errors.New("names the other record by no identifier of the key's authority and type")
		}
		return named, nil
	}
	if r.Reference == "" && named.Value != "" {
		return named, nil
	}
	id, err := r.id("Patient")
	return record.Identifier{Authority: site.Source, Value: id}, err
}

// id returns the id in a literal reference: Patient/ID, URL/Patient/ID or urn:uuid:ID.
func (r reference) id(kind string) (string, error) {
	text := r.Reference
	if id, found := strings.CutPrefix(text, "urn:uuid:"); found {
		return id, nil
	}
	text, _, _ = strings.Cut(text, "/_history/")
	if i := strings.LastIndex(text, kind+"/"); i >= 0 {
		return text[i+len(kind)+1:], nil
	}
	return "", errors.New("no literal reference to a " + kind)
}

func (p *patient) state(where record.Where, o *Options, site record.Site, further []record.Identifier) (record.Record, error) {
	born := p.BirthDate
	partial, unread := partialDate(p.born.Extension)
	if born == "" {
		born = partial.date()
	}
	r := record.Record{Where: where, All: true, BirthDate: record.Of(born), Sex: record.Of(p.Gender)}
	if !isGender(p.Gender) {
		return r, errors.New("gender must be male, female, other or unknown")
	}
	r.Family, r.Given = p.name()
	r.Address = p.address()
	p.identify(&r, o, site, further)
	var err error
	if r.Death, err = p.death(site.Zone); err != nil {
		return r, err
	}
	if unread != nil && p.BirthDate == "" {
		if err := r.NoBirth("", record.Field("birthDate", unread)); err != nil {
			return r, err
		}
	}
	return r, r.Finish(&site)
}

func isGender(code string) bool {
	return slices.Contains([]string{"", "male", "female", "other", "unknown"}, code)
}

// identify finds the key: the resource's id, or the first further number, unless a kind of identifier is declared.
func (p *patient) identify(r *record.Record, o *Options, site record.Site, further []record.Identifier) {
	if o.Key.Authority == "" {
		r.Key = record.Identifier{Authority: site.Source, Value: p.ID}
		if len(further) > 0 {
			r.Key = further[0]
		}
	}
	for _, i := range p.Identifier {
		if i.Use != "old" {
			r.Identifiers = append(r.Identifiers, i.record())
		}
	}
	r.Identifiers = append(r.Identifiers, further...)
	if i := slices.IndexFunc(r.Identifiers, o.Key.Matches); i >= 0 && o.Key.Authority != "" {
		r.Key = r.Identifiers[i]
	}
}

func (i *identifier) record() record.Identifier {
	return record.Identifier{Authority: strings.TrimSpace(i.System), Type: i.typeCode(), Value: strings.TrimSpace(i.Value)}
}

// typeCode returns an identifier's type. If the type is coded several times, it prefers HL7's own table.
func (i *identifier) typeCode() string {
	if i.Type == nil {
		return ""
	}
	for _, c := range i.Type.Coding {
		if c.System == identifierTypes {
			return strings.TrimSpace(c.Code)
		}
	}
	if len(i.Type.Coding) > 0 {
		return strings.TrimSpace(i.Type.Coding[0].Code)
	}
	return ""
}

// death reads the three places where a Patient can state a death. A record in which they contradict
// each other is refused: neither death nor life may be inferred from it.
func (p *patient) death(zone *time.Location) (record.Death, error) {
	status, err := p.notification()
	if err != nil {
		return record.Death{}, err
	}
	notified := status == record.Informal || status == record.Formal
	dated := p.DeceasedDateTime != ""
	denied := p.DeceasedBoolean != nil && !*p.DeceasedBoolean
	affirmed := dated || p.DeceasedBoolean != nil && *p.DeceasedBoolean
	switch {
	case p.dateless && !affirmed, p.valueless && p.DeceasedBoolean == nil && !dated:
		return record.Death{}, errors.New("deceased[x] is present and has no value: neither death nor life follows from it")
	case denied && dated:
		return record.Death{}, errors.New("deceasedBoolean is false, but there is a deceasedDateTime")
	case denied && notified:
		return record.Death{}, errors.New("deceasedBoolean is false, but there is a death notification")
	case affirmed && status == record.Void:
		return record.Death{}, errors.New("deceased, but the death notification was removed")
	case dated:
		period, err := p.died(notified, zone)
		return record.Death{Status: cmp.Or(status, record.Formal), Period: period}, record.Field("deceasedDateTime", err)
	case affirmed:
		return record.Death{Status: cmp.Or(status, record.Formal)}, nil
	case denied:
		return record.Death{Status: cmp.Or(status, record.Alive)}, nil
	default:
		return record.Death{Status: status}, nil
	}
}

// died returns the period of the date of death. The UK's demographics service, which its death notification
// identifies, gives every date a time: midnight UTC if only the day is known. Reading that as a minute would nearly
// always be wrong.
func (p *patient) died(notified bool, zone *time.Location) (record.Period, error) {
	if day, midnight := strings.CutSuffix(p.DeceasedDateTime, "T00:00:00+00:00"); midnight && notified {
		return periodOf(day, zone)
	}
	return periodOf(p.DeceasedDateTime, zone)
}

func periodOf(text string, zone *time.Location) (record.Period, error) {
	d, err := date.ParseFHIR(text)
	if err != nil {
		return record.Period{}, err
	}
	return record.PeriodOf(d, zone)
}

// notification returns the vital status of the extension DeathNotificationStatus of FHIR UK Core.
func (p *patient) notification() (string, error) {
	codes := map[string]string{"1": record.Informal, "2": record.Formal, "U": record.Void}
	found := record.Unstated
	for _, e := range p.Extension {
		if !strings.Contains(path.Base(e.URL), "DeathNotificationStatus") { // UK Core and its forerunners
			continue
		}
		status, known := codes[e.notificationCode()]
		if !known {
			return "", errors.New("a death notification status must be 1, 2 or U")
		}
		if found != record.Unstated && found != status {
			return "", errors.New("two death notification statuses that differ")
		}
		found = status
	}
	return found, nil
}

func (e *extension) notificationCode() string {
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
