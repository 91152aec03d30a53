package exporter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/doctor"
	"waybill/exporter/patients"
	"waybill/internal/connect"
	"waybill/internal/decision"
	"waybill/internal/fact"
	"waybill/internal/fault"
)

// Examine checks the patients service's database: server, rights, triggers, and how far the log is
// according to it. It changes nothing.
func Examine(ctx context.Context, databaseURL string) ([]fact.Fact, error) {
	conn, err := connect.To(ctx, databaseURL, "patients database", map[string]string{"application_name": "waybill doctor"})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	facts, err := doctor.Server(ctx, conn, time.Now)
	if err != nil {
		return nil, err
	}
	facts = append(facts, doctor.Rights(ctx, conn, []doctor.Right{
		doctor.Table("patients.outbox", "SELECT"),
		// One entry per right: PostgreSQL is content with any one of several rights in one text.
		doctor.Table("patients.divergence", "SELECT"),
		doctor.Table("patients.disarmed", "SELECT"),
		doctor.Table("exporter.plan", "SELECT"),
		doctor.Table("exporter.plan", "INSERT"),
		doctor.Table("exporter.plan", "UPDATE"),
		doctor.Table("exporter.sample", "SELECT"),
		doctor.Table("exporter.sample", "UPDATE"),
		doctor.Table("exporter.last_run", "INSERT"),
	}), decision.Examine(ctx, conn, "exporter"))
	for _, look := range []func(context.Context, *pgx.Conn) (fact.Fact, error){revision, triggers, captured, prepared, planned} {
		found, err := look(ctx, conn)
		if err != nil {
			return append(facts, fact.Failed("tables", err)), nil
		}
		facts = append(facts, found)
	}
	return facts, nil
}

func revision(ctx context.Context, conn *pgx.Conn) (fact.Fact, error) {
	return fact.Fact{Name: "tables", Value: "as this release has them"}, CheckTables(ctx, conn)
}

func triggers(ctx context.Context, conn *pgx.Conn) (fact.Fact, error) {
	off, err := patients.Disarmed(ctx, conn)
	if len(off) > 0 {
		return fact.Fact{Name: "capture", Value: patients.OffText(off), Advice: patients.CaptureHint, Fails: true}, nil
	}
	return fact.Fact{Name: "capture", Value: "all triggers are on for every writer"}, err
}

// captured compares some patients with their last events, as each export does with others.
func captured(ctx context.Context, conn *pgx.Conn) (fact.Fact, error) {
	const some = 10 * sampled
	w, err := patients.NextWindow(ctx, conn, uuid.Nil, some)
	if err != nil {
		return fact.Fact{}, err
	}
	found, err := w.Divergent(ctx, conn)
	if len(found) > 0 {
		return fact.Fact{Name: "events", Value: fmt.Sprintf("%d patients are not as their last events say", len(found)), Advice: patients.CaptureHint, Fails: true}, nil
	}
	value := "each patient is as their last event says"
	if !w.Last() {
		value = fmt.Sprintf("the patients of the first %d events are as their last events say; `waybill capture` compares all", some)
	}
	return fact.Fact{Name: "events", Value: value}, err
}

// prepared finds transactions that were prepared and never ended: no session owns them, and their locks stay.
func prepared(ctx context.Context, conn *pgx.Conn) (fact.Fact, error) {
	var n int
	var gid, owner string
	var age time.Duration
	err := conn.QueryRow(ctx, `
		SELECT count(*) OVER (), gid, owner, clock_timestamp() - prepared FROM pg_prepared_xacts
		WHERE database = current_database() ORDER BY prepared LIMIT 1`).Scan(&n, &gid, &owner, &age)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fact.Fact{Name: "prepared", Value: "no prepared transaction is open"}, nil
	case err != nil:
		return fact.Fact{}, fault.Database("examine", "pg_prepared_xacts", err)
	}
	gid = "'" + strings.ReplaceAll(gid, "'", "''") + "'"
	return fact.Fact{
		Name: "prepared", Value: fmt.Sprintf("%d open, the oldest is %s of %s, %s old", n, gid, owner, age.Round(time.Second)),
		Advice: "it holds what it wrote (a merge in it holds up all merges and erasures); if its program is gone: `COMMIT PREPARED " + gid + "` or `ROLLBACK PREPARED " + gid + "`",
	}, nil
}

// planned finds a clock that has been ahead. Windows never go back, so the log's windows are empty
// until the clock has caught up.
func planned(ctx context.Context, conn *pgx.Conn) (fact.Fact, error) {
	var batch int64
	var ahead time.Duration
	var published bool
	err := conn.QueryRow(ctx, `
		SELECT batch, window_to - clock_timestamp(), published_at IS NOT NULL FROM exporter.plan ORDER BY window_to DESC, batch DESC LIMIT 1`).Scan(&batch, &ahead, &published)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fact.Fact{Name: "log", Value: "nothing exported yet"}, nil
	case err != nil:
		return fact.Fact{}, fault.Database("examine", "exporter.plan", err)
	case ahead > time.Minute:
		return fact.Fact{
			Name: "log", Value: fmt.Sprintf("batch %d ends %s in the future", batch, ahead.Round(time.Second)),
			Advice: "this database's clock was ahead; events are exported all the same, and until then consumers can't tell that the log is late",
		}, nil
	case !published:
		return fact.Fact{Name: "log", Value: fmt.Sprintf("batch %d is planned and not published", batch), Advice: "run `waybill export`"}, nil
	}
	return fact.Fact{Name: "log", Value: fmt.Sprintf("batch %d is published", batch)}, nil
}
