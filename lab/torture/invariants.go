package main

import (
	"context"
	"strings"
	"time"

	"waybill/lab/site"
)

// keepWatch checks the invariants every second, while faults happen.
func (w *world) keepWatch(ctx context.Context) error {
	place, err := w.Place()
	if err != nil {
		return err
	}
	seen := map[string]position{}
	for _, service := range site.Services() {
		seen[service] = position{batch: -1}
	}
	turn, restores := 0, int32(0)
	return every(ctx, time.Second, func() error {
		for service, was := range seen {
			now, err := w.position(ctx, service, was.batch)
			if err != nil {
				continue // it is down
			}
			if n := w.history.restores.Load(); service == site.Patients && n != restores {
				restores = n &^ 1 // what a restored database has is seen afresh
				seen[service] = position{batch: -1}
				continue
			}
			w.compare(service, was, now)
			seen[service] = now
		}
		if turn++; turn%20 == 0 {
			w.verify(ctx)
		}
		looking, stop := context.WithTimeout(ctx, 5*time.Second)
		defer stop()
		_ = w.seen.Look(looking, place, false) // the store may be down
		return nil
	})
}

// position is a service's position, according to its own database.
type position struct {
	batch  int64
	hash   string
	before string // the hash, now, of the batch at which it was last seen
	gaps   int64  // in ledger or plan, and between ledger and checkpoint
}

const sourcePosition = `SELECT coalesce(max(batch) FILTER (WHERE published_at IS NOT NULL), -1),
	    coalesce((SELECT manifest_sha256 FROM exporter.plan WHERE published_at IS NOT NULL ORDER BY batch DESC LIMIT 1), ''),
	    coalesce((SELECT manifest_sha256 FROM exporter.plan WHERE batch = $1), ''),
	    coalesce(max(batch) + 1 - count(*), 0) + greatest(0, count(*) FILTER (WHERE published_at IS NULL) - 1)
	FROM exporter.plan`

const consumerPosition = `SELECT coalesce(max(c.batch), -1), coalesce(max(c.hash), ''),
	    coalesce((SELECT hash FROM CONSUMER.ledger WHERE batch = $1 AND rerun = 0), ''),
	    (SELECT coalesce(max(batch) + 1 - count(*), 0) FROM CONSUMER.ledger WHERE rerun = 0)
	    + abs(coalesce(max(c.batch), -1) - (SELECT coalesce(max(batch), -1) FROM CONSUMER.ledger))
	FROM CONSUMER.checkpoint c`

// position asks in one statement, so that all values are of one moment. For the source, what was published counts.
func (w *world) position(ctx context.Context, service string, before int64) (p position, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := w.Services[service].Connect(ctx)
	if err != nil {
		return p, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	query := sourcePosition
	if service != site.Patients {
		query = strings.ReplaceAll(consumerPosition, "CONSUMER", service)
	}
	err = conn.QueryRow(ctx, query, before).Scan(&p.batch, &p.hash, &p.before, &p.gaps)
	return p, err
}

func (w *world) compare(service string, was, now position) {
	switch {
	case now.batch < was.batch:
		w.history.breach("%s went back from batch %d to %d", service, was.batch, now.batch)
	case now.before != was.hash:
		w.history.breach("batch %d of %s is another than before", was.batch, service)
	case now.gaps != 0 && (service != site.Patients || w.history.restores.Load() == 0):
		w.history.breach("%s has gaps: %d, at batch %d", service, now.gaps, now.batch)
	}
}

// verify reads chain and parts of the whole log. The store may be down.
func (w *world) verify(ctx context.Context) {
	code, said := w.waybill(ctx, "verify")
	if code != exitDone && code != exitTransient && ctx.Err() == nil {
		w.history.breach("verify ended with %d: %s", code, said)
	}
}
