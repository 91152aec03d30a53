// Package health keeps, in a party's own database, how the store looked from each machine that
// last failed to use it, so that `status` can tell from anywhere.
package health

import (
	"context"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange/guard"
	"waybill/internal/fault"
)

// Store is how the store looked from one machine at the end of its last run. Machines for which
// all was well have no row.
type Store struct {
	Machine   string     `json:"machine"`
	State     string     `json:"state"` // of the breaker
	Failures  int        `json:"failures"`
	Since     *time.Time `json:"since"`
	NextTry   *time.Time `json:"next_try,omitempty"`
	LastError string     `json:"last_error"`
}

// Note writes this machine's row into the table, or removes it when all is well.
func Note(ctx context.Context, conn *pgx.Conn, table string, h guard.Health) error {
	machine, err := os.Hostname()
	if err != nil {
		return fault.New(fault.Transient, "note", "store's health", err, "")
	}
	if h.Failures == 0 {
		_, err = conn.Exec(ctx, `DELETE FROM `+table+` WHERE machine = $1`, machine)
		return fault.Database("note", "store's health", err)
	}
	_, err = conn.Exec(ctx, `
		INSERT INTO `+table+` AS t (machine, state, failures, since, next_try, last_error) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (machine) DO UPDATE SET state = excluded.state, failures = t.failures + excluded.failures,
		    next_try = excluded.next_try, last_error = excluded.last_error`,
		machine, h.State, h.Failures, h.Since, h.NextTry, h.LastError)
	return fault.Database("note", "store's health", err)
}

// Read returns the table's rows, the longest ailing first.
func Read(ctx context.Context, conn *pgx.Conn, table string) ([]Store, error) {
	rows, err := conn.Query(ctx, `SELECT machine, state, failures, since, next_try, last_error FROM `+table+` ORDER BY since`)
	if err != nil {
		return nil, fault.Database("read", "store's health", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Store])
	return list, fault.Database("read", "store's health", err)
}
