package plan_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/plan"
	"waybill/lab/pg/pgtest"
)

// TestABatchHasWhatOnlyItsSecondCursorSees compares the condition, which is written out, with PostgreSQL's own function.
func TestABatchHasWhatOnlyItsSecondCursorSees(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t, nil, "bare"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	cursors := []plan.Cursor{plan.BeforeAll, "3:3:", "3:9:3,5", "5:12:5,9,11", "12:12:", "4:30:4,5,6,7,8,9,10,11,12,13,20", "31:31:"}
	transactions := func(condition string, parameters ...any) []int64 {
		rows, _ := conn.Query(t.Context(), `SELECT tx::text::bigint FROM (SELECT n::text::xid8 AS tx FROM generate_series(1, 33) n) o WHERE `+condition+` ORDER BY tx`, parameters...)
		found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for i, before := range cursors {
		for _, after := range cursors[i:] {
			want := transactions(`pg_visible_in_snapshot(tx, $1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(tx, $2::text::pg_snapshot)`, string(after), string(before))
			if got := transactions(plan.Between(before, after)); !slices.Equal(got, want) {
				t.Errorf("between %s and %s: %d, want %d", before, after, got, want)
			}
		}
	}
}
