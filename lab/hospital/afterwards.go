package hospital

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// correct changes the identity, or the time of death, of people known to be dead.
func (d *day) correct(ctx context.Context) error {
	patients := append(d.recent.draw(share(len(d.recent), correctedPerMille)), d.old.draw(share(len(d.old), correctedPerMille))...)
	return d.times(ctx, "corrections", len(patients), &d.lived.Corrected, func(tx pgx.Tx, i int) error {
		patient := patients[i]
		return weighted(d.r, []choice[func() error]{
			{3, func() error { return rename(ctx, tx, patient, pick(d.r, familyNames)) }},
			{2, func() error { return setBirthDate(ctx, tx, patient, birthDate(d.r, deadBirthYears)) }},
			{2, func() error { return addIdentifier(ctx, tx, patient, certificate(d.r)) }},
			{3, func() error { return d.correctTime(ctx, tx, patient) }},
		})()
	})
}

func (d *day) correctTime(ctx context.Context, tx pgx.Tx, patient id) error {
	told, err := readDeath(ctx, tx, patient)
	if err != nil {
		return err
	}
	return setDeath(ctx, tx, patient, told.corrected(d.r, d.opt.Now))
}

// retract takes deaths back: some that were reported today, and some that the consumers have known
// for days. Most are declared void, a few are simply removed.
func (d *day) retract(ctx context.Context) error {
	var patients []id
	d.r.Shuffle(len(d.today), func(i, j int) { d.today[i], d.today[j] = d.today[j], d.today[i] })
	fresh := min(len(d.today), share(len(d.today), retractedPerMille))
	for _, told := range d.today[:fresh] {
		patients = append(patients, told.patient)
	}
	d.today = d.today[fresh:]
	patients = append(patients, d.recent.draw(2*share(len(d.recent), retractedPerMille))...)
	return d.times(ctx, "retractions", len(patients), &d.lived.Retracted, func(tx pgx.Tx, i int) error {
		return setDeath(ctx, tx, patients[i], death{status: weighted(d.r, []choice[string]{{3, "void"}, {1, "none"}})})
	})
}

// voidWithoutDeath declares a death void that nobody had reported.
func (d *day) voidWithoutDeath(ctx context.Context) error {
	patients := d.living.draw(1)
	return d.times(ctx, "void without a death", len(patients), &d.lived.Retracted, func(tx pgx.Tx, i int) error {
		return setDeath(ctx, tx, patients[i], death{status: "void"})
	})
}

// mergeLiving retires duplicates of the living, and then one of the survivors.
func (d *day) mergeLiving(ctx context.Context) error {
	patients := d.living.draw(2 * share(len(d.living), mergedPerMille))
	pairs := len(patients) / 2
	err := d.times(ctx, "merges", pairs, &d.lived.Merged, func(tx pgx.Tx, i int) error {
		d.merged = append(d.merged, patients[2*i])
		return merge(ctx, tx, patients[2*i], patients[2*i+1])
	})
	if err != nil || pairs < 2 {
		return err
	}
	return d.times(ctx, "merges of survivors", 1, &d.lived.Merged, func(tx pgx.Tx, _ int) error {
		return merge(ctx, tx, patients[1], patients[3])
	})
}

// mergeDead merges the dead into the living, the living into the dead, and the dead into the dead;
// both deaths reported today and deaths that the consumers already know.
func (d *day) mergeDead(ctx context.Context) error {
	var dead deck
	for _, told := range d.today {
		dead = append(dead, told.patient)
	}
	pairs := [][2][]id{
		{d.recent.draw(1), d.living.draw(1)},
		{dead.draw(1), d.living.draw(1)},
		{d.living.draw(1), d.recent.draw(1)},
		{d.living.draw(1), dead.draw(1)},
		{dead.draw(1), d.recent.draw(1)},
		{d.recent.draw(1), d.recent.draw(1)},
	}
	var possible [][2]id
	for _, pair := range pairs {
		if len(pair[0]) == 1 && len(pair[1]) == 1 {
			possible = append(possible, [2]id{pair[0][0], pair[1][0]})
		}
	}
	return d.times(ctx, "merges of the dead", len(possible), &d.lived.Merged, func(tx pgx.Tx, i int) error {
		return merge(ctx, tx, possible[i][0], possible[i][1])
	})
}

// dieRetired reports deaths under ids that were retired today, through the service's function
// and by a plain UPDATE.
func (d *day) dieRetired(ctx context.Context) error {
	retired := d.merged[max(0, len(d.merged)-2):]
	return d.times(ctx, "deaths under retired ids", len(retired), &d.lived.Died, func(tx pgx.Tx, i int) error {
		tell := []func(context.Context, pgx.Tx, id, death) error{recordDeath, setDeath}[i]
		return tell(ctx, tx, retired[i], passing(d.r, d.opt.Now, "informal", "day"))
	})
}
