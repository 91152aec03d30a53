// Package hospital generates an invented hospital and simulates its days, for the demonstration,
// tests and benchmarks.
//
// It writes the services' own tables by COPY and ordinary SQL, as their applications would,
// and knows nothing of events. The same seed and time give the same hospital; no name,
// number or address belongs to a person.
package hospital

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

const (
	defaultPatients        = 10_000
	appointmentsPerPatient = 3
)

// Options says what is generated. The zero value of a field takes its default.
type Options struct {
	Seed uint64
	// Now is the hospital's present: everything reported as past lies before it, and booked
	// appointments after it. Required.
	Now time.Time
	// Patients and Appointments are the numbers for [Fill]: 10,000 patients and three
	// appointments each by default.
	Patients, Appointments int
	// Apart is added to the serial numbers of patients that [Day] registers, so that identifiers
	// differ. Use another number for each hospital if several run at once.
	Apart int
	// Progress gets, for each step, how much of it is done; in [Day] and [Staff] between two
	// transactions.
	Progress func(step string, done, total int)
}

func (o Options) withDefaults() Options {
	if o.Patients == 0 {
		o.Patients = defaultPatients
	}
	if o.Appointments == 0 {
		o.Appointments = appointmentsPerPatient * o.Patients
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	o.Now = o.Now.UTC().Truncate(time.Minute)
	return o
}

// Streams separate the generators of one seed, so that a change to one does not change the others'
// output. A person's stream is their serial number, counted from 0.
const (
	streamFates        = 1 << 62 // plus the person's serial number
	streamAppointments = 1<<63 + iota
	streamDay
	streamStaff
)

func generator(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// Fill makes the patients service's history and the appointments service's. Of the patients, 3 %
// are dead: some for years, some for a few weeks. Some of the latter still have future
// appointments. Both databases are expected to be migrated and empty.
func Fill(ctx context.Context, patients, appointments *pgx.Conn, opt Options) error {
	opt = opt.withDefaults()
	if err := copyPersons(ctx, patients, 0, opt.Patients, opt.Progress, opt.resident); err != nil {
		return err
	}
	return copyAppointments(ctx, appointments, opt)
}

// Bulk adds n living patients, each with the hospital's record number as only identifier, in
// one transaction.
func Bulk(ctx context.Context, patients *pgx.Conn, n int, seed uint64) error {
	first, err := countPatients(ctx, patients)
	if err != nil {
		return err
	}
	person := func(serial int) person {
		p := newPerson(seed, serial, birthYears)
		p.identifiers = p.identifiers[:1]
		return p
	}
	return copyPersons(ctx, patients, first, n, Options{}.withDefaults().Progress, person)
}

func countPatients(ctx context.Context, db *pgx.Conn) (int, error) {
	var n int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM patients.patient").Scan(&n); err != nil {
		return 0, failed("count", "patients", err)
	}
	return n, nil
}

// copyPersons copies the persons first … first+n-1 and their identifiers in one transaction.
func copyPersons(ctx context.Context, db *pgx.Conn, first, n int, progress func(string, int, int), person func(serial int) person) error {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		serial := first
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"patients", "patient"}, patientColumns, pgx.CopyFromFunc(func() ([]any, error) {
			if serial == first+n {
				return nil, nil
			}
			p := person(serial)
			serial++
			if done := serial - first; done%1000 == 0 || done == n {
				progress("patients", done, n)
			}
			return p.row(), nil
		}))
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"patients", "identifier"}, identifierColumns, identifierRows(first, n, person))
		return err
	})
	if err != nil {
		return failed("fill", "patients", err)
	}
	return nil
}

func identifierRows(first, n int, person func(serial int) person) pgx.CopyFromSource {
	serial := first
	var pending [][]any
	return pgx.CopyFromFunc(func() ([]any, error) {
		for len(pending) == 0 {
			if serial == first+n {
				return nil, nil
			}
			p := person(serial)
			serial++
			for _, i := range p.identifiers {
				pending = append(pending, []any{p.id, i.authority, i.kind, i.value})
			}
		}
		row := pending[0]
		pending = pending[1:]
		return row, nil
	})
}

func failed(op, subject string, cause error) error {
	return fault.New(fault.Transient, op, subject, cause, "")
}
