// Package encounter reads visits, planned or past, as appointments of the same patients: Encounters of
// FHIR R4 as NDJSON, or encounters.csv as the generator Synthea writes it.
package encounter

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

// Encounter is one visit as an appointment.
type Encounter struct {
	Line      int
	ID        uuid.UUID
	PatientID uuid.UUID
	Kind      string    // [KindAutopsy], [KindDeathCertification], or its class (ambulatory, …)
	Start     time.Time // UTC
	End       time.Time // UTC; zero when the file does not say
	Status    string    // booked, arrived, fulfilled or cancelled
}

// Read returns the encounters of a file of a source. Reading continues after a [*record.Refused]; any
// other error ends the file. An encounter without a status has taken place if it began before now.
func Read(r io.Reader, source string, now time.Time) iter.Seq2[Encounter, error] {
	in := bufio.NewReader(r)
	read := readCSV
	if head, err := in.Peek(1); err == nil && head[0] == '{' {
		read = readFHIR
	}
	return func(yield func(Encounter, error) bool) {
		err := read(in, func(line int, v visit, err error) bool {
			e := Encounter{Line: line, Kind: kindOf(v.class, v.types...)}
			if err == nil {
				err = e.complete(v, source, now)
			}
			if err != nil {
				err = &record.Refused{Where: record.Where{Line: line}, Reason: err.Error()}
			}
			return yield(e, err)
		})
		if err != nil {
			yield(Encounter{}, err)
		}
	}
}

// visit is an encounter in the words of its file.
type visit struct {
	id, patient, class, start, end, status string
	types                                  []string
}

func readCSV(in io.Reader, hand func(line int, v visit, err error) bool) error {
	rows := csv.NewReader(in)
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.ToUpper(name)] = i + 1
	}
	for _, name := range []string{"ID", "START", "STOP", "PATIENT", "ENCOUNTERCLASS"} {
		if at[name] == 0 {
			return errors.New("the header lacks " + name)
		}
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		get := func(name string) string {
			if at[name] == 0 {
				return ""
			}
			return strings.TrimSpace(row[at[name]-1])
		}
		line, _ := rows.FieldPos(0)
		v := visit{get("ID"), get("PATIENT"), get("ENCOUNTERCLASS"), get("START"), get("STOP"), "", []string{get("CODE")}}
		if !hand(line, v, nil) {
			return nil
		}
	}
}

// resource holds what is read of a FHIR R4 Encounter.
type resource struct {
	ResourceType, ID, Status string
	Class                    coding
	Type                     []struct{ Coding []coding }
	Subject                  struct{ Reference string }
	Period                   struct{ Start, End string }
}

type coding struct{ Code string }

func readFHIR(in io.Reader, hand func(line int, v visit, err error) bool) error {
	values := json.NewDecoder(in)
	for line := 1; ; line++ {
		var r resource
		err := values.Decode(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("resource %d: %w", line, err)
		}
		if r.ResourceType != "Encounter" {
			err = errors.New("not an Encounter")
		}
		v := visit{id: r.ID, patient: patientOf(r.Subject.Reference), class: r.Class.Code, start: r.Period.Start, end: r.Period.End, status: r.Status}
		if v.status == "" {
			v.status = "unknown"
		}
		for _, t := range r.Type {
			for _, c := range t.Coding {
				v.types = append(v.types, c.Code)
			}
		}
		if !hand(line, v, err) {
			return nil
		}
	}
}

// patientOf returns the id of a reference: Patient/ID, URL/Patient/ID or urn:uuid:ID.
func patientOf(reference string) string {
	if id, found := strings.CutPrefix(reference, "urn:uuid:"); found {
		return id
	}
	reference, _, _ = strings.Cut(reference, "/_history/")
	if i := strings.LastIndex(reference, "Patient/"); i >= 0 {
		return reference[i+len("Patient/"):]
	}
	return ""
}

// statuses are an appointment's for those of FHIR; "": it depends on the time.
var statuses = map[string]string{
	"": "", "unknown": "", "planned": "booked", "arrived": "arrived", "triaged": "arrived", "in-progress": "arrived", "onleave": "arrived",
	"finished": "fulfilled", "cancelled": "cancelled",
}

func instant(text string) (time.Time, error) {
	d, err := date.ParseFHIR(text)
	if err != nil {
		return time.Time{}, err
	}
	return record.InstantOf(d, time.UTC)
}

func (e *Encounter) complete(v visit, source string, now time.Time) (err error) {
	status, known := statuses[v.status]
	if e.Start, err = instant(v.start); err != nil {
		return record.Field("start", err)
	}
	if v.end != "" {
		if e.End, err = instant(v.end); err != nil {
			return record.Field("end", err)
		}
	}
	switch {
	case !known:
		return errors.New("the status must be one of an Encounter in FHIR R4, and not entered-in-error")
	case v.id == "" || v.patient == "":
		return errors.New("no id, or no patient")
	case !e.End.IsZero() && e.End.Before(e.Start):
		return errors.New("it ends before it starts")
	case status == "" && e.Start.After(now):
		status = "booked"
	case status == "":
		status = "fulfilled"
	}
	e.Status = status
	e.ID, _ = record.Identifier{Authority: source, Value: v.id}.UUID()
	e.PatientID, _ = record.Identifier{Authority: source, Value: v.patient}.UUID()
	return nil
}
