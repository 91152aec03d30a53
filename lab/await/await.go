// Package await waits in tests until something is true. If it never becomes true, the test fails and says what it waited
// for, long before `go test` ends the whole package.
package await

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	limit    = 5 * time.Minute // far more than anything takes, also on a busy machine
	interval = 10 * time.Millisecond
)

// True asks until the answer is yes. what completes the sentence "it never became true that …".
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("for %s it never became true that %s", limit, what)
		}
	}
}

// Querier is a connection, pool or transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// SQL asks PostgreSQL until a condition is true. NULL is false.
func SQL(t testing.TB, db Querier, condition string, arguments ...any) {
	t.Helper()
	True(t, condition, func() (holds bool) {
		if err := db.QueryRow(t.Context(), `SELECT coalesce((`+condition+`), false)`, arguments...).Scan(&holds); err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		return holds
	})
}
