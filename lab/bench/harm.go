package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// harming measures what an export of everything does to those who change patients meanwhile, and what capture writes.
func (s *site) harming(ctx context.Context, t *table) error {
	ids, err := s.someIDs(ctx, bulkRows)
	if err != nil {
		return err
	}
	quiet, err := s.slowest(ctx, "patients.patient", 1, ids)
	if err != nil {
		return err
	}
	if err := errors.Join(s.forget(ctx), os.RemoveAll(s.path("exchange")), os.Mkdir(s.path("exchange"), 0o755)); err != nil {
		return err
	}
	var busy, longest time.Duration
	all, running := errgroup.WithContext(ctx)
	exporting, done := context.WithCancel(running)
	all.Go(func() error {
		defer done()
		_, err := s.export(running)
		return err
	})
	all.Go(func() (err error) { busy, err = s.slowest(running, "patients.patient", 1, ids); return err })
	all.Go(func() (err error) { longest, err = s.longestExport(exporting); return err })
	if err := all.Wait(); err != nil {
		return err
	}
	t.ratio("a patient's UPDATE while everything is exported, p99", "while nothing is", goal{}, busy.Seconds()/quiet.Seconds())
	t.figure("the longest transaction of that export", "s", goal{}, longest.Seconds())
	return nil
}

// longestExport watches the exporter's transactions until the context ends, and returns the age that the oldest reached.
func (s *site) longestExport(ctx context.Context) (longest time.Duration, err error) {
	background := context.WithoutCancel(ctx)
	conn, err := pgx.Connect(background, s.server.SuperURL("postgres"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(background)
	for ctx.Err() == nil {
		var age time.Duration
		if err := conn.QueryRow(background, `SELECT coalesce(max(clock_timestamp() - xact_start), '0') FROM pg_stat_activity
			WHERE datname = $1 AND application_name LIKE 'waybill%'`, s.conn[patients].Config().Database).Scan(&age); err != nil {
			return 0, err
		}
		longest = max(longest, age)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return longest, nil
}
