package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/site"
)

// delays are the times from an event's commit at the source to the commit of the load that makes
// it visible at a consumer, as the server recorded them.
type delays struct {
	after int64 // the last batch that was collected
	all   map[string][]time.Duration
}

func newDelays(seconds int) *delays {
	d := &delays{after: -1, all: map[string][]time.Duration{}}
	for _, consumer := range site.Consumers() { // so that this instrument doesn't grow meanwhile
		d.all[consumer] = make([]time.Duration, 0, 8*seconds)
	}
	return d
}

// skip ignores everything that was exported until now.
func (d *delays) skip(ctx context.Context, s *site.Site) error {
	return withConnections(ctx, s, func(conns map[string]*pgx.Conn) error {
		return conns[site.Patients].QueryRow(ctx, `SELECT max(batch) FROM exporter.plan`).Scan(&d.after)
	})
}

// collect adds the batches that all consumers have loaded since the last call, and returns a summary.
func (d *delays) collect(ctx context.Context, s *site.Site) (text string, err error) {
	err = withConnections(ctx, s, func(conns map[string]*pgx.Conn) error {
		visible, until := map[string]map[int64]time.Time{}, int64(1<<40)
		for _, consumer := range site.Consumers() {
			times, err := d.visible(ctx, conns[consumer], consumer)
			if err != nil {
				return err
			}
			visible[consumer], until = times, min(until, d.after+int64(len(times)))
		}
		fresh := map[string][]time.Duration{}
		err := d.committed(ctx, conns[site.Patients], until, func(batch int64, at time.Time) {
			for consumer, times := range visible {
				fresh[consumer] = append(fresh[consumer], times[batch].Sub(at))
			}
		})
		d.after = until
		for consumer := range visible {
			d.all[consumer] = append(d.all[consumer], fresh[consumer]...)
		}
		text = summary(fresh)
		return err
	})
	return text, err
}

// visible returns when the batches' loads were committed.
func (d *delays) visible(ctx context.Context, conn *pgx.Conn, consumer string) (map[int64]time.Time, error) {
	times := map[int64]time.Time{}
	rows, err := conn.Query(ctx, `SELECT batch, pg_xact_commit_timestamp(xmin) FROM `+pgx.Identifier{consumer, "ledger"}.Sanitize()+`
		WHERE batch > $1 AND rerun = 0`, d.after)
	if err != nil {
		return nil, err
	}
	var batch int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&batch, &at}, func() error { times[batch] = at; return nil })
	return times, err
}

// committed yields when each event was committed, and the batch that holds it.
func (d *delays) committed(ctx context.Context, conn *pgx.Conn, until int64, add func(batch int64, at time.Time)) error {
	rows, err := conn.Query(ctx, `SELECT p.batch, pg_xact_commit_timestamp(o.xmin) FROM exporter.plan p
		JOIN patients.outbox o ON o.tx >= pg_snapshot_xmin(p.cursor_before) AND o.tx < pg_snapshot_xmax(p.cursor_after)
		    AND NOT pg_visible_in_snapshot(o.tx, p.cursor_before) AND pg_visible_in_snapshot(o.tx, p.cursor_after)
		WHERE p.batch > $1 AND p.batch <= $2`, d.after, until)
	if err != nil {
		return err
	}
	var batch int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&batch, &at}, func() error { add(batch, at); return nil })
	return err
}

// summary returns each consumer's percentiles.
func summary(of map[string][]time.Duration) string {
	var texts []string
	for _, consumer := range site.Consumers() {
		texts = append(texts, fmt.Sprintf("%s p50 %s p99 %s max %s", consumer,
			percentile(of[consumer], 50), percentile(of[consumer], 99), percentile(of[consumer], 100)))
	}
	return strings.Join(texts, ", ")
}

// percentile returns 0 for no values.
func percentile(of []time.Duration, percent int) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[(len(sorted)-1)*percent/100].Round(time.Millisecond)
}
