package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/exchange/seal"
	"waybill/internal/fault"
)

// DB is a connection to the patients service's database: the plans of one stream, and the outbox.
type DB struct {
	*pgx.Conn
	Stream string
	Seal   *seal.Plan // how new batches are sealed; nil: not
}

// exportKey is the advisory lock that one exporter per database holds: "waybill" in ASCII.
const exportKey int64 = 0x77617962696c6c

// pruneKey is the advisory lock that a prune holds. It differs from exportKey because exports may run during a prune.
const pruneKey = exportKey + 1

// ErrRunning means that another process holds the lock.
var ErrRunning = errors.New("is running")

var (
	errExporting = fmt.Errorf("another exporter %w", ErrRunning)
	errPruning   = fmt.Errorf("`waybill prune` %w", ErrRunning)
)

// LockExport takes the exporter's lock for as long as the connection lives. If another exporter still has
// it after that wait, the error wraps [ErrRunning].
func (db DB) LockExport(ctx context.Context, wait time.Duration, op, subject string) error {
	if wait == 0 {
		return db.lock(ctx, exportKey, errExporting, op, subject)
	}
	if _, err := db.Exec(ctx, `SELECT set_config('lock_timeout', $1, false)`, fmt.Sprintf("%dms", max(1, wait.Milliseconds()))); err != nil {
		return fault.Database("lock", "exporter", err)
	}
	_, err := db.Exec(ctx, `SELECT pg_advisory_lock($1)`, exportKey)
	if timedOut, ok := errors.AsType[*pgconn.PgError](err); ok && timedOut.Code == "55P03" {
		return busy(op, subject, errExporting)
	}
	if err != nil {
		return fault.Database("lock", "exporter", err)
	}
	_, err = db.Exec(ctx, `RESET lock_timeout`)
	return fault.Database("lock", "exporter", err)
}

// LockPrune is [DB.LockExport] with the lock for prunes, without a wait.
func (db DB) LockPrune(ctx context.Context, op, subject string) error {
	return db.lock(ctx, pruneKey, errPruning, op, subject)
}

func (db DB) lock(ctx context.Context, key int64, taken error, op, subject string) error {
	var locked bool
	if err := db.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&locked); err != nil {
		return fault.Database("lock", "exporter", err)
	}
	if !locked {
		return busy(op, subject, taken)
	}
	return nil
}

func busy(op, subject string, taken error) error {
	return fault.New(fault.Transient, op, subject, taken, "run it again when that one has finished")
}

// ConfirmLocks fails if the connection has ended, and its locks with it. Another run may have replaced one that was
// frozen, and the frozen one would mistake its successor's work for another database's.
func (db DB) ConfirmLocks(ctx context.Context) error {
	return fault.Database("keep lock of", "exporter", db.Ping(ctx))
}

// Close ends the connection.
func (db DB) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// Unlock explicitly: the server ends a backend some time after the connection, and a run right
	// after this one would find the lock taken.
	_, _ = db.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	_ = db.Conn.Close(ctx)
	select {
	case <-db.PgConn().CleanupDone(): // the connection broke
	case <-ctx.Done():
	}
}
