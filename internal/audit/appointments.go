package audit

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// booking is an appointment as the service has it.
type booking struct {
	ID         uuid.UUID
	Patient    uuid.UUID
	PostMortem bool
	Status     string
	Reason     *string
	StartsAt   time.Time
	TouchedBy  *string
	Listed     bool // on the worklist, unresolved
}

// cancelledForDeath reports whether the importer cancelled it.
func (b booking) cancelledForDeath() bool {
	return b.Status == "cancelled" && b.Reason != nil && *b.Reason == "pat-dec"
}

// state is what must not change unasked.
type state struct {
	status   string
	startsAt time.Time
}

func readAppointments(ctx context.Context, conn *pgx.Conn) ([]booking, error) {
	rows, err := conn.Query(ctx, `
		SELECT a.id, a.patient_id, k.post_mortem, a.status, a.cancellation_reason, a.starts_at, a.touched_by,
		    EXISTS (SELECT FROM appointments.worklist w WHERE w.appointment_id = a.id AND w.resolved_at IS NULL)
		FROM appointments.appointment a JOIN appointments.kind k ON k.code = a.kind`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[booking])
}

// Bookings are appointments as they were at some time.
type Bookings map[uuid.UUID]state

// Remember reads the appointments as they are now.
func Remember(ctx context.Context, appointments *pgx.Conn) (Bookings, error) {
	found, err := readAppointments(ctx, appointments)
	m := make(Bookings, len(found))
	for _, b := range found {
		m[b.ID] = state{b.Status, b.StartsAt}
	}
	return m, err
}

func (f *Findings) checkAppointments(people []*person, bookings []booking, opt Options) {
	owner := map[uuid.UUID]*person{}
	for _, p := range people {
		for _, r := range p.records {
			owner[r.id] = p
		}
	}
	var cancelled, kept, listed, untouched, present int
	for _, b := range bookings {
		was, old := opt.Before[b.ID]
		if old {
			present++
		}
		p := owner[b.Patient]
		if p == nil {
			f.bad("appointment %s is of nobody", b.ID)
			continue
		}
		if b.Listed {
			listed++
		}
		if b.cancelledForDeath() {
			cancelled++
		}
		switch {
		case b.PostMortem:
			kept++
			if b.cancelledForDeath() {
				f.bad("post-mortem appointment %s was cancelled", b.ID)
			}
		case p.dead && !p.historic && b.Status == "booked" && b.StartsAt.After(opt.Now) && !b.Listed:
			f.bad("appointment %s of dead patient %s is live and on nobody's worklist", b.ID, p.id)
		case !p.dead && len(p.conflicted()) == 0 && b.cancelledForDeath() && !b.Listed:
			f.bad("appointment %s of living patient %s is cancelled for a death and on nobody's worklist", b.ID, p.id)
		}
		if old && !p.anyEverDied() && b.TouchedBy == nil {
			untouched++
			if was != (state{b.Status, b.StartsAt}) {
				f.bad("appointment %s of patient %s, who never died, was changed", b.ID, p.id)
			}
		}
	}
	if lost := len(opt.Before) - present; lost > 0 {
		f.bad("%d appointments are gone", lost)
	}
	f.count(cancelled, "appointments cancelled for a death (pat-dec)")
	f.count(kept, "post-mortem appointments, all kept")
	f.count(listed, "appointments on a person's worklist")
	f.count(untouched, "appointments of people who never died, all as they were")
}

func (p *person) anyEverDied() bool {
	for _, r := range p.records {
		if r.everDied {
			return true
		}
	}
	return false
}
