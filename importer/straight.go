package importer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"waybill/schemas"
)

// straight is how a batch goes into its table without staging, which writes each row once instead of twice. Every row must be
// new there: COPY can't skip one that the table has. So it is tried under a savepoint; a batch that has a known or a second row
// of a key is staged after all.
type straight struct {
	table string
	fits  string // whether COPY does to the table what INSERT would do: the same types, its key, and no rule, trigger or policy
	copy  string
}

func straightInto(table, columns, key string) straight {
	return straight{
		table: table,
		fits: fmt.Sprintf(`
			SELECT NOT relhasrules AND NOT relhastriggers AND NOT relrowsecurity AND NOT EXISTS (SELECT FROM erased)
			   AND NOT EXISTS (
			       SELECT FROM pg_attribute s LEFT JOIN pg_attribute t ON (t.attrelid, t.attname, t.atttypid) = (pg_class.oid, s.attname, s.atttypid)
			       WHERE s.attrelid = 'pg_temp.staging'::regclass AND s.attnum > 0 AND t.attname IS NULL)
			   AND EXISTS (
			       SELECT FROM pg_index i WHERE i.indrelid = pg_class.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
			       AND '{%[2]s}' = (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = ANY (i.indkey::smallint[])))
			FROM pg_class WHERE oid = '%[1]s'::regclass`, table, key),
		copy: fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", table, columns),
	}
}

// copyStraight copies the batch straight into its table, if it may, and reports whether it did.
func (l *load) copyStraight(ctx context.Context) (bool, error) {
	if !l.mayGoStraight() {
		return false, nil
	}
	if l.consumer.Append == "" || l.batch.manifest().Kind == schemas.Snapshot { // whose rows are known unless it is the first load
		if empty, err := l.empty(ctx, l.sql.straight.table); err != nil || !empty {
			return false, err
		}
	}
	var fits bool
	if err := l.tx.QueryRow(ctx, l.sql.straight.fits).Scan(&fits); err != nil || !fits {
		return false, err
	}
	savepoint, err := l.tx.Begin(ctx)
	if err != nil {
		return false, err
	}
	err = l.copy(ctx, l.sql.straight.copy)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == uniqueViolation {
		return false, savepoint.Rollback(ctx)
	}
	if err != nil {
		return false, err
	}
	return true, savepoint.Commit(ctx)
}

const uniqueViolation = "23505"

// mayGoStraight reports whether the batch brings nothing but new rows, as far as its manifest and the command tell. A person
// who asked for the load wants to know what the table had before. A projection takes one row of each patient, and of the
// present generation only, so only its first load goes straight.
func (l *load) mayGoStraight() bool {
	return !l.detailed() && !l.erases() && (l.consumer.Append != "" || l.checkpoint.generation <= 1 && !strings.Contains(l.consumer.prepare+l.consumer.apply, "staging"))
}
