// Package adt knows what HL7 v2 messages mean for patients: who is meant, what is said about them, and which
// records are one person's. The trigger event says little: messages of any type may state a vital status, and no
// trigger event alone means a death or its retraction.
package adt

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// Read returns the records of a file: one for each patient of each message. A message about no patient gives one
// record that asks for nothing. If one patient of a message can't be taken, the whole message is refused. Reading
// continues after a [*record.Refused]; any other error ends the file.
func Read(r io.Reader, o *Options, site record.Site) iter.Seq2[record.Record, error] {
	messages := hl7.NewReader(r, hl7.Options{Totals: o.Totals, Unended: site.Unended, MaxMessage: o.MaxMessage})
	a := &reader{Options: o, site: site}
	for _, name := range o.Identifiers {
		a.declared = append(a.declared, identifierFields[name])
	}
	return func(yield func(record.Record, error) bool) {
		for {
			m, err := messages.Next()
			if err == nil {
				err = a.take(m)
			}
			if _, refused := errors.AsType[*record.Refused](err); err != nil && !refused {
				a.end(err, messages.Warnings(), yield)
				return
			}
			if !a.hand(err, yield) {
				return
			}
		}
	}
}

// end passes on the file's warnings, and the error that ended it, unless that is [io.EOF].
func (a *reader) end(err error, warnings []string, yield func(record.Record, error) bool) {
	for _, warning := range warnings {
		a.site.Note(warning)
	}
	if !errors.Is(err, io.EOF) {
		yield(record.Record{}, err)
	}
}

// reader makes messages into records.
type reader struct {
	*Options
	site     record.Site
	declared []int           // the fields of PID that have identifiers
	zone     *time.Location  // of times without an offset, in the message
	records  []record.Record // of the message last taken
	msh, pid hl7.Fields
	known    [13]struct{ raw, text string } // fields of MSH: nearly the same in each message of a file
	by       hl7.Separators                 // those that known was read with
}

