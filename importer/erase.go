package importer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/schemas"
)

// An erased patient stays erased: no later event, of any order, changes the row. It keeps the id and the order of
// the event that said so.

// erasures are the statements about erased patients. Each depends on the columns that the table has: see package
// forget.
type erasures struct {
	noted  string // the patients whom this batch erases, for an appending consumer
	staged string // blanks the batch's rows of those whom it erases, in case a producer left data in them
	loaded string // blanks the table's rows of the patients whom the batch erases
	all    string // blanks the table's rows of all erased patients
	left   string // finds the erased patients of whom the table has data
}

func erasuresFor(contract *schemas.Contract, consumer *Consumer) erasures {
	kept := []string{"patient_id", "event"}
	for _, c := range contract.Columns {
		if c.Classification != schemas.Restricted {
			kept = append(kept, c.Name)
		}
	}
	table, erased := "patient", "SELECT patient_id FROM patient WHERE event = 'erased'"
	if consumer.Append != "" {
		table, erased = pgx.Identifier{consumer.Append}.Sanitize(), "SELECT patient_id FROM erased"
	}
	call := func(function, table, patients string) string {
		return fmt.Sprintf(`SELECT %s('%s', 'patient_id', '{%s}', ARRAY(%s))`, function, table, strings.Join(kept, ","), patients)
	}
	return erasures{
		noted: `INSERT INTO erased (patient_id, erased_at) SELECT DISTINCT s.patient_id, run.now FROM staging s, run WHERE s.event = 'erased'
			ON CONFLICT DO NOTHING`,
		staged: call("forget", "staging", "SELECT patient_id FROM staging WHERE event = 'erased'"),
		loaded: call("forget", table, erased+" INTERSECT SELECT patient_id FROM staging"),
		all:    call("forget", table, erased),
		left:   call("remembered", table, erased),
	}
}

// withErased adds the event erased to a consumer's subscriptions, because every consumer must take it.
func withErased(events []string) []string {
	if slices.Contains(events, schemas.Erased) {
		return events
	}
	return append(slices.Clone(events), schemas.Erased)
}

// blank removes everything except ids from the batch's erasures.
func (l *load) blank(ctx context.Context) error {
	if !l.erases() {
		return nil
	}
	_, err := l.tx.Exec(ctx, l.sql.erasures.staged)
	return err
}

func (l *load) erases() bool { return l.batch.manifest().Totals.Events[schemas.Erased] > 0 }

// forget blanks an appending consumer's rows of erased patients, and counts the erased whom it did not know of.
func (l *load) forget(ctx context.Context) error {
	noted, err := l.tx.Exec(ctx, l.sql.erasures.noted)
	if err != nil {
		return err
	}
	if noted.RowsAffected() > 0 {
		l.summary.Effects[effectErased] = noted.RowsAffected()
	}
	_, err = l.tx.Exec(ctx, l.sql.erasures.loaded)
	return err
}

// erasedEffects records who was erased, including unknown patients: nothing is newer than an erasure,
// so a false one hides every later death. The consumer decides what an erasure undoes.
const erasedEffects = `INSERT INTO effect (kind, patient_id, death_no) SELECT 'erased', patient_id, death_no FROM changed JOIN patient USING (patient_id) WHERE event = 'erased'`
