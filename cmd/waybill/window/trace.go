package window

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/exporter"
	"waybill/importer"
)

// tracePage is the page of one patient.
type tracePage struct {
	Every     time.Duration
	Patient   string
	Failure   string
	Unknown   bool // unknown to the patients service, which is configured here
	Consumers []importer.Trace
	Steps     []moment
}

// moment has what happened to a patient at one time.
type moment struct {
	At              time.Time
	Who, What, Note string
	Batch           *int64
	Effect          bool
}

// timeline merges a patient's events and effects, by time.
func timeline(events []exporter.TracedEvent, consumers []importer.Trace) (list []moment) {
	for _, e := range events {
		m := moment{At: e.RecordedAt, Who: "patients", What: e.Event, Note: fmt.Sprintf("version %d", e.Version), Batch: e.Batch}
		if e.DeathNo > 0 {
			m.Note += fmt.Sprintf(", death %d", e.DeathNo)
		}
		switch {
		case e.Pruned != nil:
			m.Note += fmt.Sprintf(", in a batch below %d, pruned", *e.Pruned)
		case e.Batch == nil:
			m.Note += ", in no batch yet"
		}
		list = append(list, m)
	}
	for _, c := range consumers {
		for _, e := range c.Effects {
			m := moment{At: e.At, Who: c.Consumer, What: e.Kind, Batch: &e.Batch, Effect: true}
			if e.Subject != nil {
				m.Note = *e.Subject
			}
			if e.Observed {
				m.Note = strings.TrimPrefix(m.Note+", observed and not applied", ", ")
			}
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b moment) int { return a.At.Compare(b.At) })
	return list
}
