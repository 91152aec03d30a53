// Package intake reads patients from files that come without a manifest. It hands them to the patients service
// through the service's staging table and functions, so that the service's own triggers decide what is an event.
//
// The formats are packages of their own below this one, and all of them make [record.Record]s. A [Format] declares
// the format of a file. A file is read once, record by record, in constant memory. A record that can't be taken is
// left out as a [record.Refused], with its place and the reason, and the next one is read. An error of any other
// kind ends the file, and then nothing of it counts.
package intake

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/container"
	"waybill/partner/format/fhir"
	"waybill/partner/format/fixed"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// Source is a whole file: a file of the spool, or bytes.
type Source = container.Source

// Reading is one pass over a file's records.
type Reading struct {
	all      iter.Seq2[record.Record, error]
	warnings []warning
}

// All returns the records in the file's order, over all members of a container. It can be ranged
// over once. Its errors are [*record.Refused] for a record that was left out, after which reading
// continues, and a [fault.Error] that ends the file: then nothing of it counts.
func (r *Reading) All() iter.Seq2[record.Record, error] { return r.all }

// Warnings returns what was odd about the file and its records but accepted: trailers with wrong counts, dates that
// were left out. It is complete after All has ended.
func (r *Reading) Warnings() (all []string) {
	for _, w := range r.warnings {
		switch {
		case w.line > 0 && w.times > 1:
			w.text = fmt.Sprintf("%s (%d records, the first in line %d)", w.text, w.times, w.line)
		case w.line > 0:
			w.text = fmt.Sprintf("line %d: %s", w.line, w.text)
		}
		all = append(all, w.text)
	}
	return all
}

// Open begins to read a file as f declares it. name is for errors and need not be a path. source names the system
// whose ids the file holds; it is the authority of ids without one. The same source must be given every time. now
// is the time of judgement: a later death can't be true.
func (f *Format) Open(name, source string, now time.Time, file Source) (*Reading, error) {
	if err := f.Check(); err != nil {
		return nil, fault.New(fault.Usage, "read", name, err, "correct the format that is declared for it")
	}
	if file.Size() == 0 {
		return nil, fault.New(fault.Poison, "read", name, record.Malformedf("the file is empty"),
			"ask the sender: a file without records still has a first line, or should not be sent")
	}
	set, _ := charset.Of(f.Charset) // Check has tried both
	zone, _ := setting.Zone(f.Zone)
	rules, _ := f.rules(now)
	r := &Reading{}
	site := record.Site{
		Source: source, Charset: set, Zone: zone, Unended: f.Unended == "take", Rules: rules,
		Note: func(warning string) { r.note(warning, 0) },
	}
	r.all = func(yield func(record.Record, error) bool) {
		for m, err := range container.Members(f.Container, file, f.Limits, f.Members) {
			if refused, ok := errors.AsType[*record.Refused](err); ok {
				if !yield(record.Record{Where: refused.Where}, refused) {
					return
				}
				continue
			}
			if errors.Is(err, container.ErrNothing) && f.MayBeEmpty {
				return
			}
			if err != nil {
				yield(record.Record{}, unread(name, err))
				return
			}
			if !r.member(f, name, m, site, yield) {
				return
			}
		}
	}
	return r, nil
}

// member hands out the records of one file, and reports whether more may follow.
func (r *Reading) member(f *Format, name string, m container.Member, site record.Site, yield func(record.Record, error) bool) bool {
	for one, err := range f.records(site.Charset.Reader(m), site) {
		refused, ok := errors.AsType[*record.Refused](err)
		switch {
		case ok:
			refused.Member = m.Name
		case err != nil:
			if bad, is := errors.AsType[*record.Malformed](err); is && m.Name != "" {
				err = record.Malformedf("%q: %s", m.Name, bad.Reason)
			}
			yield(one, unread(name, err))
			return false
		}
		for _, warning := range one.Warnings {
			r.note(warning, one.Line)
		}
		one.Member = m.Name
		if !yield(one, err) {
			return false
		}
	}
	return true
}

// warning is what was odd, once or in many records.
type warning struct {
	text  string
	line  int // of the first record; 0: the warning is about the file
	times int
}

func (r *Reading) note(text string, line int) {
	if i := slices.IndexFunc(r.warnings, func(w warning) bool { return w.text == text }); i >= 0 {
		r.warnings[i].times++
	} else if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, warning{text, line, 1})
	}
}

// maxWarnings bounds the different warnings about a file.
const maxWarnings = 200

func (f *Format) records(r io.Reader, site record.Site) iter.Seq2[record.Record, error] {
	switch f.Kind {
	case "hl7":
		return adt.Read(r, f.hl7(), site)
	case "csv":
		return table.Read(r, f.CSV, site)
	case "fixed":
		return fixed.Read(r, f.Fixed, site)
	default:
		return fhir.Read(r, f.fhir(), site)
	}
}

// unread returns why a file can't be read on: its form is broken ([record.Malformed]), or reading its bytes failed.
func unread(name string, err error) error {
	if errors.Is(err, charset.ErrNoMark) {
		err = &record.Malformed{Reason: err.Error()}
	}
	class := fault.Transient
	if _, ok := errors.AsType[*record.Malformed](err); ok {
		class = fault.Poison
	}
	return fault.New(class, "read", name, err, "")
}

// Cut returns the bytes of records. places must be in the order of the file.
func (f *Format) Cut(file Source, places []record.Where) ([][]byte, error) {
	set, err := charset.Of(f.Charset)
	if err != nil {
		return nil, err
	}
	cut, i := make([][]byte, len(places)), 0
	for m, err := range container.Members(f.Container, file, f.Limits, f.Members) {
		if _, refused := errors.AsType[*record.Refused](err); refused {
			continue
		}
		if err != nil {
			return nil, unread("the file again", err)
		}
		r, at := set.Reader(m), int64(0)
		for ; i < len(places) && places[i].Member == m.Name; i++ {
			p := places[i]
			if p.From < at { // another record of the same message
				cut[i] = cut[i-1]
				continue
			}
			cut[i] = make([]byte, p.To-p.From)
			_, err := io.CopyN(io.Discard, r, p.From-at)
			if err == nil {
				_, err = io.ReadFull(r, cut[i])
			}
			if err != nil {
				return nil, unread("the file again", err)
			}
			at = p.To
		}
		if i == len(places) {
			break
		}
	}
	return cut, nil
}
