package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	newsPerSecond = 200
	newsFor       = 5 * time.Second
)

// following has followers export and import at several intervals, while patients die one at a time, and says how long
// after its commit a death is visible in both consumers.
func (s *site) following(ctx context.Context, t *table) error {
	return s.watched(ctx, t, "a death a follower brings", time.Second, 100*time.Millisecond, 10*time.Millisecond)
}

// watched does so at some intervals.
func (s *site) watched(ctx context.Context, t *table, what string, intervals ...time.Duration) error {
	for _, every := range intervals {
		delays, err := s.delays(ctx, every)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s, --every %s, ", what, every)
		t.figure(what+"p50", "ms", goal{}, milliseconds(delays[len(delays)/2]))
		t.figure(what+"p99", "ms", atMost(milliseconds(2*every+20*time.Millisecond)), milliseconds(delays[len(delays)*99/100]))
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// delays returns, in order, how long each death took to both consumers.
func (s *site) delays(ctx context.Context, every time.Duration) (_ []time.Duration, err error) {
	if err := s.exchangeAll(ctx); err != nil {
		return nil, err
	}
	stop, err := s.follow(every)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return nil, err
	}
	watches := make([]watch, len(followed))
	watching, end := errgroup.WithContext(ctx)
	over := make(chan struct{})
	for i, consumer := range followed {
		watching.Go(func() error { return watches[i].run(end, s.urls[consumer], consumer, over) })
	}
	died, err := s.dieOneByOne(end)
	if err == nil {
		err = s.await(ctx, died)
	}
	close(over)
	if err := errors.Join(err, watching.Wait()); err != nil {
		return nil, err
	}
	return s.delaysOf(ctx, died, watches)
}

// followed are the consumers that must have a death before it counts as visible.
var followed = []string{"morgue", "mirror"}

// watch is when each batch was first seen applied.
type watch map[int64]time.Time

// run looks every millisecond how far the consumer is.
func (w *watch) run(ctx context.Context, url, consumer string, over <-chan struct{}) error {
	*w = watch{}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	last := int64(-1)
	for {
		var batch int64
		if err := conn.QueryRow(ctx, "SELECT batch FROM "+consumer+".checkpoint").Scan(&batch); err != nil {
			return err
		}
		for now := time.Now(); last < batch; last++ {
			(*w)[last+1] = now
		}
		select {
		case <-over:
			return nil
		case <-tick.C:
		}
	}
}

// await waits until all consumers have applied what was committed until now.
func (s *site) await(ctx context.Context, died map[string]time.Time) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var missing int
		var batches [2]int64
		err := s.conn["morgue"].QueryRow(ctx, `SELECT count(*) FROM unnest($1::uuid[]) AS d (id)
			WHERE NOT EXISTS (SELECT FROM morgue.effect_log e WHERE e.patient_id = d.id)`, slices.Collect(maps.Keys(died))).Scan(&missing)
		for i, consumer := range followed {
			if err == nil {
				err = s.conn[consumer].QueryRow(ctx, "SELECT batch FROM "+consumer+".checkpoint").Scan(&batches[i])
			}
		}
		if err != nil || missing == 0 && batches[1] >= batches[0] {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// delaysOf finds out in which batch each death was.
func (s *site) delaysOf(ctx context.Context, died map[string]time.Time, watches []watch) ([]time.Duration, error) {
	rows, _ := s.conn["morgue"].Query(ctx, `SELECT patient_id::text, min(batch) FROM morgue.effect_log WHERE patient_id = ANY ($1::uuid[]) GROUP BY 1`,
		slices.Collect(maps.Keys(died)))
	var delays []time.Duration
	var id string
	var batch int64
	_, err := pgx.ForEachRow(rows, []any{&id, &batch}, func() error {
		longest := time.Duration(0)
		for _, w := range watches {
			longest = max(longest, w[batch].Sub(died[id]))
		}
		delays = append(delays, longest)
		return nil
	})
	slices.Sort(delays)
	return delays, err
}

func (s *site) exchangeAll(ctx context.Context) error {
	_, err := s.export(ctx)
	for _, consumer := range followed {
		if err == nil {
			_, err = s.load(ctx, consumer)
		}
	}
	return err
}

// follow starts a follower of each party. What it returns stops them.
func (s *site) follow(every time.Duration) (stop func() error, err error) {
	var running []*exec.Cmd
	stop = func() (err error) {
		for _, cmd := range running {
			err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		}
		return err
	}
	for _, arguments := range [][]string{{"export"}, {"import", "morgue"}, {"import", "mirror"}} {
		cmd := exec.Command(s.path("waybill"), append(arguments, "--follow", "--every", every.String())...)
		cmd.Env, cmd.Stderr = append(os.Environ(), "WAYBILL_CONFIG="+s.dir), os.Stderr
		if err := cmd.Start(); err != nil {
			return stop, err
		}
		running = append(running, cmd)
	}
	return stop, nil
}

// dieOneByOne lets patients die at a steady rate, and returns when each death was committed.
func (s *site) dieOneByOne(ctx context.Context) (map[string]time.Time, error) {
	died := map[string]time.Time{}
	tick := time.NewTicker(time.Second / newsPerSecond)
	defer tick.Stop()
	for end := time.Now().Add(newsFor); time.Now().Before(end); {
		id, err := s.oneDies(ctx)
		if err != nil {
			return nil, err
		}
		died[id] = time.Now()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	return died, nil
}

func (s *site) oneDies(ctx context.Context) (id string, err error) {
	err = s.conn[patients].QueryRow(ctx, `UPDATE patients.patient SET death_status = 'informal'
		WHERE id = (SELECT id FROM patients.patient WHERE death_status = 'none' LIMIT 1) RETURNING id::text`).Scan(&id)
	return id, err
}
