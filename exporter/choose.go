package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// Choose returns the batches that this database has published and whose windows overlap the time from since until
// until. With recorded, it returns the batches that may have events recorded in that time, judged by what their parts
// span. If there is none, the error is of class [fault.Usage] and says what time the batches cover.
func (e *Exporter) Choose(ctx context.Context, since, until time.Time, recorded bool) ([]int64, error) {
	conn, err := connectTo(ctx, e.config.DatabaseURL, "rerun")
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	condition := `(window_to > $1 OR window_from >= $1) AND window_from < $2`
	if recorded {
		condition = `events > 0 AND EXISTS (SELECT FROM jsonb_array_elements(convert_from(manifest, 'UTF8')::jsonb -> 'parts') AS part
			WHERE (part ->> 'recorded_from')::timestamptz < $2 AND (part ->> 'recorded_to')::timestamptz >= $1)`
	}
	rows, _ := conn.Query(ctx, `SELECT batch FROM exporter.plan WHERE stream = $3 AND published_at IS NOT NULL AND `+condition+` ORDER BY batch`, since, until, e.contract.Name)
	batches, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fault.Database("read", "exporter.plan", err)
	}
	if len(batches) == 0 {
		err = e.noneOf(ctx, conn)
	}
	return batches, err
}

// noneOf names the batches that exist, if none was chosen.
func (e *Exporter) noneOf(ctx context.Context, conn *pgx.Conn) error {
	var first, last *int64
	var from, to *time.Time
	if err := conn.QueryRow(ctx, `SELECT min(batch), max(batch), min(window_from), max(window_to) FROM exporter.plan WHERE stream = $1 AND published_at IS NOT NULL`, e.contract.Name).
		Scan(&first, &last, &from, &to); err != nil {
		return fault.Database("read", "exporter.plan", err)
	}
	known := "this database has published nothing"
	if first != nil {
		known = fmt.Sprintf("this database has published batches %d..%d, of %s to %s", *first, *last, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	return fault.New(fault.Usage, "choose", "batches", errors.New("there is none in that time: "+known), "`waybill batches` lists the newest")
}
