// Package audit compares what the consumers' services did with the patients service's tables, person
// by person. It does not use the outbox or the log, because they lack changes that capture missed.
// It shares nothing with the importers' SQL.
package audit

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Databases are connections to the three services' databases.
type Databases struct{ Patients, Morgue, Appointments *pgx.Conn }

// Options are the facts that the services are compared with. Only Now is required.
type Options struct {
	ActWithin time.Duration // the importers'
	// Now is the time from which an appointment counts as future.
	Now    time.Time
	Before Memory // the state at the beginning

	// Turned is when each record last turned dead or alive, by the services' clocks. A person's
	// earlier decision was about another death or life, so it does not excuse a difference now.
	Turned map[uuid.UUID]time.Time
	// Erased are the patients whose erasure is in the log, even if they were restored since.
	Erased []uuid.UUID
	// Cancelled are the appointments of the erased that were cancelled for a death by then, and when
	// that was.
	Cancelled map[uuid.UUID]time.Time
}

// Findings has the counts and the mistakes found.
type Findings struct {
	Events map[string]int64 // at the source, by type
	Wrong  []string
	counts []finding
}

type finding struct {
	text  string
	count int
}

// Print writes it for people.
func (f *Findings) Print(out io.Writer) {
	fmt.Fprintln(out, "\nverification against the source:")
	for _, c := range f.counts {
		if c.count == 0 {
			continue
		}
		fmt.Fprintf(out, "  %6d  %s\n", c.count, c.text)
	}
	const most = 20
	for i, w := range f.Wrong {
		if i == most {
			fmt.Fprintf(out, "  WRONG: and %d more\n", len(f.Wrong)-most)
			break
		}
		fmt.Fprintln(out, "  WRONG:", w)
	}
	if len(f.Wrong) == 0 {
		fmt.Fprintln(out, "  nothing missing, nothing doubled, nothing else touched")
	}
}

func (f *Findings) count(n int, text string) { f.counts = append(f.counts, finding{text, n}) }

func (f *Findings) bad(format string, arguments ...any) {
	f.Wrong = append(f.Wrong, fmt.Sprintf(format, arguments...))
}

// Memory is the services' state at some time.
type Memory struct {
	// Found are the records that were already dead: old deaths among them have no effects. True if
	// nobody had seen their registration either: then a death without a date has no effects.
	Found        map[uuid.UUID]bool
	appointments map[uuid.UUID]state
}

// Remember reads the present state.
func Remember(ctx context.Context, patients, appointments *pgx.Conn) (Memory, error) {
	m := Memory{map[uuid.UUID]bool{}, map[uuid.UUID]state{}}
	rows, err := patients.Query(ctx, `SELECT id FROM patients.patient WHERE death_status IN ('informal', 'formal')`)
	if err != nil {
		return m, err
	}
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { m.Found[id] = false; return nil }); err != nil {
		return m, err
	}
	found, err := readAppointments(ctx, appointments)
	for _, b := range found {
		m.appointments[b.ID] = state{b.Status, b.StartsAt}
	}
	return m, err
}

// auditor is one comparison.
type auditor struct {
	Findings
	Options
	people   []*person
	owners   map[uuid.UUID]*person // of each record
	bookings []booking
	custody  map[uuid.UUID][]body  // the morgue's cases, by record
	alerts   map[uuid.UUID][]alert // the same
}

// Run compares. An error means that it could not compare.
func Run(ctx context.Context, db Databases, opt Options) (*Findings, error) {
	a := &auditor{Options: opt, Findings: Findings{Events: map[string]int64{}}}
	if err := a.readSource(ctx, db.Patients); err != nil {
		return nil, err
	}
	if err := a.readMorgue(ctx, db.Morgue); err != nil {
		return nil, err
	}
	var err error
	if a.bookings, err = readAppointments(ctx, db.Appointments); err != nil {
		return nil, err
	}
	a.checkMorgue()
	a.checkAppointments()
	for name, conn := range map[string]*pgx.Conn{"morgue": db.Morgue, "appointments": db.Appointments} {
		if err := a.checkErased(ctx, name, conn); err != nil {
			return nil, err
		}
	}
	return &a.Findings, nil
}

// since reports whether a person's decision about a record was made after the record last turned dead
// or alive.
func (a *auditor) since(record uuid.UUID, decided *time.Time) bool {
	return decided != nil && !decided.Before(a.Turned[record])
}
