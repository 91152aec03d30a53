package importer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/connect"
	"waybill/internal/fault"
)

// scratch is the schema in which a consumer's folder is tried out.
const scratch = "waybill_check"

// Check creates a consumer's tables in a separate schema, runs its SQL there on a batch without events, and
// drops the schema. So mistakes show before the folder is used. Errors name file and line.
func Check(ctx context.Context, databaseURL string, consumer *Consumer) (err error) {
	trial := *consumer
	trial.Name = scratch
	conn, err := connect.To(ctx, databaseURL, "database", map[string]string{"application_name": "waybill consumer check", "search_path": scratch})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	drop := func() error {
		_, err := conn.Exec(context.WithoutCancel(ctx), `DROP SCHEMA IF EXISTS `+scratch+` CASCADE`)
		return fault.Database("drop", "schema "+scratch, err)
	}
	if err := drop(); err != nil { // left by a check that was killed
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := Migrate(ctx, databaseURL, &trial); err != nil {
		return err
	}
	return trial.rehearse(ctx, conn)
}

// rehearse runs the consumer's SQL on a batch without events, in a transaction that is rolled back.
func (c *Consumer) rehearse(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fault.Database("rehearse", c.Name, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	temporary := statementsFor(c).temporary + `;
		INSERT INTO run (batch, generation, kind, now, zone) VALUES (0, 1, 'changes', clock_timestamp(), 'UTC')`
	if _, err := tx.Exec(ctx, temporary); err != nil {
		return fault.Database("rehearse", c.Name, err)
	}
	for _, file := range []string{"prepare.sql", "apply.sql", "reconcile.sql", "doctor.sql", "open.sql"} {
		hint := "correct " + file + "; `waybill help new-consumer` says what it finds and returns"
		if c.Slim {
			hint += ". With slim: true in consumer.yaml, states have these columns only: " + strings.Join(c.Contract().ColumnNames(), ", ")
		}
		if _, err := conn.PgConn().Exec(ctx, c.text(file)).ReadAll(); err != nil {
			return c.failed(file, err, hint)
		}
	}
	return nil
}

// text returns a file of the consumer's folder; "" if it has none.
func (c *Consumer) text(file string) string {
	return map[string]string{"prepare.sql": c.prepare, "apply.sql": c.apply, "reconcile.sql": c.reconcile, "doctor.sql": c.doctor, "open.sql": c.open}[file]
}

// failed says where in the consumer's SQL an error is, and classes it: here a missing table or right is a
// mistake in that SQL.
func (c *Consumer) failed(file string, err error, hint string) error {
	subject := file + " of " + c.Name
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if at := withinFunction.FindStringSubmatch(pg.Where); at != nil {
			subject = fmt.Sprintf("%s, function %s, line %s", subject, at[1], at[2])
		} else if pg.Position > 0 {
			line, column := placeOf(c.text(file), int(pg.Position))
			subject = fmt.Sprintf("%s, line %d, column %d", subject, line, column)
		}
	}
	failure := fault.Database("run", subject, err)
	if fault.ClassOf(failure) == fault.Transient {
		return failure
	}
	return fault.New(fault.Poison, "run", subject, errors.Unwrap(failure), hint)
}

// withinFunction finds the function of an error, and the line of its body. The rest of what PostgreSQL says there may hold values.
var withinFunction = regexp.MustCompile(`^PL/pgSQL function (?:pg_temp_\d+\.)?(\w+)\([^)]*\) line (\d+) `)

// placeOf returns the line and column, from 1, of a character that PostgreSQL counts from 1.
func placeOf(text string, position int) (line, column int) {
	line = 1
	for _, r := range text {
		if position--; position == 0 {
			break
		}
		if column++; r == '\n' {
			line, column = line+1, 0
		}
	}
	return line, column + 1
}
