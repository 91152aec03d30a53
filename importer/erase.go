package importer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"waybill/schemas"
)

// An erased patient stays so: whatever else comes of them, in whatever order, changes nothing. All
// that is kept is the id and the order of the event that said so.

// erasures are the statements by which the erased are forgotten.
type erasures struct {
	staged   string // what a producer left in such an event is not taken
	noted    string // of an appending consumer
	appended string // and its rows of them
}

func erasuresFor(contract *schemas.Contract, appended string) erasures {
	var blank, left []string
	for _, c := range contract.Columns {
		if value := blankOf(c); value != "" {
			blank = append(blank, c.Name+" = "+value)
			left = append(left, fmt.Sprintf("t.%s IS DISTINCT FROM %s", c.Name, value))
		}
	}
	set := strings.Join(blank, ", ")
	return erasures{
		staged: `UPDATE staging SET ` + set + ` WHERE event = 'erased'`,
		noted: `INSERT INTO erased (patient_id, erased_at) SELECT DISTINCT s.patient_id, run.now FROM staging s, run WHERE s.event = 'erased'
			ON CONFLICT DO NOTHING`,
		appended: fmt.Sprintf(`UPDATE %s t SET %s FROM (SELECT DISTINCT patient_id FROM staging JOIN erased USING (patient_id)) e
			WHERE t.patient_id = e.patient_id AND (%s)`, appended, set, strings.Join(left, " OR ")),
	}
}

// blankOf is what a column holds of the erased, as SQL; "" for those that say nothing of a person.
func blankOf(c schemas.Column) string {
	switch {
	case c.Classification != "restricted" || c.Name == "patient_id" || c.Name == "event":
		return ""
	case !c.Required:
		return "NULL"
	case c.Type == schemas.JSON:
		return "'[]'"
	case c.Type == schemas.Text:
		return "'none'"
	default:
		return "0"
	}
}

// withErased adds the event to those that a consumer subscribes to: nobody may miss it.
func withErased(events []string) []string {
	if slices.Contains(events, schemas.Erased) {
		return events
	}
	return append(slices.Clone(events), schemas.Erased)
}

// blank takes nothing from erasures but ids.
func (l *load) blank(ctx context.Context) error {
	if l.batch.manifest().Totals.Events[schemas.Erased] == 0 {
		return nil
	}
	_, err := l.tx.Exec(ctx, l.sql.erasures.staged)
	return err
}

// forget blanks what an appending consumer has of the erased, and counts those it had not heard of.
func (l *load) forget(ctx context.Context) error {
	noted, err := l.tx.Exec(ctx, l.sql.erasures.noted)
	if err != nil {
		return err
	}
	if noted.RowsAffected() > 0 {
		l.summary.Effects[effectErased] = noted.RowsAffected()
	}
	_, err = l.tx.Exec(ctx, l.sql.erasures.appended)
	return err
}

// erasedEffects records who was erased, also of strangers: nothing is newer than an erasure, so a false
// one hides every death to come. What it undoes is the consumer's.
const erasedEffects = `INSERT INTO effect (kind, patient_id, death_no) SELECT 'erased', patient_id, death_no FROM changed JOIN patient USING (patient_id) WHERE event = 'erased'`