// hand hands out the records of the message last taken, or why it was refused.
func (a *reader) hand(refused error, yield func(record.Record, error) bool) bool {
	if refused != nil {
		return yield(record.Record{}, refused)
	}
	for _, r := range a.records {
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

// take makes a message into records, or into the reason why it is refused.
func (a *reader) take(m *hl7.Message) error {
	a.records = a.records[:0]
	where := record.Where{Line: m.Line, From: m.From, To: m.To}
	var head *record.Message
	reason := a.unreadable(m)
	if reason == nil {
		a.msh.Divide(m.Segment(0))
		head, a.zone = a.head(m), a.zoneOf()
		where.Control = head.Control
		reason = a.patients(m, record.Record{Where: where, Message: head, Order: a.order(m)})
	}
	if reason == nil {
		return nil
	}
	return &record.Refused{Where: where, Message: head, Reason: reason.Error(), Raw: bytes.Clone(m.Raw())}
}

func (a *reader) unreadable(m *hl7.Message) error {
	if bad := a.site.Charset.Bad(m.Raw()); bad > 0 {
		return fmt.Errorf("%d characters that are not %s", bad, a.site.Charset)
	}
	if bytes.IndexByte(m.Raw(), 0) >= 0 {
		return errors.New("holds a NUL character")
	}
	return nil
}

func (a *reader) head(m *hl7.Message) *record.Message {
	if a.by != m.Separators {
		a.known, a.by = [13]struct{ raw, text string }{}, m.Separators
	}
	field := func(n int) string {
		v, known := a.msh.Field(n), &a.known[n]
		if string(v.Bytes()) != known.raw {
			known.raw, known.text = string(v.Bytes()), strings.ToValidUTF8(a.text(v), "?")
		}
		return known.text
	}
	kind := a.msh.Field(9)
	h := &record.Message{
		SendingApplication: field(3), SendingFacility: field(4),
		ReceivingApplication: field(5), ReceivingFacility: field(6),
		Control: field(10), Processing: field(11), Version: field(12),
		Type: a.text(kind.Part(1)), Event: a.text(kind.Part(2)),
		Hash: m.Hash(),
	}
	if h.Event == "" {
		if evn, found := segment(m, "EVN"); found {
			h.Event = a.text(evn.Field(1))
		}
	}
	return h
}

// text returns a value as UTF-8, without escapes and blanks around it.
func (a *reader) text(v hl7.Value) string {
	if v.Empty() {
		return ""
	}
	return a.site.Charset.Text(bytes.TrimSpace(v.Plain()))
}

// said returns what a value says: nothing, a deletion, or a text.
func (a *reader) said(v hl7.Value) record.Text {
	if v.Deleted() {
		return record.Deleted
	}
	return record.Of(a.text(v))
}

func segment(m *hl7.Message, name string) (hl7.Segment, bool) {
	for i := range m.Len() {
		if s := m.Segment(i); s.Is(name) {
			return s, true
		}
	}
	return hl7.Segment{}, false
}

// maxControl bounds MSH-10, as HL7 does.
const maxControl = 199

// patients makes a record of each PID, with the MRG that follows it.
func (a *reader) patients(m *hl7.Message, base record.Record) error {
	kind, event := base.Message.Type, events[base.Message.Event]
	if utf8.RuneCountInString(base.Control) > maxControl {
		return fmt.Errorf("MSH-10: longer than %d characters", maxControl)
	}
	if kind == "" {
		return errors.New("MSH-9: no message type")
	}
	if err := swallowed(m, kind, event); err != nil {
		return err
	}
	if !a.takes(kind) || event.act == record.Pass {
		return a.pass(base)
	}
	if event.refused != "" {
		return fmt.Errorf("%s %s", base.Message.Event, event.refused)
	}
	for i := range m.Len() {
		if !m.Segment(i).Is("PID") {
			continue
		}
		r := base
		if err := a.patient(&r, event, a.pid.Divide(m.Segment(i)), prior(m, i)); err != nil {
			return err
		}
		a.records = append(a.records, r)
	}
	if event.act == record.Unlink {
		return a.unlink()
	}
	if len(a.records) > 0 {
		return nil
	}
	if kind == "ADT" {
		return errors.New("no PID")
	}
	return a.pass(base)
}

func (a *reader) pass(r record.Record) error {
	r.Act = record.Pass
	a.records = append(a.records[:0], r)
	return nil
}

// prior returns the MRG that belongs to the PID at i, if there is one.
func prior(m *hl7.Message, i int) *hl7.Segment {
	for i++; i < m.Len() && !m.Segment(i).Is("PID"); i++ {
		if s := m.Segment(i); s.Is("MRG") {
			return &s
		}
	}
	return nil
}

// unlink records that the second of two patients is another person than the first.
func (a *reader) unlink() error {
	if len(a.records) != 2 {
		return fmt.Errorf("%d PIDs, of which an unlink has two", len(a.records))
	}
	a.records[0].Retired, a.records[1].Act = a.records[1].Key, record.Change
	return nil
}

func (a *reader) patient(r *record.Record, event meaning, pid *hl7.Fields, mrg *hl7.Segment) error {
	r.Act = event.act
	if err := a.identifiers(r, pid, mrg); err != nil {
		return err
	}
	a.names(r, pid.Field(5))
	a.sex(r, pid.Field(8))
	a.address(r, pid.Field(11))
	if event.cancels {
		if !pid.Field(29).Empty() || !pid.Field(30).Empty() {
			r.Warnings = append(r.Warnings, "the vital status in an "+r.Message.Event+" is not taken")
		}
	} else if err := a.death(r, pid.Field(29), pid.Field(30)); err != nil {
		return err
	}
	if err := a.birthDate(r, pid.Field(7)); err != nil {
		return err
	}
	return r.Finish(&a.site)
}

// identifiers reads the key, the other identifiers, and the key that is merged or replaced.
func (a *reader) identifiers(r *record.Record, pid *hl7.Fields, mrg *hl7.Segment) error {
	fields := a.fields(pid)
	for _, n := range fields {
		for rep := range pid.Field(n).Repetitions {
			i := a.identifier(rep)
			if n == ssn {
				i.Type = cmp.Or(i.Type, "SS")
			}
			if r.Key.Value == "" && a.Key.Matches(i) {
				r.Key = i
			}
			if r.Identifiers = append(r.Identifiers, i); len(r.Identifiers) > record.MaxIdentifiers {
				return fmt.Errorf("PID-%d: more than %d identifiers", n, record.MaxIdentifiers)
			}
		}
	}
	a.dropped(r, pid, fields)
	if r.Key.Value == "" {
		return errors.New("PID-3: no identifier of the key's authority and type")
	}
	if r.Act != record.Merge && r.Act != record.Rekey {
		return nil
	}
	if mrg == nil {
		return fmt.Errorf("an %s without an MRG", r.Message.Event)
	}
	for rep := range mrg.Field(1).Repetitions {
		if i := a.prior(rep, r.Key); r.Retired.Value == "" && a.Key.Matches(i) {
			r.Retired = i
		}
	}
	if r.Retired.Value == "" {
		return errors.New("MRG-1: no identifier of the key's authority and type")
	}
	return nil
}

// identifier reads a CX: value, check digit, its scheme, authority, type. The check digit is no
// part of the number.
func (a *reader) identifier(cx hl7.Value) record.Identifier {
	if cx.Deleted() || cx.Part(1).Deleted() {
		return record.Identifier{}
	}
	authority := cx.Part(4)
	name := cmp.Or(a.text(authority.Part(1)), a.text(authority.Part(2)))
	if ours, mapped := a.Authorities[name]; mapped {
		name = ours
	}
	return record.Identifier{Authority: cmp.Or(name, a.site.Source), Type: a.text(cx.Part(5)), Value: a.text(cx.Part(1))}
}

// prior reads an identifier of MRG-1. A missing authority is that of the key it is merged into. A missing type is
// the key's type, if the authority is the same.
func (a *reader) prior(cx hl7.Value, key record.Identifier) record.Identifier {
	i := a.identifier(cx)
	if cx.Part(4).Empty() {
		i.Authority = key.Authority
	}
	if i.Type == "" && i.Authority == key.Authority {
		i.Type = key.Type
	}
	return i
}

// ssn is the field of a number without authority and type.
const ssn = 19

// Where identifiers are if nothing is declared.
var (
	usualFields = []int{3}
	oldFields   = []int{2}
)

// fields returns the fields in which the partner has identifiers. The default is PID-3, or PID-2 where PID-3 is
// empty: old versions use it.
func (a *reader) fields(pid *hl7.Fields) []int {
	switch {
	case len(a.Identifiers) > 0:
		return a.declared
	case pid.Field(3).Empty():
		return oldFields
	}
	return usualFields
}

// dropped warns of identifiers in undeclared fields, unless the record has the same numbers already.
func (a *reader) dropped(r *record.Record, pid *hl7.Fields, fields []int) {
	var lost []string
	for _, n := range [...]int{2, 3, 4, ssn} {
		field := pid.Field(n)
		if field.Empty() || slices.Contains(fields, n) {
			continue
		}
		for rep := range field.Repetitions {
			value := a.identifier(rep).Value
			if value != "" && !slices.ContainsFunc(r.Identifiers, func(i record.Identifier) bool { return i.Value == value }) {
				lost = append(lost, fmt.Sprint("pid-", n))
				break
			}
		}
	}
	if len(lost) > 0 {
		r.Warnings = append(r.Warnings, "hl7.identifiers does not name "+strings.Join(lost, ", ")+", whose identifiers were dropped")
	}
}
