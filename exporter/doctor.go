package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/connect"
	"waybill/internal/examine"
	"waybill/internal/fault"
)

// Examine looks at the patients service's database: server, rights, triggers, and where the log
// stands by it. Nothing is changed.
func Examine(ctx context.Context, databaseURL string) ([]exchange.Fact, error) {
	conn, err := connect.To(ctx, databaseURL, "patients database", map[string]string{"application_name": "waybill doctor"})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	facts, err := examine.Server(ctx, conn, time.Now)
	if err != nil {
		return nil, err
	}
	facts = append(facts, examine.Rights(ctx, conn, []examine.Right{
		examine.Table("patients.outbox", "SELECT"),
		// Each by itself: of several in one text, any one would do.
		examine.Table("exporter.plan", "SELECT"),
		examine.Table("exporter.plan", "INSERT"),
		examine.Table("exporter.plan", "UPDATE"),
		examine.Table("exporter.last_run", "INSERT"),
	}))
	for _, look := range []func(context.Context, *pgx.Conn) (exchange.Fact, error){revision, triggers, planned} {
		fact, err := look(ctx, conn)
		if err != nil {
			return append(facts, exchange.Fact{Name: "tables", Value: err.Error(), Advice: fault.HintOf(err), Fails: true}), nil
		}
		facts = append(facts, fact)
	}
	return facts, nil
}

func revision(ctx context.Context, conn *pgx.Conn) (exchange.Fact, error) {
	return exchange.Fact{Name: "tables", Value: "as this release has them"}, CheckTables(ctx, conn)
}

// captureTriggers is how many triggers turn changes into events.
const captureTriggers = 3

func triggers(ctx context.Context, conn *pgx.Conn) (exchange.Fact, error) {
	var always, others int
	err := conn.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE t.tgenabled = 'A'), count(*) FILTER (WHERE t.tgenabled <> 'A')
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'patients' AND NOT t.tgisinternal AND t.tgname = 'capture'`).Scan(&always, &others)
	if err != nil {
		return exchange.Fact{}, fault.Database("examine", "triggers", err)
	}
	f := exchange.Fact{Name: "capture", Value: fmt.Sprintf("%d triggers are on for every writer", always)}
	if always != captureTriggers || others > 0 {
		f.Value = fmt.Sprintf("%d of %d triggers are on for every writer", always, captureTriggers)
		f.Advice, f.Fails = "changes are made without events: `ALTER TABLE … ENABLE ALWAYS TRIGGER capture` on patients.patient, identifier and alias, then `waybill export --snapshot`", true
	}
	return f, nil
}

// planned finds a clock that has been ahead: windows never go back, so until it is caught up with
// the log's windows are empty.
func planned(ctx context.Context, conn *pgx.Conn) (exchange.Fact, error) {
	var batch int64
	var ahead time.Duration
	var published bool
	err := conn.QueryRow(ctx, `
		SELECT batch, window_to - clock_timestamp(), published_at IS NOT NULL FROM exporter.plan ORDER BY batch DESC LIMIT 1`).Scan(&batch, &ahead, &published)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return exchange.Fact{Name: "log", Value: "nothing exported yet"}, nil
	case err != nil:
		return exchange.Fact{}, fault.Database("examine", "exporter.plan", err)
	case ahead > time.Minute:
		return exchange.Fact{
			Name: "log", Value: fmt.Sprintf("batch %d ends %s in the future", batch, ahead.Round(time.Second)),
			Advice: "this database's clock was ahead; events are exported all the same, and until then consumers can't tell that the log is late",
		}, nil
	case !published:
		return exchange.Fact{Name: "log", Value: fmt.Sprintf("batch %d is planned and not published", batch), Advice: "run `waybill export`"}, nil
	}
	return exchange.Fact{Name: "log", Value: fmt.Sprintf("batch %d is published", batch)}, nil
}
