package audit

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// booking is an appointment in the service's database.
type booking struct {
	ID         uuid.UUID
	Patient    uuid.UUID
	PostMortem bool
	Status     string
	Reason     *string
	StartsAt   time.Time
	TouchedAt  *time.Time
	Left       bool       // as a cancellation left it
	Listed     bool       // on the worklist, unresolved
	Settled    *time.Time // when a person last dealt with an item on it
}

func (b booking) live() bool { return b.Status == "booked" || b.Status == "arrived" }

// cancelledForDeath reports whether the importer cancelled it.
func (b booking) cancelledForDeath() bool {
	return b.Status == "cancelled" && b.Reason != nil && *b.Reason == "pat-dec"
}

// state has the columns that must not change unless a person changes them.
type state struct {
	status   string
	startsAt time.Time
}

func readAppointments(ctx context.Context, conn *pgx.Conn) ([]booking, error) {
	rows, err := conn.Query(ctx, `
		SELECT a.id, a.patient_id, k.post_mortem IS TRUE, a.status, a.cancellation_reason, a.starts_at, a.touched_at,
		    EXISTS (SELECT FROM appointments.cancellation c WHERE c.appointment_id = a.id AND c.revision = a.revision),
		    EXISTS (SELECT FROM appointments.worklist w WHERE w.appointment_id = a.id AND w.resolved_at IS NULL),
		    (SELECT max(w.resolved_at) FROM appointments.worklist w WHERE w.appointment_id = a.id AND w.resolved_by <> 'waybill')
		FROM appointments.appointment a JOIN appointments.kind k ON k.code = a.kind`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[booking])
}

func (a *auditor) checkAppointments() {
	var cancelled, kept, listed, untouched, present int
	for _, b := range a.bookings {
		was, old := a.Before.appointments[b.ID]
		if old {
			present++
			if a.owners[b.Patient] == nil {
				a.bad("appointment %s is of nobody", b.ID)
			}
		}
		if b.Listed {
			listed++
		}
		if b.cancelledForDeath() {
			cancelled++
		}
		if b.PostMortem {
			kept++
		}
		a.checkBooking(a.owner(b.Patient), b)
		if old && b.TouchedAt == nil && !b.cancelledForDeath() {
			untouched++
			if was != (state{b.Status, b.StartsAt}) {
				a.bad("appointment %s of patient %s was changed by nobody, and not for a death", b.ID, b.Patient)
			}
		}
	}
	if lost := len(a.Before.appointments) - present; lost > 0 {
		a.bad("%d appointments are gone", lost)
	}
	a.count(cancelled, "appointments cancelled for a death (pat-dec)")
	a.count(kept, "post-mortem appointments, kept or listed")
	a.count(listed, "appointments on a person's worklist")
	a.count(untouched, "appointments that no person wrote and no death cancelled, all as they were")
}

// checkBooking checks that an appointment agrees with its person: dead, alive or erased.
func (a *auditor) checkBooking(p *person, b booking) {
	leftByUs := b.TouchedAt == nil || b.Left // no person wrote it since it was cancelled
	switch {
	case b.PostMortem:
		// Listed, because its kind was decided later. Appointments that were over by then are on no list.
		if b.cancelledForDeath() && leftByUs && b.StartsAt.After(a.Now) && !b.Listed && b.Settled == nil {
			a.bad("post-mortem appointment %s was cancelled", b.ID)
		}
	case p.erased:
		if at, was := a.Cancelled[b.ID]; was && b.live() && (b.TouchedAt == nil || b.TouchedAt.Before(at)) {
			a.bad("appointment %s, cancelled for a death before its patient %s was erased, is booked again", b.ID, p.id)
		}
	case p.dead:
		if b.live() && b.StartsAt.After(a.Now) && !b.Listed && !a.since(p.id, b.Settled) {
			a.bad("appointment %s of dead patient %s is %s and on nobody's worklist", b.ID, p.id, b.Status)
		}
	case !p.dead && len(p.conflicted()) == 0:
		if b.cancelledForDeath() && leftByUs && !b.Listed && b.Settled == nil {
			a.bad("appointment %s of living patient %s is cancelled for a death and on nobody's worklist", b.ID, p.id)
		}
	}
}
