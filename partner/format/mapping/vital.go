package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

// name returns the column of a date, for reasons.
func (d Date) name() string { return Name(cmp.Or(d.Column, d.Year)) }

// known reads a mapped date; the zero date when it says nothing.
func (r *Mapper) known(d dated) (known date.Date, err error) {
	switch {
	case d.column != none:
		text := r.at(d.column)
		if text == "" || slices.Contains(d.unknown, text) {
			return known, nil
		}
		if known, err = d.layout.Parse(text, d.unknown...); err != nil {
			return known, err
		}
	case d.year != none:
		if known, err = date.Join(r.at(d.year), r.at(d.month), r.at(d.day), d.unknown); err != nil || known.IsZero() {
			return date.Date{}, err
		}
	}
	if time := r.at(d.time); time != "" && !slices.Contains(d.unknown, time) {
		err = known.SetTime(time)
	}
	return known, err
}

func (r *Mapper) readBirth(out *record.Record) error {
	if r.birth.column != none {
		if text := r.said(r.birth.column); text.Deleted || r.birth.layout.iso {
			out.BirthDate = text
			return nil
		}
	}
	known, err := r.known(r.birth)
	if err == nil && !known.IsZero() {
		out.BirthDate.Value, err = birth(known)
	}
	if err != nil {
		return out.NoBirth(r.at(r.birth.column)+r.at(r.birth.year)+r.at(r.birth.month)+r.at(r.birth.day), record.Field(r.m.BirthDate.name(), err))
	}
	return nil
}

// readDeath reads status and date. A row in which they contradict each other is refused.
func (r *Mapper) readDeath(out *record.Record) error {
	status, err := r.vital()
	if err != nil {
		return err
	}
	period, noDate, err := r.dateOfDeath()
	if err != nil {
		return record.Field(r.m.Death.Date.name(), err)
	}
	dated := period.Precision != ""
	switch {
	case dated && (status == record.Alive || status == record.Void):
		return errors.New("a date of death with a status that says alive")
	case status == record.Unstated && (dated || r.m.Death.Always):
		status = cmp.Or(r.m.Death.As, record.Informal)
	}
	out.Death = record.Death{Status: status, Period: period}
	out.Death.NoDate = noDate && out.Death.Dead()
	return nil
}

func (r *Mapper) vital() (string, error) {
	code := r.at(r.status)
	if r.status == none {
		return record.Unstated, nil
	}
	if r.isDelete(code) {
		return record.Alive, nil
	}
	status, known := r.statuses[code]
	if len(r.statuses) == 0 && slices.Contains(statuses, code) {
		return code, nil
	}
	if !known && code != "" && r.status != r.died.column {
		return "", undeclared(r.m.Death.Status.Column)
	}
	return status, nil
}

// isVoid reports whether a row is marked as void.
func (r *Mapper) isVoid() (bool, error) {
	flag := r.at(r.void)
	value, known := r.m.Death.Void.Values[flag]
	if !known && flag != "" {
		return false, undeclared(r.m.Death.Void.Column)
	}
	return value == record.Void, nil
}

func undeclared(column string) error {
	return fmt.Errorf("%s: a code that is not declared", Name(column))
}

func (r *Mapper) dateOfDeath() (p record.Period, noDate bool, err error) {
	d := r.died
	if d.column != none {
		text := r.said(d.column)
		_, code := r.statuses[text.Value]
		if text.Deleted || text.Value == "" || code && r.status == d.column {
			return p, text.Deleted, nil
		}
	}
	known, err := r.known(d)
	if err == nil && !known.IsZero() {
		p, err = record.PeriodOf(known, r.site.Zone)
	}
	return r.unless(r.at(d.column), p, err)
}

// unless returns a date of death unless it is a placeholder.
func (r *Mapper) unless(text string, p record.Period, err error) (record.Period, bool, error) {
	if r.site.IsPlaceholder(text, p) {
		return record.Period{}, false, nil
	}
	return p, false, err
}
