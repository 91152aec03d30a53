package adt

import (
	"errors"
	"slices"
	"strings"

	"waybill/partner/format/date"
	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// The types of names (XPN-7) and addresses (XAD-7) in the order they are preferred; those not
// named come after "", and past ones last.
var (
	nameTypes    = []string{"L", "C", "CURRENT", "", "U", "D", "B"}
	pastNames    = []string{"PREVIOUS", "M", "A", "N", "S", "NOUSE", "BAD"}
	addressTypes = []string{"H", "HOME", "L", "P", "C", "CURRENT", ""}
	pastAddress  = []string{"BA", "BAD", "OLD", "N", "BR", "F", "PREVIOUS"}
)

// best returns the repetition with the most preferred type, which is component n. Of equal ones it returns the
// first.
func (a *reader) best(field hl7.Value, n int, preferred, past []string) hl7.Value {
	if !field.Repeated() {
		return field.First()
	}
	found, rank := field.First(), 1<<30
	for rep := range field.Repetitions {
		kind := strings.ToUpper(a.text(rep.Part(n)))
		at := slices.Index(preferred, kind)
		if at < 0 {
			at = len(preferred) + 1 + slices.Index(past, kind)
		}
		if at < rank {
			found, rank = rep, at
		}
	}
	return found
}

func (a *reader) names(r *record.Record, field hl7.Value) {
	if field.Deleted() {
		r.Family, r.Given = record.Deleted, record.Deleted
		return
	}
	name := a.best(field, 7, nameTypes, pastNames)
	r.Family = a.said(name.Part(1).Part(1))
	r.Given = a.joined(" ", name.Part(2), name.Part(3))
}

func (a *reader) sex(r *record.Record, field hl7.Value) {
	if field.Deleted() {
		r.Sex = record.Deleted
		return
	}
	code := strings.ToUpper(a.text(field.Part(1)))
	if own, mapped := a.Sex[code]; mapped {
		r.Sex = record.Of(own)
		return
	}
	switch code {
	case "":
	case "M":
		r.Sex = record.Of("male")
	case "F":
		r.Sex = record.Of("female")
	case "O", "A", "N", "X":
		r.Sex = record.Of("other")
	case "U":
		r.Sex = record.Of("unknown")
	default:
		r.Warnings = append(r.Warnings, "a code of PID-8 that is not known")
	}
}

func (a *reader) address(r *record.Record, field hl7.Value) {
	if field.Deleted() {
		r.Address = record.Address{Line: record.Deleted, City: record.Deleted, Postcode: record.Deleted, Country: record.Deleted}
		return
	}
	xad := a.best(field, 7, addressTypes, pastAddress)
	r.Address = record.Address{
		Line:     a.joined(", ", xad.Part(1), xad.Part(2)),
		City:     a.said(xad.Part(3)),
		Postcode: a.said(xad.Part(5)),
		Country:  a.said(xad.Part(6)),
	}
}

// joined joins the parts that hold text. The sub-components of a street are joined by blanks. If no part holds text
// and one is deleted, the result is deleted.
func (a *reader) joined(separator string, parts ...hl7.Value) record.Text {
	var kept []string
	deleted := false
	for _, part := range parts {
		deleted = deleted || part.Deleted()
		if text := a.whole(part); text != "" {
			kept = append(kept, text)
		}
	}
	if len(kept) == 0 && deleted {
		return record.Deleted
	}
	return record.Of(strings.Join(kept, separator))
}

// whole returns a component as text. It joins its sub-components, without those that the text already contains.
func (a *reader) whole(part hl7.Value) string {
	if part.Deleted() {
		return ""
	}
	if !part.Divided() {
		return a.text(part)
	}
	text := a.text(part.Part(1))
	for n := 2; n <= 3; n++ {
		if more := a.text(part.Part(n)); more != "" && !strings.Contains(text, more) {
			text = strings.TrimSpace(text + " " + more)
		}
	}
	return text
}

// birthDate reads a date of birth as exactly as it is given; the time of day is not taken.
func (a *reader) birthDate(r *record.Record, field hl7.Value) error {
	date, err := a.birth(field)
	if r.BirthDate = date; err != nil {
		return r.NoBirth(a.text(field.Part(1)), record.Field("PID-7", err))
	}
	return nil
}

func (a *reader) birth(field hl7.Value) (record.Text, error) {
	if field.Empty() || field.Deleted() {
		return a.said(field), nil
	}
	text := a.text(field.Part(1))
	if text == "" {
		return record.Text{}, nil
	}
	d, err := date.ParseHL7(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))])
	if err != nil {
		return record.Text{}, err
	}
	return record.Of(d.ISO()), nil
}

var errContradiction = errors.New("PID-30 says that the patient is alive, and PID-29 when the death was")

// death reads PID-29, the time of death, and PID-30, whether there was one. If they contradict each other the
// message is refused, because it proves nothing.
func (a *reader) death(r *record.Record, at, indicator hl7.Value) error {
	status, err := a.vital(indicator)
	if err != nil {
		return err
	}
	var period record.Period
	text := a.text(at.First().Part(1))
	if text != "" && !at.Deleted() {
		period, err = a.period(text)
		if a.site.IsPlaceholder(text, period) {
			period, err, text = record.Period{}, nil, ""
		}
	}
	dated := text != "" && !at.Deleted()
	switch {
	case dated && status == record.Alive:
		return errContradiction
	case err != nil:
		return record.Field("PID-29", err)
	case dated:
		r.Death = record.Death{Status: a.authority(), Period: period}
	case status == record.Informal:
		r.Death = record.Death{Status: a.authority(), NoDate: at.Deleted()}
	case at.Deleted() && status == record.Unstated:
		return errors.New("PID-29 deletes the time of death, and PID-30 does not say whether there was one")
	default:
		r.Death = record.Death{Status: status}
	}
	return nil
}

func (a *reader) authority() string {
	if a.Deaths == record.Formal {
		return record.Formal
	}
	return record.Informal
}

// vital returns whether the death indicator says dead, alive or nothing. A deleted indicator means alive.
func (a *reader) vital(indicator hl7.Value) (string, error) {
	if indicator.Deleted() {
		return record.Alive, nil
	}
	switch strings.ToUpper(a.text(indicator.First().Part(1))) {
	case "":
		return record.Unstated, nil
	case "Y", "YES", "DECEASED", "DEAD", "D", "TRUE", "T", "1":
		return record.Informal, nil
	case "N", "NO", "ALIVE", "FALSE", "F", "0":
		return record.Alive, nil
	default:
		return record.Unstated, errors.New("PID-30 is neither yes nor no")
	}
}
