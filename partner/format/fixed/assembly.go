package fixed

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

// assembly makes a record from its lines. In most layouts a record has one.
type assembly struct {
	layout *Layout
	mapper *mapping.Mapper
	codes  []string  // of the lines; empty: each line is a record
	places [][]place // of the fields that are read, by line

	where  record.Where
	open   bool // of several lines, and more may follow
	marked bool // a header or trailer was met since then: no line may follow
	text   []byte
	fields [][]byte // by name
	seen   []bool   // by line
	reason error    // why the record can't be read
}

// place is a field and the index of its name among the names.
type place struct {
	Field
	name int
}

func newAssembly(l *Layout, mapper *mapping.Mapper) *assembly {
	names, read := l.names(), l.Map.Names()
	a := &assembly{layout: l, mapper: mapper, codes: l.Lines.codes(), fields: make([][]byte, len(names))}
	a.places = make([][]place, max(1, len(a.codes)))
	a.seen = make([]bool, len(a.places))
	for _, f := range l.Fields {
		if name := mapping.Name(f.Name); slices.Contains(read, name) {
			line := l.line(f)
			a.places[line] = append(a.places[line], place{f, slices.Index(names, name)})
		}
	}
	return a
}

// kind returns which line a text is, or -1 if it is none of them.
func (a *assembly) kind(text []byte) int {
	if a.codes == nil {
		return 0
	}
	text = text[min(max(a.layout.Lines.At, 1)-1, len(text)):]
	return slices.IndexFunc(a.codes, func(code string) bool { return bytes.HasPrefix(text, []byte(code)) })
}

// length returns how long a line must be.
func (a *assembly) length(text []byte) int {
	if kind := a.kind(text); a.codes != nil && kind >= 0 {
		return cmp.Or(a.layout.Lines.Lengths[a.codes[kind]], a.layout.Length)
	}
	return a.layout.Length
}

// continues reports whether a line belongs to the record that was begun. Every line but a head does, also
// undeclared ones: the record may be incomplete without them.
func (a *assembly) continues(text []byte) bool {
	return a.open && !a.marked && a.kind(text) != 0
}

// begin begins a record.
func (a *assembly) begin(p piece) {
	a.where = record.Where{Line: p.number, From: p.from, To: p.to}
	a.open, a.marked = a.codes != nil, false
	a.text, a.reason = a.text[:0], nil
	if a.open {
		clear(a.seen)
		clear(a.fields)
	}
}

// add adds a line that was measured, or the reason why it can't be read.
func (a *assembly) add(p piece, r *ruler, reason error) {
	a.where.To = p.to
	text := p.text
	if a.open {
		if from := len(a.text); from > 0 && a.layout.Ends != "none" {
			a.text = append(a.text, '\n')
		}
		from := len(a.text)
		a.text = append(a.text, text...)
		text = a.text[from:]
	} else {
		a.text = text
	}
	if reason == nil {
		reason = a.read(text, r)
	}
	if reason != nil && a.reason == nil {
		if a.reason = reason; p.number != a.where.Line {
			a.reason = fmt.Errorf("at line %d: %w", p.number, reason)
		}
	}
}

// read finds the fields of a line.
func (a *assembly) read(text []byte, r *ruler) error {
	line := a.kind(text)
	switch {
	case line < 0:
		return errors.New("a line of a kind that is not declared")
	case line > 0 && !a.seen[0]:
		return errors.New("a line without the first line of its record")
	case a.seen[line] && a.open && len(a.places[line]) > 0:
		return fmt.Errorf("a second line %s of the record", a.codes[line])
	}
	a.seen[line] = true
	for _, f := range a.places[line] {
		if r.splits(text, f.Field) {
			return fmt.Errorf("%s begins or ends inside a character: widths may be counted in characters", mapping.Name(f.Name))
		}
		field, before := r.field(text, f.Field), a.fields[f.name]
		if a.open && before != nil && !bytes.Equal(bytes.TrimSpace(before), bytes.TrimSpace(field)) {
			return fmt.Errorf("%s is not that of the record's first line", mapping.Name(f.Name))
		}
		a.fields[f.name] = field
	}
	return nil
}

// record returns the record, or its refusal.
func (a *assembly) record() (record.Record, error) {
	a.open = false
	out, reason := record.Record{Where: a.where}, a.reason
	if reason == nil {
		out, reason = a.mapper.Record(a.where, a.fields)
	}
	if reason != nil {
		return out, &record.Refused{Where: out.Where, Reason: reason.Error(), Raw: bytes.Clone(a.text)}
	}
	return out, nil
}
