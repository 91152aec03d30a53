package audit

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// body is a case of the morgue.
type body struct {
	Patient    uuid.UUID
	State      string
	ReceivedAt *time.Time
	VoidedAt   *time.Time
	VoidedBy   *string
	ByHand     bool // a person opened it
	Named      bool // it has data of the patient
}

// kept reports whether a person opened the case, or opened it again after it was void. Then only a
// person may close it.
func (b body) kept() bool { return b.State == "expected" && (b.VoidedAt != nil || b.ByHand) }

func (b body) inCustody() bool { return b.State == "received" || b.State == "released" }

// alert is one of the morgue.
type alert struct {
	Patient    uuid.UUID
	Kind       string
	ResolvedAt *time.Time
	ResolvedBy *string
}

func (a *auditor) readMorgue(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `
		SELECT patient_id, state, greatest(received_at, (SELECT max(t.at) FROM morgue.trail t WHERE t.to_case = c.id AND c.received_at IS NOT NULL)),
		    voided_at, voided_by, opened_by <> 'waybill', identifiers <> '[]' OR stated <> '{}' OR death_status <> 'none'
		    OR num_nonnulls(family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country) > 0
		FROM morgue.case_file c`)
	if err != nil {
		return err
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowToStructByPos[body])
	if err != nil {
		return err
	}
	if rows, err = conn.Query(ctx, `SELECT patient_id, kind, resolved_at, resolved_by FROM morgue.alert`); err != nil {
		return err
	}
	alerts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[alert])
	a.custody, a.alerts = map[uuid.UUID][]body{}, map[uuid.UUID][]alert{}
	for _, b := range bodies {
		if b.State == "void" && *b.VoidedBy == "waybill" && b.ReceivedAt != nil {
			a.bad("a case of patient %s was voided while the body was here", b.Patient)
		}
		a.custody[b.Patient] = append(a.custody[b.Patient], b)
		if a.owners[b.Patient] == nil {
			stranger := a.owner(b.Patient)
			a.owners[b.Patient], a.people = stranger, append(a.people, stranger)
		}
	}
	for _, one := range alerts {
		a.alerts[one.Patient] = append(a.alerts[one.Patient], one)
	}
	return err
}

// alerted reports whether an alert about a record is open, or was settled by a person since the
// record turned dead or alive. An alert about a record that it was merged into counts, too: of
// several dead in a chain the last stands for all.
func (a *auditor) alerted(r *record) bool {
	for to := r; to != nil; to = to.survivor {
		for _, one := range a.alerts[to.id] {
			if one.ResolvedAt == nil || *one.ResolvedBy != "waybill" && a.since(r.id, one.ResolvedAt) {
				return true
			}
		}
	}
	return false
}

func (a *auditor) checkMorgue() {
	var deaths, historic, conflicts, erased, open int
	for _, p := range a.people {
		conflicted := p.conflicted()
		switch {
		case p.erased:
			erased++
			a.checkForgotten(p)
		case p.dead:
			if p.historic {
				historic++
			} else {
				deaths++
			}
			a.checkCase(p)
		case len(conflicted) > 0:
			conflicts++
			for _, r := range conflicted {
				if !a.alerted(r) {
					a.bad("record %s, dead, was merged into living %s without an alert", r.id, p.id)
				}
			}
		default:
			a.checkAlive(p)
		}
		for _, r := range p.records {
			for _, one := range a.alerts[r.id] {
				if one.ResolvedAt == nil {
					open++
				}
			}
		}
	}
	a.count(deaths, "dead, each with one morgue case")
	a.count(historic, "dead long before they were found: historic")
	a.count(conflicts, "living persons with a dead record merged into them: nothing automatic, an alert")
	a.count(erased, "erased, known nowhere")
	a.count(open, "open alerts in the morgue")
}

// checkCase checks that a dead person has one case, or that staff decided against one.
func (a *auditor) checkCase(p *person) {
	var expected, decided int
	custody, alerted := 0, false
	for _, r := range p.records {
		alerted = alerted || len(a.alerts[r.id]) > 0
		for _, b := range a.custody[r.id] {
			switch {
			case b.State == "expected" && !b.kept():
				expected++
			case b.kept():
				decided++
			case b.inCustody():
				if b.ByHand || a.since(r.id, b.ReceivedAt) { // a person may receive a body before its death is reported
					decided++
				}
				if b.State == "received" {
					custody++
				}
			case *b.VoidedBy != "waybill" && a.since(r.id, b.VoidedAt):
				decided++
			}
		}
	}
	switch {
	case expected+decided == 0 && !p.historic:
		a.bad("patient %s is dead and has no case", p.id)
	case expected > 1:
		a.bad("patient %s is dead and expected %d times", p.id, expected)
	case expected == 1 && custody > 0 && !alerted:
		a.bad("patient %s is dead and expected, and has a body in custody, without an alert", p.id)
	}
}

// checkAlive checks that the morgue does not expect a living person and, if it has a body, that an alert asks
// whose it is.
func (a *auditor) checkAlive(p *person) {
	for _, r := range p.records {
		for _, b := range a.custody[r.id] {
			switch {
			case b.State == "expected" && !b.kept():
				a.bad("patient %s lives and is expected in the morgue", r.id)
			case b.inCustody() && b.VoidedAt == nil && !b.ByHand && !a.alerted(r):
				a.bad("patient %s lives and has a body in custody (%s) without an alert", r.id, b.State)
			}
		}
	}
}

// checkForgotten checks that the morgue expects no erased person. A body in custody keeps the erased person's name
// and must have an alert.
func (a *auditor) checkForgotten(p *person) {
	for _, r := range p.records {
		for _, b := range a.custody[r.id] {
			switch {
			case b.kept():
			case b.State == "expected":
				a.bad("patient %s was erased and is expected in the morgue", r.id)
			case b.State == "received" && !a.alerted(r):
				a.bad("patient %s was erased and has a body in custody without an alert", r.id)
			case b.State != "received" && b.Named:
				a.bad("patient %s was erased and is known in a case that is %s", r.id, b.State)
			}
		}
	}
}
