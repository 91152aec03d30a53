package importer

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/forget"
	"waybill/internal/lastrun"
	"waybill/internal/migrate"
	"waybill/schemas"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings a consumer's database up to date: the importer's own tables, the projection of
// the contract, then the consumer's tables, all in the schema named after the consumer. Several
// may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string, consumer *Consumer) error {
	return migrate.Up(ctx, databaseURL, consumer.Name, consumer.tables()...)
}

// CheckTables refuses tables of the consumer that another release has migrated: see [migrate.Check].
func (c *Consumer) CheckTables(ctx context.Context, conn migrate.Querier) error {
	return migrate.Check(ctx, conn, c.Name, c.tables()...)
}

func (c *Consumer) tables() []migrate.Step {
	sql := statementsFor(c)
	steps := []migrate.Step{migrate.Files(migrations, "framework_migration"), lastrun.Migrate, decision.Migrate, forget.Migrate}
	if c.Append == "" {
		steps = append(steps, migrate.Statement(sql.projection))
	}
	steps = append(steps, migrate.Files(c.files, "migration"))
	if c.Append != "" {
		steps = append(steps, keyed(c.Append))
		if c.Slim {
			steps = append(steps, c.holding())
		}
	}
	return append(steps, migrate.Statement(sql.erasures.all), migrate.Contract(c.Contract().Version))
}

// holding refuses the table of a slim consumer that has other columns of the contract: they would stay empty.
func (c *Consumer) holding() migrate.Step {
	var others []string
	for _, column := range schemas.ContractOf(c.Stream).Columns {
		if !column.Slim {
			others = append(others, column.Name)
		}
	}
	return migrate.Func(func(ctx context.Context, db *sql.DB) error {
		var has sql.NullString
		err := db.QueryRowContext(ctx, `SELECT string_agg(attname, ', ') FROM pg_attribute
			WHERE attrelid = $1::regclass AND NOT attisdropped AND attname = ANY ($2)`, pgx.Identifier{c.Append}.Sanitize(), others).Scan(&has)
		if err == nil && has.Valid {
			err = fault.New(fault.Usage, "migrate", "table "+c.Append, errors.New("slim parts do not have its columns "+has.String), "drop them in a migration, or leave out slim: in consumer.yaml")
		}
		return err
	})
}

// keyed checks that a table has a key that keeps each event once. Otherwise a second load would fail.
func keyed(table string) migrate.Step {
	key := "(patient_id, " + orderKey + ")"
	return migrate.Func(func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("EXPLAIN INSERT INTO %s DEFAULT VALUES ON CONFLICT %s DO NOTHING", pgx.Identifier{table}.Sanitize(), key))
		refused, ok := errors.AsType[*pgconn.PgError](err)
		switch {
		case ok && refused.Code == "42P01":
			return fault.New(fault.Usage, "migrate", "table "+table, errors.New("none of the consumer's migrations makes it"), "add one, or correct `append` in consumer.yaml")
		case ok && refused.Code == "42P10": // no unique key on these columns
			return fault.New(fault.Usage, "migrate", "table "+table, errors.New("it has no unique key over "+key), "add one in a migration: that is how an event counts once")
		}
		return err
	})
}
