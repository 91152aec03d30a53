package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/importer"
)

// findings is what the verification counted, and what it found wrong. It is computed from the
// three databases' tables alone, in plain Go: it shares nothing with the importers' SQL.
type findings struct {
	events map[string]int64
	counts []finding
	wrong  []string
}

type finding struct {
	text  string
	count int
}

func (f *findings) print(out io.Writer) {
	fmt.Fprintln(out, "\nverification against the source:")
	for _, c := range f.counts {
		fmt.Fprintf(out, "  %6d  %s\n", c.count, c.text)
	}
	const most = 20
	for i, w := range f.wrong {
		if i == most {
			fmt.Fprintf(out, "  WRONG: and %d more\n", len(f.wrong)-most)
			break
		}
		fmt.Fprintln(out, "  WRONG:", w)
	}
	if len(f.wrong) == 0 {
		fmt.Fprintln(out, "  nothing missing, nothing doubled, nothing else touched")
	}
}

// record is a patient's record as the source has it.
type record struct {
	id       uuid.UUID
	survivor uuid.UUID // zero unless retired
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

func verify(ctx context.Context, w *world, actWithin time.Duration) (*findings, error) {
	f := &findings{}
	people, err := readSource(ctx, w.services["patients"].conn, f, actWithin)
	if err != nil {
		return nil, err
	}
	m, err := readMorgue(ctx, w.services["morgue"].conn)
	if err != nil {
		return nil, err
	}
	a, err := readAppointments(ctx, w.services["appointments"].conn)
	if err != nil {
		return nil, err
	}
	f.checkMorgue(people, m)
	f.checkAppointments(people, a, w.before)
	return f, nil
}

func readSource(ctx context.Context, conn *pgx.Conn, f *findings, actWithin time.Duration) ([]*person, error) {
	records := map[uuid.UUID]*record{}
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
			r.survivor = *survivor
		}
		if dead && found != nil && *found && actWithin != importer.Unlimited {
			r.historic = latest == nil || latest.Before(noted.Add(-actWithin))
		}
		records[id] = r
		return nil
	}); err != nil {
		return nil, err
	}
	f.events = map[string]int64{}
	rows, err = conn.Query(ctx, `SELECT event, count(*) FROM patients.outbox GROUP BY event`)
	if err != nil {
		return nil, err
	}
	var event string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&event, &n}, func() error { f.events[event] = n; return nil })
	return persons(records), err
}

// persons puts retired records with the one at the end of their chain.
func persons(records map[uuid.UUID]*record) []*person {
	byID := map[uuid.UUID]*person{}
	for _, r := range records {
		end := r
		for end.survivor != uuid.Nil {
			end = records[end.survivor]
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

func (f *findings) count(n int, text string) { f.counts = append(f.counts, finding{text, n}) }

func (f *findings) bad(format string, arguments ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, arguments...))
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

func (f *findings) checkMorgue(people []*person, m morgueState) {
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
				if !r.historic && m.alert[r.id]+m.alert[p.id] == 0 {
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
