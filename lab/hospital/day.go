package hospital

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
)

// What happens in a day, per thousand of those it can happen to, but at least once.
const (
	registeredPerMille = 10
	updatedPerMille    = 20
	diedPerMille       = 20 // of the living
	correctedPerMille  = 30 // of the dead
	retractedPerMille  = 10 // of the deaths of today, and of the last weeks
	mergedPerMille     = 2
	bornDeadOnceIn     = 20 // registrations of people who are dead already
)

// Lived counts the changes of a day; a few of the updates write the same values again.
type Lived struct {
	Registered, Updated, Died, Certified, Corrected, Retracted, Merged int
}

// Day lets the patients service live through the day before opt.Now, each change in a
// transaction of its own: registrations and updates, deaths that are reported informally and then
// formally, corrections, retractions, merges of every kind, and a death reported for a record that
// was merged. A day with another seed is another day.
func Day(ctx context.Context, patients *pgx.Conn, opt Options) (Lived, error) {
	d := &day{db: patients, opt: opt.withDefaults(), r: generator(opt.Seed, streamDay)}
	if err := d.readRecords(ctx); err != nil {
		return Lived{}, err
	}
	for _, step := range []func(context.Context) error{
		d.register, d.update, d.die, d.certify, d.correct, d.retract, d.voidWithoutDeath,
		d.mergeLiving, d.mergeDead, d.dieRetired,
	} {
		if err := step(ctx); err != nil {
			return d.lived, err
		}
	}
	return d.lived, nil
}

type day struct {
	db    *pgx.Conn
	opt   Options
	r     *rand.Rand
	lived Lived

	total  int  // records, which is the next serial number too
	living deck // nobody is drawn twice, so that each has one story
	recent deck // dead for a few weeks at most
	old    deck
	today  []news
	merged []id // retired today, in favour of someone living
}

// news is a death of today.
type news struct {
	patient id
	death   death
}

// deck is a shuffled pile of records.
type deck []id

// draw takes up to n records off the pile.
func (d *deck) draw(n int) []id {
	n = min(n, len(*d))
	drawn := (*d)[:n]
	*d = (*d)[n:]
	return drawn
}

// share is so many per mille of n, but at least one.
func share(n, perMille int) int { return max(1, n*perMille/1000) }

// readRecords reads all records that were neither merged into others nor erased.
func (d *day) readRecords(ctx context.Context) (err error) {
	if d.total, err = countPatients(ctx, d.db); err != nil {
		return err
	}
	rows, err := d.db.Query(ctx, `SELECT p.id, p.death_status IN ('informal', 'formal'), coalesce(p.death_latest > $1, false)
		FROM patients.patient p
		WHERE NOT EXISTS (SELECT FROM patients.alias a WHERE a.retired_id = p.id)
		AND NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = p.id)
		ORDER BY p.id`, d.opt.Now.AddDate(0, 0, -recentDays))
	if err != nil {
		return failed("read", "patients", err)
	}
	var patient id
	var dead, recent bool
	_, err = pgx.ForEachRow(rows, []any{&patient, &dead, &recent}, func() error {
		switch {
		case recent && dead:
			d.recent = append(d.recent, patient)
		case dead:
			d.old = append(d.old, patient)
		default:
			d.living = append(d.living, patient)
		}
		return nil
	})
	if err != nil {
		return failed("read", "patients", err)
	}
	for _, pile := range []deck{d.living, d.recent, d.old} {
		d.r.Shuffle(len(pile), func(i, j int) { pile[i], pile[j] = pile[j], pile[i] })
	}
	return nil
}

// times runs a change n times, each in its own transaction, and counts into counter.
func (d *day) times(ctx context.Context, step string, n int, counter *int, change func(tx pgx.Tx, i int) error) error {
	for i := range n {
		if err := pgx.BeginFunc(ctx, d.db, func(tx pgx.Tx) error { return change(tx, i) }); err != nil {
			return failed("live", step, err)
		}
		*counter++
		d.opt.Progress(step, i+1, n)
	}
	return nil
}

func (d *day) register(ctx context.Context) error {
	return d.times(ctx, "registrations", share(d.total, registeredPerMille), &d.lived.Registered, func(tx pgx.Tx, i int) error {
		p := newPerson(d.opt.Seed, d.opt.Apart+d.total+i, birthYears)
		if i%bornDeadOnceIn == 0 {
			p.death = passing(d.r, d.opt.Now, "formal", "minute")
		}
		return insertPerson(ctx, tx, p)
	})
}

func (d *day) update(ctx context.Context) error {
	patients := d.living.draw(share(len(d.living), updatedPerMille))
	return d.times(ctx, "updates", len(patients), &d.lived.Updated, func(tx pgx.Tx, i int) error {
		patient := patients[i]
		return weighted(d.r, []choice[func() error]{
			{50, func() error { return move(ctx, tx, patient, newAddress(d.r)) }},
			{20, func() error { return rename(ctx, tx, patient, pick(d.r, familyNames)) }},
			{15, func() error { return replaceRecordNumber(ctx, tx, patient, d.number()) }},
			{10, func() error { return setBirthDate(ctx, tx, patient, birthDate(d.r, birthYears)) }},
			{5, func() error { return touch(ctx, tx, patient) }},
		})()
	})
}

// number returns a new record number of another hospital.
func (d *day) number() string { return fmt.Sprintf("E-%016X", d.r.Uint64()) }

// die reports deaths of every precision. Some are reported together with a registrar's other data,
// in several statements.
func (d *day) die(ctx context.Context) error {
	patients := d.living.draw(share(len(d.living), diedPerMille))
	return d.times(ctx, "deaths", len(patients), &d.lived.Died, func(tx pgx.Tx, i int) error {
		precision := weighted(d.r, freshPrecision)
		if i < len(freshPrecision) {
			precision = freshPrecision[i].value
		}
		status := weighted(d.r, []choice[string]{{2, "formal"}, {3, "informal"}})
		told := news{patients[i], passing(d.r, d.opt.Now, status, precision)}
		d.today = append(d.today, told)
		if err := setDeath(ctx, tx, told.patient, told.death); err != nil || !chance(d.r, 3) {
			return err
		}
		if err := addIdentifier(ctx, tx, told.patient, certificate(d.r)); err != nil {
			return err
		}
		return move(ctx, tx, told.patient, newAddress(d.r))
	})
}

// certify makes half of today's informal deaths formal; a third of those with another time, which
// is a correction, not a second death.
func (d *day) certify(ctx context.Context) error {
	var informal []*news
	for i := range d.today {
		if d.today[i].death.status == "informal" && chance(d.r, 2) {
			informal = append(informal, &d.today[i])
		}
	}
	return d.times(ctx, "formal confirmations", len(informal), &d.lived.Certified, func(tx pgx.Tx, i int) error {
		told := informal[i]
		told.death.status = "formal"
		if chance(d.r, 3) {
			told.death = passing(d.r, d.opt.Now, "formal", "minute")
		}
		return recordDeath(ctx, tx, told.patient, told.death)
	})
}
