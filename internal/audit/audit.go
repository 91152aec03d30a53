// Package audit compares what the consumers' services did with what the patients service knows,
// person by person. It is computed from the three databases' tables alone, in plain Go: it shares
// nothing with the importers' SQL.
package audit

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/importer"
)

// Findings is what was counted, and what was found wrong.
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

// record is a patient's record as the source has it.
type record struct {
	id       uuid.UUID
	survivor *record // nil unless retired
	dead     bool
	historic bool // dead, found so, and too long ago
	everDied bool // an event said so, once
}

// person is a record that was not retired, and those that were merged into it.
type person struct {
	*record
	records []*record
}

// conflicted returns the retired records that are dead while the person is not.
func (p *person) conflicted() (dead []*record) {
	for _, r := range p.records {
		if r.id != p.id && r.dead && !p.dead {
			dead = append(dead, r)
		}
	}
	return dead
}

// Databases are connections to the three services' databases.
type Databases struct{ Patients, Morgue, Appointments *pgx.Conn }

// Options say by what the services are judged.
type Options struct {
	ActWithin time.Duration // the importers'
	Before    Bookings      // the appointments as they were when it began
	// Now is the time from which on an appointment counts as one to come.
	Now time.Time
}

// Run compares. An error means that it could not be done.
func Run(ctx context.Context, db Databases, opt Options) (*Findings, error) {
	f := &Findings{Events: map[string]int64{}}
	people, err := readSource(ctx, db.Patients, f, opt.ActWithin)
	if err != nil {
		return nil, err
	}
	m, err := readMorgue(ctx, db.Morgue)
	if err != nil {
		return nil, err
	}
	a, err := readAppointments(ctx, db.Appointments)
	if err != nil {
		return nil, err
	}
	f.checkMorgue(people, m)
	f.checkAppointments(people, a, opt)
	return f, nil
}

func readSource(ctx context.Context, conn *pgx.Conn, f *Findings, actWithin time.Duration) ([]*person, error) {
	records, survivors := map[uuid.UUID]*record{}, map[uuid.UUID]uuid.UUID{}
	rows, err := conn.Query(ctx, `
		SELECT p.id, a.survivor_id, p.death_status IN ('informal', 'formal'), p.death_latest,
		    (SELECT bool_and(baseline) FROM patients.outbox o WHERE o.patient_id = p.id AND event = 'died'
		        AND death_no = (SELECT max(death_no) FROM patients.outbox o WHERE o.patient_id = p.id)),
		    (SELECT max(recorded_at) FROM patients.outbox o WHERE o.patient_id = p.id AND event = 'died'),
		    EXISTS (SELECT FROM patients.outbox o WHERE o.patient_id = p.id AND death_no > 0)
		FROM patients.patient p LEFT JOIN patients.alias a ON a.retired_id = p.id`)
	if err != nil {
		return nil, err
	}
	var id uuid.UUID
	var survivor *uuid.UUID
	var dead, ever bool
	var latest, noted *time.Time
	var found *bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &survivor, &dead, &latest, &found, &noted, &ever}, func() error {
		r := &record{id: id, dead: dead, everDied: ever}
		if survivor != nil {
			survivors[id] = *survivor
		}
		if dead && found != nil && *found && actWithin != importer.Unlimited {
			r.historic = latest == nil || latest.Before(noted.Add(-actWithin))
		}
		records[id] = r
		return nil
	}); err != nil {
		return nil, err
	}
	for retired, survivor := range survivors {
		records[retired].survivor = records[survivor]
	}
	rows, err = conn.Query(ctx, `SELECT event, count(*) FROM patients.outbox GROUP BY event`)
	if err != nil {
		return nil, err
	}
	var event string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&event, &n}, func() error { f.Events[event] = n; return nil })
	return persons(records), err
}

// persons puts retired records with the one at the end of their chain.
func persons(records map[uuid.UUID]*record) []*person {
	byID := map[uuid.UUID]*person{}
	for _, r := range records {
		end := r
		for end.survivor != nil {
			end = end.survivor
		}
		p := byID[end.id]
		if p == nil {
			p = &person{record: end}
			byID[end.id] = p
		}
		p.records = append(p.records, r)
	}
	people := make([]*person, 0, len(byID))
	for _, p := range byID {
		people = append(people, p)
	}
	return people
}

func (f *Findings) count(n int, text string) { f.counts = append(f.counts, finding{text, n}) }

func (f *Findings) bad(format string, arguments ...any) {
	f.Wrong = append(f.Wrong, fmt.Sprintf(format, arguments...))
}

// morgueState is what the morgue has of each record.
type morgueState struct {
	open  map[uuid.UUID]int // cases expected or received
	alert map[uuid.UUID]int // open alerts
}

func readMorgue(ctx context.Context, conn *pgx.Conn) (morgueState, error) {
	m := morgueState{open: map[uuid.UUID]int{}, alert: map[uuid.UUID]int{}}
	for table, into := range map[string]map[uuid.UUID]int{
		`morgue.case_file WHERE state IN ('expected', 'received')`: m.open,
		`morgue.alert WHERE resolved_at IS NULL`:                   m.alert,
	} {
		rows, err := conn.Query(ctx, `SELECT patient_id FROM `+table)
		if err != nil {
			return m, err
		}
		var id uuid.UUID
		if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { into[id]++; return nil }); err != nil {
			return m, err
		}
	}
	return m, nil
}

// alerted reports whether there is an alert for a record, or for one that it was merged into: of
// several dead in a chain the last stands for all.
func (m morgueState) alerted(r *record) bool {
	for ; r != nil; r = r.survivor {
		if m.alert[r.id] > 0 {
			return true
		}
	}
	return false
}

func (f *Findings) checkMorgue(people []*person, m morgueState) {
	var deaths, historic, conflicts, alerts int
	for _, p := range people {
		open := 0
		for _, r := range p.records {
			open += m.open[r.id]
			alerts += m.alert[r.id]
		}
		conflicted := p.conflicted()
		switch {
		case p.dead && !p.historic:
			deaths++
			if open != 1 {
				f.bad("patient %s is dead and has %d open cases", p.id, open)
			}
		case p.dead:
			historic++
			if m.open[p.id] != 0 {
				f.bad("patient %s died long ago and has an open case", p.id)
			}
		case len(conflicted) > 0:
			conflicts++
			for _, r := range conflicted {
				if !r.historic && !m.alerted(r) {
					f.bad("record %s, dead, was merged into living %s without an alert", r.id, p.id)
				}
			}
		case open > 0 && m.alert[p.id] == 0:
			f.bad("patient %s lives and has %d open cases without an alert", p.id, open)
		}
	}
	f.count(deaths, "dead, each with exactly one open morgue case")
	f.count(historic, "dead long before they were found: historic, no case")
	f.count(conflicts, "living persons with a dead record merged into them: nothing automatic, an alert unless historic")
	f.count(alerts, "open alerts in the morgue")
}
