package hospital

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	bookedPerMille    = 5 // of the bookings to come, as are these
	cancelledPerMille = 10
	arrivalWindow     = 2 * time.Hour
)

// StaffWork counts what people did with appointments.
type StaffWork struct {
	Arrived, Cancelled, Restored, Booked int
}

// Staff lets people work with the appointments service around opt.Now, each change in a transaction
// of its own: patients arrive, people cancel, restore one of their own cancellations, and book;
// they also book what follows a death and, by mistake, one consultation for somebody known to be
// dead, which belongs on the worklist.
func Staff(ctx context.Context, appointments *pgx.Conn, opt Options) (StaffWork, error) {
	s := &staff{db: appointments, opt: opt.withDefaults(), r: generator(opt.Seed, streamStaff)}
	for _, step := range []func(context.Context) error{s.receive, s.cancel, s.restore, s.book, s.bookForTheDead} {
		if err := step(ctx); err != nil {
			return s.work, err
		}
	}
	return s.work, nil
}

type staff struct {
	db   *pgx.Conn
	opt  Options
	r    *rand.Rand
	work StaffWork
}

// ids reads a column of ids and shuffles it; the query orders it, so that the seed decides.
func (s *staff) ids(ctx context.Context, query string, args ...any) (deck, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, failed("read", "appointments", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[id])
	if err != nil {
		return nil, failed("read", "appointments", err)
	}
	s.r.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found, nil
}

func (s *staff) each(ctx context.Context, step string, on []id, counter *int, statement string, args func(id) []any) error {
	for i, one := range on {
		tag, err := s.db.Exec(ctx, statement, args(one)...)
		if err != nil {
			return failed("work", step, err)
		}
		*counter += int(tag.RowsAffected())
		s.opt.Progress(step, i+1, len(on))
	}
	return nil
}

func (s *staff) receive(ctx context.Context) error {
	due, err := s.ids(ctx, `SELECT id FROM appointments.appointment
		WHERE status = 'booked' AND starts_at BETWEEN $1 AND $2 ORDER BY id`,
		s.opt.Now.Add(-arrivalWindow), s.opt.Now.Add(arrivalWindow))
	if err != nil {
		return err
	}
	return s.each(ctx, "arrivals", due.draw(1+len(due)/2), &s.work.Arrived,
		`UPDATE appointments.appointment SET status = 'arrived', touched_by = 'reception' WHERE id = $1 AND status = 'booked'`,
		func(one id) []any { return []any{one} })
}

func (s *staff) cancel(ctx context.Context) error {
	toCome, err := s.ids(ctx, `SELECT id FROM appointments.appointment
		WHERE status = 'booked' AND starts_at > $1 ORDER BY id`, s.opt.Now.Add(arrivalWindow))
	if err != nil {
		return err
	}
	return s.each(ctx, "cancellations", toCome.draw(share(len(toCome), cancelledPerMille)), &s.work.Cancelled,
		`UPDATE appointments.appointment SET status = 'cancelled', cancellation_reason = $2, touched_by = 'reception'
		WHERE id = $1 AND status = 'booked'`,
		func(one id) []any { return []any{one, pick(s.r, reasonsOfPeople)} })
}

func (s *staff) restore(ctx context.Context) error {
	cancelled, err := s.ids(ctx, `SELECT a.id FROM appointments.appointment a
		WHERE a.status = 'cancelled' AND a.cancellation_reason <> 'pat-dec' AND a.starts_at > $1
		AND NOT EXISTS (SELECT FROM appointments.appointment o
			WHERE o.resource = a.resource AND o.starts_at < a.ends_at AND a.starts_at < o.ends_at AND o.status IN ('booked', 'arrived'))
		ORDER BY a.id`, s.opt.Now)
	if err != nil {
		return err
	}
	return s.each(ctx, "restored by hand", cancelled.draw(1), &s.work.Restored,
		`UPDATE appointments.appointment SET status = 'booked', cancellation_reason = NULL, touched_by = 'reception'
		WHERE id = $1 AND status = 'cancelled'`,
		func(one id) []any { return []any{one} })
}

const bookAppointment = `INSERT INTO appointments.appointment
		(id, patient_id, kind, resource, starts_at, ends_at, status, cancellation_reason, booked_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
	ON CONFLICT DO NOTHING`

func (s *staff) book(ctx context.Context) error {
	patients, err := s.ids(ctx, `SELECT patient_id FROM appointments.appointment
		WHERE status = 'booked' AND starts_at > $1 GROUP BY patient_id ORDER BY patient_id`, s.opt.Now)
	if err != nil {
		return err
	}
	return s.each(ctx, "bookings", patients.draw(share(len(patients), bookedPerMille)), &s.work.Booked, bookAppointment,
		func(patient id) []any { return s.booking(patient, weighted(s.r, clinicalKinds), "Walk-in clinic") })
}

// bookForTheDead books for those that the service itself knows to have died lately.
func (s *staff) bookForTheDead(ctx context.Context) error {
	dead, err := s.ids(ctx, `SELECT p.patient_id FROM appointments.patient p
		WHERE p.death_status IN ('informal', 'formal') AND p.death_latest > $1 AND p.merged_into IS NULL
		AND NOT EXISTS (SELECT FROM appointments.appointment a JOIN appointments.kind k ON k.code = a.kind
			WHERE a.patient_id = p.patient_id AND k.post_mortem)
		ORDER BY p.patient_id`, s.opt.Now.AddDate(0, 0, -recentDays))
	if err != nil {
		return err
	}
	mistaken := dead.draw(1)
	err = s.each(ctx, "booked after death", mistaken, &s.work.Booked, bookAppointment,
		func(patient id) []any { return s.booking(patient, "consultation", "Walk-in clinic") })
	if err != nil {
		return err
	}
	return s.each(ctx, "bookings for the bereaved", dead.draw(share(len(dead), 100)), &s.work.Booked, bookAppointment,
		func(patient id) []any { return s.booking(patient, pick(s.r, postMortemKinds), "Bereavement office") })
}

// booking takes a slot of the next weeks; the statement skips it when somebody else has it.
func (s *staff) booking(patient id, kind, resource string) []any {
	slot := 1 + s.r.IntN(futureDays*slotsPerDay)
	return appointment{
		id: newID(s.r), patient: patient, kind: kind, resource: resource,
		starts: s.opt.Now.Truncate(slotLength).Add(time.Duration(slot) * slotLength),
		status: "booked", booked: s.opt.Now,
	}.row()
}
