package intake

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/format/record"
)

// Counts counts a file's records by their result: Read is the sum of all from Inserted to Refused.
type Counts struct {
	Read      int64
	Dead      int64 // records that state a death, of those that were not refused
	Inserted  int64 // patients that were not known
	Changed   int64
	Unchanged int64
	Stale     int64 // older than what the source said before
	Merged    int64 // merges that were not known
	Rekeyed   int64 // of the changed: patients whose key was wrong
	Disputed  int64 // they contradict what is known, and changed nothing: a person must decide
	Passed    int64 // ask for nothing
	Refused   int64
	Conflicts int64            // identifiers that stay with the patient who already has them
	Reasons   []record.Refused // of the first records refused, a hundred at most; without what they hold
}

const maxReasons = 100

// Outcome is the result for one record that was not refused and asked for something.
type Outcome struct {
	Seq     int64     // the place among the file's records, from 1; it counts refused and passed ones too
	Kind    string    // inserted, changed, unchanged, stale, merged or disputed
	Reason  string    // set if the record is disputed, or was taken without an identifier that is another patient's
	Patient uuid.UUID // who was meant
}

// IdentityChange says what happens to a death or merge under the key of a patient with another birth date, sex or
// name. Released is for records about which a person has decided: they may also end a death that another source reported.
type IdentityChange string

// dispute: a person decides. allow: the record is taken. released: a person has decided.
const (
	Dispute  IdentityChange = "dispute"
	Allow    IdentityChange = "allow"
	Released IdentityChange = "released"
)

// Take hands records to the patients service within a transaction. It copies them into the staging table
// patients.intake_row, and the function patients.intake_apply applies those that are new. The source is the one
// given to [Format.Open]. Taking a file again changes nothing. If each is not nil, Take calls it with the outcome
// of each record, in the order of the file.
//
// If the file can't be read to its end, the error is the file's own. The caller must roll the transaction back, as
// after any error. Errors of the database are classed by [fault.Database].
func Take(ctx context.Context, tx pgx.Tx, source string, identity IdentityChange, records iter.Seq2[record.Record, error], each func(Outcome) error) (Counts, error) {
	var counts Counts
	staged, err := stage(ctx, tx, source, records, &counts)
	if err == nil {
		err = tx.QueryRow(ctx, "SELECT patients.intake_apply($1, $2)", source, identity).Scan(&counts.Conflicts)
	}
	if err == nil && each != nil {
		err = outcomes(ctx, tx, source, each)
	}
	if err != nil {
		return Counts{}, fault.Database("load", source, err)
	}
	row := tx.QueryRow(ctx, "SELECT inserted, changed, unchanged, stale, merged, disputed, rekeyed FROM patients.intake_end($1)", source)
	err = row.Scan(&counts.Inserted, &counts.Changed, &counts.Unchanged, &counts.Stale, &counts.Merged, &counts.Disputed, &counts.Rekeyed)
	if err != nil {
		return Counts{}, fault.Database("load", source, err)
	}
	if taken := counts.Inserted + counts.Changed + counts.Unchanged + counts.Stale + counts.Merged + counts.Disputed; taken != staged {
		return Counts{}, foreignRows(source, staged, taken)
	}
	return counts, nil
}

func outcomes(ctx context.Context, tx pgx.Tx, source string, each func(Outcome) error) error {
	rows, _ := tx.Query(ctx, "SELECT seq, outcome, coalesce(reason, ''), id FROM patients.intake_row WHERE source = $1 ORDER BY seq", source)
	var o Outcome
	_, err := pgx.ForEachRow(rows, []any{&o.Seq, &o.Kind, &o.Reason, (*[16]byte)(&o.Patient)}, func() error { return each(o) })
	return err
}

// foreignRows returns an error if somebody else staged rows of the same source. Then the rows did not all come from
// this file.
func foreignRows(source string, staged, taken int64) error {
	return fault.New(fault.Poison, "load", source, fmt.Errorf("%d rows were staged and %d taken in", staged, taken),
		"look at this source's rows in patients.intake_row; a load leaves none behind")
}

