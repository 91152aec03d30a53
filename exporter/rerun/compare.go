package rerun

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Difference compares the events of one type in one part with the outbox.
type Difference struct {
	Part    string           `json:"part,omitempty"` // "": in none
	Event   string           `json:"event"`
	Same    int64            `json:"same"`
	Altered int64            `json:"altered"`           // that have another content in the outbox
	Columns map[string]int64 `json:"columns,omitempty"` // of them, by the columns that differ
	Missing int64            `json:"missing"`           // that the outbox has and no part does
	Lacking int64            `json:"lacking"`           // that the outbox no longer has
	Erased  int64            `json:"erased"`            // that differ because their patients were erased
	Pruned  int64            `json:"-"`                 // of these, those that the outbox does not even have blanked
}

// compare compares the rows of parts with those that the plan selects from the outbox now, by patient
// and version. It does so in PostgreSQL, which has room for a batch of any size.
func (l *Log) compare(ctx context.Context, p *plan.Plan, parts []schemas.Part) (found []Difference, err error) {
	err = pgx.BeginFunc(ctx, l.DB, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, l.PublishedTable()+" ON COMMIT DROP"); err != nil {
			return err
		}
		for i, part := range parts {
			if err := l.Load(ctx, tx, i, part); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `ANALYZE published`); err != nil {
			return err
		}
		found, err = l.differences(ctx, tx, p, parts)
		return err
	})
	return found, fault.Database("compare", p.Name(), err)
}

// contentColumns returns the columns of an event's content: all except those that identify the event.
func (l *Log) contentColumns() []string {
	return slices.DeleteFunc(l.Contract.ColumnNames(), func(c string) bool { return c == "patient_id" || c == "version" })
}

func (l *Log) differences(ctx context.Context, tx pgx.Tx, p *plan.Plan, parts []schemas.Part) ([]Difference, error) {
	columns := l.contentColumns()
	rows, _ := tx.Query(ctx, differencesQuery(p.Query(l.Contract), columns))
	var found []Difference
	var number *int
	var d Difference
	var byColumn []int64
	_, err := pgx.ForEachRow(rows, []any{&number, &d.Event, &d.Same, &d.Altered, &d.Missing, &d.Lacking, &d.Erased, &d.Pruned, &byColumn}, func() error {
		next := d
		if number != nil {
			next.Part = parts[*number].Name
		}
		for i, n := range byColumn {
			if n > 0 && next.Altered > 0 {
				if next.Columns == nil {
					next.Columns = map[string]int64{}
				}
				next.Columns[columns[i]] = n
			}
		}
		found = append(found, next)
		return nil
	})
	return found, err
}

// differencesQuery counts by part and event type. Differences of erased patients are counted
// separately, because they must not be repaired.
func differencesQuery(recorded string, columns []string) string {
	list := func(table string) string { return table + "." + strings.Join(columns, ", "+table+".") }
	byColumn := make([]string, len(columns))
	for i, c := range columns {
		byColumn[i] = fmt.Sprintf("count(*) FILTER (WHERE altered AND p_%[1]s IS DISTINCT FROM r_%[1]s)", c)
	}
	aliased := func(table string) string {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = fmt.Sprintf("%[1]s.%[2]s AS %[1]s_%[2]s", table, c)
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf(`
		WITH recorded AS MATERIALIZED (%s),
		matched AS (
		    SELECT p.part, coalesce(p.event, r.event) AS event, p.patient_id IS NULL AS missing, r.patient_id IS NULL AS lacking,
		           (%s) IS DISTINCT FROM (%s) AS differs, coalesce(p.patient_id, r.patient_id) AS patient_id, %s, %s
		    FROM published p FULL JOIN recorded r ON r.patient_id = p.patient_id AND r.version = p.version),
		judged AS (
		    SELECT *, differs AND NOT erased AND NOT missing AND NOT lacking AS altered
		    FROM (SELECT *, differs AND EXISTS (SELECT FROM patients.outbox o WHERE o.patient_id = matched.patient_id AND o.event = 'erased') AS erased
		          FROM matched) m)
		SELECT part, event, count(*) FILTER (WHERE NOT differs), count(*) FILTER (WHERE altered),
		       count(*) FILTER (WHERE missing AND NOT erased), count(*) FILTER (WHERE lacking AND NOT erased),
		       count(*) FILTER (WHERE erased AND NOT missing), count(*) FILTER (WHERE erased AND lacking), ARRAY[%s]
		FROM judged GROUP BY part, event ORDER BY part NULLS LAST, event`,
		recorded, list("p"), list("r"), aliased("p"), aliased("r"), strings.Join(byColumn, ", "))
}
