package hospital

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	slotLength      = 15 * time.Minute
	slotsPerDay     = int(24 * time.Hour / slotLength)
	pastDays        = 730
	futureDays      = 120
	futureInTen     = 4
	forgottenOnceIn = 100 // past appointments that are still booked
	autopsyOnceIn   = 5
)

var (
	clinicalKinds = []choice[string]{
		{30, "consultation"}, {30, "followup"}, {12, "imaging"}, {12, "laboratory"}, {6, "surgery"}, {6, "therapy"}, {4, "vaccination"},
	}
	postMortemKinds = []string{"death_certification", "bereavement", "autopsy"}
	pastStatus      = []choice[string]{{80, "fulfilled"}, {8, "noshow"}, {12, "cancelled"}}
	reasonsOfPeople = []string{"pat", "prov"} // FHIR: cancelled by the patient, by the provider
)

// appointment is one row; an empty reason is NULL.
type appointment struct {
	id       id
	patient  id
	kind     string
	resource string
	starts   time.Time
	status   string
	reason   string
	booked   time.Time
}

var appointmentColumns = []string{"id", "patient_id", "kind", "resource", "starts_at", "ends_at", "status", "cancellation_reason", "booked_at"}

// row returns the values of appointmentColumns.
func (a appointment) row() []any {
	return []any{a.id, a.patient, a.kind, a.resource, a.starts, a.starts.Add(slotLength), a.status, text(a.reason), a.booked}
}

// copyAppointments fills the appointments service: appointments after the recent deaths, two past
// years, and four months of bookings.
func copyAppointments(ctx context.Context, db *pgx.Conn, opt Options) error {
	b := newBook(opt)
	made := 0
	_, err := db.CopyFrom(ctx, pgx.Identifier{"appointments", "appointment"}, appointmentColumns, pgx.CopyFromFunc(func() ([]any, error) {
		if made == opt.Appointments {
			return nil, nil
		}
		made++
		if made%1000 == 0 || made == opt.Appointments {
			opt.Progress("appointments", made, opt.Appointments)
		}
		return b.write().row(), nil
	}))
	if err != nil {
		return failed("fill", "appointments", err)
	}
	return nil
}

// book is the appointments service's diary of the residents.
type book struct {
	opt        Options
	r          *rand.Rand
	postMortem []appointment
	past       *calendar
	future     *calendar
}

func newBook(opt Options) *book {
	b := &book{opt: opt, r: generator(opt.Seed, streamAppointments)}
	today := opt.Now.Truncate(24 * time.Hour)
	b.past = newCalendar(today.AddDate(0, 0, -pastDays), pastDays, opt.Appointments)
	b.future = newCalendar(today, futureDays, opt.Appointments)
	mortuary, bereavement, pathology := newOffice("Mortuary office"), newOffice("Bereavement office"), newOffice("Pathology")
	for serial := range opt.Patients {
		if d := opt.fate(serial); d.recent(opt.Now) {
			b.postMortem = append(b.postMortem,
				b.afterDeath(serial, d, "death_certification", mortuary, 1),
				b.afterDeath(serial, d, "bereavement", bereavement, 14+b.r.IntN(14)))
			if chance(b.r, autopsyOnceIn) {
				b.postMortem = append(b.postMortem, b.afterDeath(serial, d, "autopsy", pathology, 2))
			}
		}
	}
	return b
}

// write returns the next appointment: first those that follow deaths.
func (b *book) write() appointment {
	if n := len(b.postMortem); n > 0 {
		a := b.postMortem[n-1]
		b.postMortem = b.postMortem[:n-1]
		return a
	}
	if b.r.IntN(10) < futureInTen {
		return b.toCome()
	}
	return b.gone()
}

func (b *book) afterDeath(serial int, d death, kind string, where *office, days int) appointment {
	a := appointment{id: newID(b.r), patient: personID(b.opt.Seed, serial), kind: kind, status: "booked", booked: d.earliest}
	a.resource, a.starts = where.deal(d.earliest.Truncate(24*time.Hour).AddDate(0, 0, days))
	if a.starts.Before(b.opt.Now) {
		a.status = "fulfilled"
	}
	return a
}

// toCome returns a future booking, which the living will keep and the recently dead will not.
func (b *book) toCome() appointment {
	a := appointment{id: newID(b.r), kind: weighted(b.r, clinicalKinds), status: "booked"}
	for !a.starts.After(b.opt.Now) {
		a.resource, a.starts = b.future.deal()
	}
	a.booked = b.opt.Now.AddDate(0, 0, -recentDays-b.r.IntN(60))
	a.patient, _ = b.someone(func(d death) bool { return !d.dead() || d.recent(b.opt.Now) })
	return a
}

// gone returns a past appointment. Appointments between a recent death and now were missed.
func (b *book) gone() appointment {
	a := appointment{id: newID(b.r), kind: weighted(b.r, clinicalKinds), status: weighted(b.r, pastStatus)}
	a.resource, a.starts = b.past.deal()
	a.booked = a.starts.AddDate(0, 0, -1-b.r.IntN(60))
	var fate death
	a.patient, fate = b.someone(func(d death) bool {
		return !d.dead() || d.recent(b.opt.Now) || d.precision != "" && a.starts.Before(d.earliest)
	})
	switch {
	case fate.recent(b.opt.Now) && !a.starts.Before(fate.earliest) && a.status == "fulfilled":
		a.status = "noshow"
	case a.status == "cancelled":
		a.reason = pick(b.r, reasonsOfPeople)
	case chance(b.r, forgottenOnceIn):
		a.status = "booked"
	}
	return a
}

// someone draws residents until one suits. The first resident, who lives, always suits.
func (b *book) someone(suits func(death) bool) (id, death) {
	for {
		serial := b.r.IntN(b.opt.Patients)
		if d := b.opt.fate(serial); suits(d) {
			return personID(b.opt.Seed, serial), d
		}
	}
}