var stagingColumns = []string{
	"source", "seq", "id", "act",
	"key_authority", "key_type", "key_value", "key_is_id",
	"retired_id", "retired_authority", "retired_type", "retired_value", "retired_is_id",
	"order_sequence", "order_event", "order_sent",
	"family_name", "given_name", "birth_date", "sex", "address_line", "address_city", "address_postcode", "address_country",
	"death_status", "death_earliest", "death_latest", "death_precision", "death_undated", "death_by_change",
	"identifiers", "identifiers_all",
}

func stage(ctx context.Context, tx pgx.Tx, source string, records iter.Seq2[record.Record, error], counts *Counts) (int64, error) {
	next, stop := iter.Pull2(records)
	defer stop()
	f := &feed{source: source, next: next, counts: counts, values: make([]any, len(stagingColumns))}
	staged, err := tx.CopyFrom(ctx, pgx.Identifier{"patients", "intake_row"}, stagingColumns, f)
	if f.err != nil {
		return 0, f.err // the server would only say that the copy was given up
	}
	if err != nil {
		return 0, err
	}
	// Without ANALYZE the planner assumes that the staging table is empty, and joins it row by row.
	_, err = tx.Exec(ctx, "ANALYZE patients.intake_row")
	return staged, err
}

// feed hands the records to COPY and counts them on the way.
type feed struct {
	source string
	next   func() (record.Record, error, bool)
	counts *Counts
	row    record.Record
	values []any
	err    error // of the file
}

// Next implements [pgx.CopyFromSource].
func (f *feed) Next() bool {
	for {
		r, err, more := f.next()
		if !more {
			return false
		}
		bad, refused := errors.AsType[*record.Refused](err)
		if err != nil && !refused {
			f.err = err
			return false
		}
		f.counts.Read++
		switch {
		case refused:
			f.refuse(bad)
			continue
		case r.Act == record.Pass:
			f.counts.Passed++
			continue
		case r.Death.Dead():
			f.counts.Dead++
		}
		f.row = r
		return true
	}
}

func (f *feed) refuse(bad *record.Refused) {
	f.counts.Refused++
	if len(f.counts.Reasons) < maxReasons {
		f.counts.Reasons = append(f.counts.Reasons, record.Refused{Where: bad.Where, Reason: bad.Reason})
	}
}

// Values implements [pgx.CopyFromSource].
func (f *feed) Values() ([]any, error) {
	r, d := &f.row, &f.row.Death
	id, isID := r.Key.UUID()
	v := f.values[:0]
	v = append(v, f.source, f.counts.Read, [16]byte(id), act(r.Act), r.Key.Authority, r.Key.Type, r.Key.Value, isID)
	if r.Act == record.Change {
		v = append(v, nil, nil, nil, nil, false)
	} else {
		retired, isID := r.Retired.UUID()
		v = append(v, [16]byte(retired), r.Retired.Authority, r.Retired.Type, r.Retired.Value, isID)
	}
	v = append(v, known(r.Order.Sequence, r.Order.Sequence != 0), known(r.Order.Event, !r.Order.Event.IsZero()), known(r.Order.Sent, !r.Order.Sent.IsZero()),
		said(r.Family), said(r.Given), said(r.BirthDate), said(r.Sex),
		said(r.Address.Line), said(r.Address.City), said(r.Address.Postcode), said(r.Address.Country),
		known(d.Status, d.Status != ""), known(d.Earliest, d.Precision != ""), known(d.Latest, d.Precision != ""), known(d.Precision, d.Precision != ""),
		d.NoDate, true, known(r.Identifiers, len(r.Identifiers) > 0), r.All)
	return v, nil
}

// Err implements [pgx.CopyFromSource].
func (f *feed) Err() error { return f.err }

func act(a record.Act) string {
	switch a {
	case record.Merge:
		return "merge"
	case record.Rekey:
		return "rekey"
	case record.Unlink:
		return "unlink"
	default:
		return "change"
	}
}

// said returns text as a column's value. NULL means that the record says nothing, "" that the value is deleted.
func said(t record.Text) any { return known(t.Value, t.Said()) }

func known[T any](value T, is bool) any {
	if !is {
		return nil
	}
	return value
}
