package patients_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
	"waybill/schemas"
)

// The outbox has the contract's columns, types and requirements, except for the two columns that the export adds.
func TestOutboxIsTheContract(t *testing.T) {
	s := connect(t, migrated(t))
	rows, err := s.Query(t.Context(), `SELECT column_name || ' ' || CASE data_type WHEN 'timestamp with time zone' THEN 'timestamptz' ELSE data_type END
			|| CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END
		FROM information_schema.columns WHERE table_schema = 'patients' AND table_name = 'outbox'`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := append([]string{"position bigint NOT NULL", "tx xid8 NOT NULL"}, strings.Split(pg.Columns(schemas.PatientEvents()), ", ")...)
	want = slices.DeleteFunc(want, func(column string) bool {
		return strings.HasPrefix(column, "generation ") || strings.HasPrefix(column, "revision ")
	})
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contract (-) and outbox (+) differ:\n%s", diff)
	}
}

// Both tables accept every value that the contract allows, and no other.
func TestRangesAreTheContracts(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(`INSERT INTO patients.patient (id) VALUES ({a})`)
	for _, column := range schemas.PatientEvents().Columns {
		for _, table := range tablesOf(column.Name) {
			for value, allowed := range edges(column) {
				err := s.try(fmt.Sprintf("BEGIN; UPDATE patients.%s SET %s", table, assignment(column.Name, value)))
				s.do("ROLLBACK")
				switch {
				case !allowed && err == nil:
					t.Errorf("%s.%s takes in %.60s", table, column.Name, value)
				case !allowed:
					wantCode(t, err, checkViolation)
				case err != nil:
					t.Errorf("%s.%s refuses %.60s: %v", table, column.Name, value, err)
				}
			}
		}
	}
}

func tablesOf(column string) []string {
	switch column {
	case "generation", "revision":
		return nil
	case "event", "version", "recorded_at", "death_no", "identifiers":
		return []string{"outbox"}
	default:
		return []string{"outbox", "patient"}
	}
}

// assignment sets one column and the columns that must change with it.
func assignment(column, value string) string {
	switch column {
	case "death_earliest":
		return fmt.Sprintf("death_earliest = %s, death_latest = '9999-12-31 23:59:59.999999Z', death_precision = 'day'", value)
	case "death_latest":
		return fmt.Sprintf("death_earliest = '1800-01-01Z', death_latest = %s, death_precision = 'day'", value)
	case "death_precision":
		return fmt.Sprintf("death_earliest = '1800-01-01Z', death_latest = '1801-01-01Z', death_precision = %s", value)
	default:
		return fmt.Sprintf("%s = %s", column, value)
	}
}

// edges returns SQL for values just within a column's range (true) and just outside.
func edges(c schemas.Column) map[string]bool {
	switch c.Type {
	case schemas.Timestamp:
		return edgesOfTime(c)
	case schemas.Int32, schemas.Int64:
		return map[string]bool{fmt.Sprint(c.Min): true, fmt.Sprint(c.Min - 1): false, fmt.Sprint(c.Max): true}
	case schemas.JSON:
		return map[string]bool{
			fmt.Sprintf("to_jsonb(array_fill(1, ARRAY[%d]))", c.MaxLength):                  true,
			fmt.Sprintf("to_jsonb(array_fill(1, ARRAY[%d]))", c.MaxLength+1):                false,
			fmt.Sprintf("jsonb_build_array(repeat('x', %d))", schemas.MaxValueBytes-4):      true,
			fmt.Sprintf("jsonb_build_array(repeat('x', %d))", schemas.MaxValueBytes-3):      false,
			fmt.Sprintf("jsonb_build_array(repeat(chr(1), %d))", schemas.MaxValueBytes/6+1): false, // as "\u0001"
			"'{}'": false, "'null'": false,
		}
	case schemas.Text:
		return edgesOfText(c)
	default:
		return nil
	}
}

func edgesOfTime(c schemas.Column) map[string]bool {
	at := func(micros int64) string {
		return time.UnixMicro(micros).UTC().Format("'2006-01-02 15:04:05.000000Z'")
	}
	values := map[string]bool{"'infinity'": false, "'-infinity'": false, at(c.Min - 1): false, at(c.Max + 1): false}
	if c.Name != "death_latest" { // which lies after the earliest
		values[at(c.Min)] = true
	}
	if c.Name != "death_earliest" {
		values[at(c.Max)] = true
	}
	return values
}

func edgesOfText(c schemas.Column) map[string]bool {
	values := map[string]bool{}
	for _, text := range c.Enum {
		values["'"+text+"'"] = true
		values["'"+strings.ToUpper(text)+"'"] = false
	}
	if c.MaxLength > 0 {
		values[fmt.Sprintf("repeat('é', %d)", c.MaxLength)] = true
		values[fmt.Sprintf("repeat('é', %d)", c.MaxLength+1)] = false
	}
	if c.Pattern != nil {
		for _, text := range []string{
			"1970", "1970-01", "1970-12-31", "0001-01-01", "1970-13", "1970-00", "1970-01-32",
			"1970-1", "70", "", "1970-", "1970-01-01 ", "1970\n", "١٩٧٠",
		} {
			values["'"+text+"'"] = c.Pattern.MatchString(text)
		}
	}
	return values
}

func TestPeriodOfDeath(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(`INSERT INTO patients.patient (id) VALUES ({a})`)
	for _, table := range []string{"patient", "outbox"} {
		for _, wrong := range []string{
			"death_earliest = '2026-01-01Z'", "death_precision = 'day'",
			"death_earliest = '2026-01-01Z', death_latest = '2026-01-02Z'",
			"death_earliest = '2026-01-01Z', death_latest = '2026-01-01Z', death_precision = 'minute'",
			"death_earliest = '2026-01-02Z', death_latest = '2026-01-01Z', death_precision = 'day'",
		} {
			wantCode(t, s.try(fmt.Sprintf("UPDATE patients.%s SET %s", table, wrong)), checkViolation)
		}
	}
	for _, long := range []string{"authority", "type", "value"} {
		wantCode(t, s.try(fmt.Sprintf(`INSERT INTO patients.identifier SELECT {a}, r.authority, r.type, r.value
			FROM jsonb_to_record(jsonb_build_object('authority', 'x', 'type', 'x', 'value', 'x') || jsonb_build_object('%s', repeat('é', 201)))
			AS r (authority text, type text, value text)`, long)), checkViolation)
	}
}
