package intake

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// Counts says what became of a file's records: Read is the sum of Inserted, Changed, Unchanged
// and Refused.
type Counts struct {
	Read      int64
	Dead      int64 // records that state a death, of those that were not refused
	Inserted  int64 // patients that were not known
	Changed   int64
	Unchanged int64
	Refused   int64
	Conflicts int64     // identifiers that stay with the patient who has them already
	Reasons   []Refused // of the first records refused, a hundred at most
}

const maxReasons = 100

// Load hands patients to the patients service, all in one transaction: they are copied into
// its staging table patients.intake_row, and its function patients.intake makes of them what
// is new. The source is the one given to [Patients]. Loading a file again changes nothing.
//
// When the file can't be read to its end nothing is loaded, and the error is the file's own;
// errors of the database are classed by [fault.Database].
func Load(ctx context.Context, conn *pgx.Conn, source string, patients iter.Seq2[Patient, error]) (Counts, error) {
	var counts Counts
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		staged, err := stage(ctx, tx, source, patients, &counts)
		if err != nil {
			return err
		}
		row := tx.QueryRow(ctx, "SELECT inserted, changed, unchanged, conflicts FROM patients.intake($1)", source)
		if err := row.Scan(&counts.Inserted, &counts.Changed, &counts.Unchanged, &counts.Conflicts); err != nil {
			return err
		}
		if taken := counts.Inserted + counts.Changed + counts.Unchanged; taken != staged {
			return foreignRows(source, staged, taken)
		}
		return nil
	})
	if err != nil {
		return Counts{}, fault.Database("load", source, err)
	}
	return counts, nil
}

// foreignRows says that rows of the same source were staged by somebody else: not all that was
// taken in came from this file.
func foreignRows(source string, staged, taken int64) error {
	return fault.New(fault.Poison, "load", source, fmt.Errorf("%d rows were staged and %d taken in", staged, taken),
		"look at this source's rows in patients.intake_row; a load leaves none behind")
}

var stagingColumns = []string{
	"source", "seq", "id", "family_name", "given_name", "birth_date", "sex",
	"address_line", "address_city", "address_postcode", "address_country",
	"death_status", "death_earliest", "death_latest", "death_precision", "identifiers",
}

func stage(ctx context.Context, tx pgx.Tx, source string, patients iter.Seq2[Patient, error], counts *Counts) (int64, error) {
	next, stop := iter.Pull2(patients)
	defer stop()
	f := &feed{source: source, next: next, counts: counts}
	staged, err := tx.CopyFrom(ctx, pgx.Identifier{"patients", "intake_row"}, stagingColumns, f)
	if f.err != nil {
		return 0, f.err // what the server says of it is only that the copy was given up
	}
	if err != nil {
		return 0, err
	}
	// Without it the planner takes the staging table for an empty one, and joins it row by row.
	_, err = tx.Exec(ctx, "ANALYZE patients.intake_row")
	return staged, err
}

// feed hands the patients to COPY and counts them on the way.
type feed struct {
	source string
	next   func() (Patient, error, bool)
	counts *Counts
	row    Patient
	err    error // of the file
}

// Next implements [pgx.CopyFromSource].
func (f *feed) Next() bool {
	for {
		p, err, more := f.next()
		if !more {
			return false
		}
		bad, refused := errors.AsType[*Refused](err)
		if err != nil && !refused {
			f.err = err
			return false
		}
		f.counts.Read++
		if refused {
			f.refuse(bad)
			continue
		}
		if p.Death.Dead() {
			f.counts.Dead++
		}
		f.row = p
		return true
	}
}

func (f *feed) refuse(bad *Refused) {
	f.counts.Refused++
	if len(f.counts.Reasons) < maxReasons {
		f.counts.Reasons = append(f.counts.Reasons, *bad)
	}
}

// Values implements [pgx.CopyFromSource].
func (f *feed) Values() ([]any, error) {
	p, d := f.row, f.row.Death
	var earliest, latest, identifiers any
	if d.Precision != "" {
		earliest, latest = d.Earliest, d.Latest
	}
	if len(p.Identifiers) > 0 {
		identifiers = p.Identifiers
	}
	return []any{
		f.source, f.counts.Read, [16]byte(p.ID), stated(p.Family), stated(p.Given), stated(p.BirthDate), stated(p.Sex),
		stated(p.Address.Line), stated(p.Address.City), stated(p.Address.Postcode), stated(p.Address.Country),
		stated(d.Status), earliest, latest, stated(d.Precision), identifiers,
	}, nil
}

// Err implements [pgx.CopyFromSource].
func (f *feed) Err() error { return f.err }

// stated returns text as a column's value: NULL says that the file does not speak of it.
func stated(text string) any {
	if text == "" {
		return nil
	}
	return text
}
