package exporter_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/exporter/rerun"
	"waybill/lab/duckdb"
	"waybill/lab/hospital"
	"waybill/schemas"
)

// aDayOnStore exports a hospital and a day of its life, in parts of one type and in mixed ones.
func aDayOnStore(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	opt := hospital.Options{Seed: 11, Now: time.Now(), Patients: 3000}
	if err := hospital.Bulk(t.Context(), s.conn, opt.Patients, opt.Seed); err != nil {
		t.Fatal(err)
	}
	s.export()
	if _, err := hospital.Day(t.Context(), s.conn, opt); err != nil {
		t.Fatal(err)
	}
	s.export()
	return s
}

// query runs SQL of DuckDB that names the stream's folder as it is in the docs.
func (s *site) query(sql string) []duckdb.Row {
	s.Helper()
	sql = strings.ReplaceAll(sql, "/srv/exchange/", s.root+"/")
	rows, err := duckdb.Query(s.Context(), "SET TimeZone = 'UTC';"+sql)
	if err != nil {
		s.Fatal(err)
	}
	return rows
}

const allParts = `read_parquet('/srv/exchange/patient-events/parts/*/*/*.parquet')`

// typesInDuckDB are what the contract's types become.
var typesInDuckDB = map[string]string{
	"text": "VARCHAR", "boolean": "BOOLEAN", "uuid": "UUID", "integer": "INTEGER", "bigint": "BIGINT",
	"timestamptz": "TIMESTAMP WITH TIME ZONE", "jsonb": "JSON",
}

func TestDuckDBReadsThePartsAsTheContractSays(t *testing.T) {
	t.Parallel()
	s := aDayOnStore(t)
	var got, want []string
	for _, row := range s.query("DESCRIBE SELECT * EXCLUDE (type, date) FROM " + allParts) {
		got = append(got, *row["column_name"]+" "+*row["column_type"])
	}
	for _, column := range schemas.PatientEvents().Columns {
		want = append(want, column.Name+" "+typesInDuckDB[column.SQLType()])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types: %s", diff)
	}
	if diff := cmp.Diff(s.valuesInPostgreSQL(), s.valuesInDuckDB()); diff != "" {
		t.Errorf("values: %s", diff)
	}
}

// valueOf is an expression, of both databases, for a column's value as text.
func valueOf(c schemas.Column, epoch string) string {
	value := c.Name + "::text"
	if c.SQLType() == "timestamptz" {
		value = fmt.Sprintf(epoch, c.Name) + "::text"
	}
	return fmt.Sprintf("coalesce(%s, 'NULL')", value)
}

func (s *site) valuesInDuckDB() []string {
	s.Helper()
	var values, rows []string
	for _, c := range schemas.PatientEvents().Columns {
		values = append(values, valueOf(c, "epoch_us(%s)"))
	}
	for _, row := range s.query("SELECT concat_ws('|', " + strings.Join(values, ", ") + ") AS row FROM " + allParts) {
		rows = append(rows, *row["row"])
	}
	slices.Sort(rows)
	return rows
}

func (s *site) valuesInPostgreSQL() []string {
	s.Helper()
	var values []string
	for _, c := range schemas.PatientEvents().Columns {
		values = append(values, valueOf(c, "(extract(epoch FROM %s) * 1000000)::bigint"))
	}
	rows, err := s.conn.Query(s.Context(), "SELECT concat_ws('|', "+strings.Join(values, ", ")+") FROM (SELECT *, 1 AS generation, 0 AS revision FROM patients.outbox) AS o")
	if err != nil {
		s.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.Fatal(err)
	}
	slices.Sort(list)
	return list
}

var sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")

// The test runs the queries of the page unchanged, and compares their answers with the outbox.
func TestQueriesOfTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/duckdb.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := sqlBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d queries, want 3", len(blocks))
	}
	s := aDayOnStore(t)
	s.exec(`UPDATE patients.outbox SET sex = 'other' WHERE event = 'died'`)
	s.found(rerun.Options{Batches: span(1, s.last().Manifest.Batch), Correct: true})
	checks := []struct{ column, want string }{
		{"deaths", `SELECT count(*) FROM patients.outbox WHERE event = 'died' AND NOT baseline`},
		{"patients", `SELECT count(*) FROM patients.patient`},
		{"events", `SELECT sum(events) FROM exporter.plan`},
	}
	for i, block := range blocks {
		var got, want int
		for _, row := range s.query(block[1]) {
			var n int
			if _, err := fmt.Sscan(*row[checks[i].column], &n); err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if err := s.conn.QueryRow(t.Context(), checks[i].want).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got != want || want == 0 {
			t.Errorf("query %d: %d %s, want %d", i+1, got, checks[i].column, want)
		}
	}
}
