package duckdb_test

import (
	"testing"

	"waybill/lab/duckdb"
)

func TestQuery(t *testing.T) {
	rows, err := duckdb.Query(t.Context(), "CREATE TABLE t AS SELECT 1 AS n, NULL AS nothing; SELECT n, nothing, 'ä' AS s FROM t")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || *rows[0]["n"] != "1" || rows[0]["nothing"] != nil || *rows[0]["s"] != "ä" {
		t.Errorf("got %v", rows)
	}
	if _, err := duckdb.Query(t.Context(), "SELECT no_such_column"); err == nil {
		t.Error("a wrong query is no error")
	}
}
