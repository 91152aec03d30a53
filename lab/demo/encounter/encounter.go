// Package encounter reads visits, planned or past, as appointments of the same patients.
package encounter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"

	"waybill/internal/fault"
	"waybill/partner/format/fhir"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// Encounter is one visit, planned or past, as an appointment of the same patient.
type Encounter struct {
	Line      int
	ID        uuid.UUID
	PatientID uuid.UUID
	Kind      string    // [KindAutopsy], [KindDeathCertification], or its class (ambulatory, …)
	Start     time.Time // UTC
	End       time.Time // UTC; zero when the file does not say
	Status    string    // booked, arrived, fulfilled, cancelled or noshow
}

// Site is what a file does not say about itself. Now decides whether an encounter still lies ahead.
type Site struct {
	record.Site
	Now time.Time
}

// Read returns the encounters of a file: FHIR NDJSON, or CSV as Synthea writes it; name is for
// errors. Its errors are [*record.Refused], after which reading goes on, and a [fault.Error] that
// ends the file.
func Read(name string, r io.Reader, site Site) iter.Seq2[Encounter, error] {
	if site.Zone == nil {
		site.Zone = time.UTC
	}
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return one(unread(name, err))
	}
	var next func() (Encounter, error)
	switch head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))); {
	case bytes.HasPrefix(head, []byte("{")):
		lines := fhir.NewLines(in)
		next = func() (Encounter, error) { return fromFHIR(lines, site) }
	default:
		rows, err := table.Open(in, synthea, site.Site)
		if err == nil {
			err = rows.Need(columns)
		}
		if err != nil {
			return one(unread(name, err))
		}
		next = func() (Encounter, error) { return fromCSV(rows, site) }
	}
	return all(name, next)
}

func one(err error) iter.Seq2[Encounter, error] {
	return func(yield func(Encounter, error) bool) { yield(Encounter{}, err) }
}

func all(name string, next func() (Encounter, error)) iter.Seq2[Encounter, error] {
	return func(yield func(Encounter, error) bool) {
		for {
			e, err := next()
			if errors.Is(err, io.EOF) {
				return
			}
			_, refused := errors.AsType[*record.Refused](err)
			if err != nil && !refused {
				yield(e, unread(name, err))
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// unread says why a file can't be read on: its bytes are wrong, or they did not come.
func unread(name string, err error) error {
	class := fault.Transient
	if _, ok := errors.AsType[*record.Malformed](err); ok {
		class = fault.Poison
	}
	return fault.New(class, "read", name, err, "")
}

func (e Encounter) finish(id, patient, source string) (Encounter, error) {
	switch {
	case id == "":
		return e, errors.New("no id")
	case patient == "":
		return e, errors.New("no patient")
	case e.Start.IsZero():
		return e, errors.New("no start")
	case !e.End.IsZero() && e.End.Before(e.Start):
		return e, errors.New("it ends before it starts")
	}
	e.ID, _ = record.Identifier{Authority: source, Value: id}.UUID()
	e.PatientID, _ = record.Identifier{Authority: source, Value: patient}.UUID()
	return e, nil
}

// timeOf reads a dateTime as its first instant; empty text gives the zero time.
func timeOf(text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return record.InstantOf(text, zone)
}

// statusAt is the status of an encounter of which only the time is known.
func statusAt(start, now time.Time) string {
	if start.After(now) {
		return "booked"
	}
	return "fulfilled"
}
