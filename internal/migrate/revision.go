package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"waybill/internal/connect"
	"waybill/internal/fault"
)

// mark says how far a step has brought the tables, and how far this release brings them.
type mark struct {
	of    string                 // "migration" or "contract"
	read  string                 // SQL, with %s for the schema
	known func() (string, error) // 12 or 1.0.0
}

// Querier is a connection or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// Connect opens a connection to tables that check finds to be of this release: see [connect.To].
func Connect(ctx context.Context, databaseURL, subject string, settings map[string]string, check func(context.Context, Querier) error) (*pgx.Conn, error) {
	conn, err := connect.To(ctx, databaseURL, subject, settings)
	if err != nil {
		return nil, err
	}
	if err := check(ctx, conn); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return conn, nil
}

// Check compares the schema's tables with those of this release. It refuses tables that are ahead or
// behind, with class [fault.Usage]. An older release would leave out columns that it does not know, and
// keep their values when it erases a person. A newer one would fail half-way.
func Check(ctx context.Context, conn Querier, schema string, steps ...Step) error {
	var found string
	if err := conn.QueryRow(ctx, query(schema, steps)).Scan(&found); err != nil {
		return fault.Database("check", "tables of "+schema, err)
	}
	return compare(schema, steps, found)
}

var (
	errBehind = errors.New("they are of an older release")
	errAhead  = errors.New("a later release has migrated them")
)

// Refused reports whether an error is about tables of another release.
func Refused(err error) bool { return errors.Is(err, errBehind) || errors.Is(err, errAhead) }

// notAhead is Check before a migration, which is for tables that are missing or behind.
func notAhead(ctx context.Context, db *sql.DB, schema string, steps []Step) error {
	const undefinedTable, invalidSchemaName = "42P01", "3F000"
	var found string
	err := db.QueryRowContext(ctx, query(schema, steps)).Scan(&found)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == undefinedTable || pg.Code == invalidSchemaName) {
		return nil
	}
	if err == nil {
		err = compare(schema, steps, found)
	}
	if errors.Is(err, errBehind) {
		return nil
	}
	return err
}

// query returns SQL whose result is how far each step has brought the tables: "12 4 1.0.0".
func query(schema string, steps []Step) string {
	reads := []string{"''"}
	for _, m := range marks(steps) {
		reads = append(reads, "coalesce(("+fmt.Sprintf(m.read, pgx.Identifier{schema}.Sanitize())+"), '0')")
	}
	return "SELECT concat_ws(' ', " + strings.Join(reads, ", ") + ")"
}

// compare returns an error if the tables are ahead of this release; if they are behind it, errBehind.
func compare(schema string, steps []Step, found string) (behind error) {
	for i, at := range strings.Fields(found) {
		m := marks(steps)[i]
		known, err := m.known()
		if err != nil {
			return fault.New(fault.Usage, "read", "migrations", err, "")
		}
		revisions := fmt.Sprintf("%s %s there, %s in this release", m.of, at, known)
		switch slices.Compare(numbers(at), numbers(known)) {
		case 1:
			return fault.New(fault.Usage, "check", "tables of "+schema,
				fmt.Errorf("%w: %s", errAhead, revisions), "install that release on this machine")
		case -1:
			behind = fault.New(fault.Usage, "check", "tables of "+schema, fmt.Errorf("%w: %s", errBehind, revisions), "run `waybill migrate`")
		}
	}
	return behind
}

func marks(steps []Step) (list []*mark) {
	for _, step := range steps {
		if step.mark != nil {
			list = append(list, step.mark)
		}
	}
	return list
}

// numbers returns the first two numbers of 12 or 1.0.0. The third changes only with the wording.
func numbers(version string) []int {
	var list []int
	for _, text := range strings.SplitN(version, ".", 3)[:min(2, strings.Count(version, ".")+1)] {
		n, _ := strconv.Atoi(text)
		list = append(list, n)
	}
	return list
}

// newest returns the number of the last migration.
func newest(files fs.FS) func() (string, error) {
	return func() (string, error) {
		names, err := fs.Glob(files, "migrations/*.sql")
		if err != nil || len(names) == 0 {
			return "0", err
		}
		last, err := goose.NumericComponent(slices.MaxFunc(names, func(a, b string) int {
			x, _ := goose.NumericComponent(a)
			y, _ := goose.NumericComponent(b)
			return cmp.Compare(x, y)
		}))
		return strconv.FormatInt(last, 10), err
	}
}
