package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	withoutTriggers = "the same without triggers"
	bulkRows        = 50_000
	updates         = 1000 // of each client
)

// capturing compares changes to patients with the same changes to a copy of their table that has no triggers.
func (s *site) capturing(ctx context.Context, t *table) error {
	if _, err := s.conn[patients].Exec(ctx, `DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE patients.patient INCLUDING ALL);
		INSERT INTO bare SELECT * FROM patients.patient; ANALYZE bare`); err != nil {
		return err
	}
	ids, err := s.someIDs(ctx, bulkRows)
	if err != nil {
		return err
	}
	var bare, captured time.Duration
	plain, err := s.written(ctx, func() (err error) { bare, err = s.updateAll(ctx, "bare", ids); return err })
	if err != nil {
		return err
	}
	wal, err := s.written(ctx, func() (err error) { captured, err = s.updateAll(ctx, "patients.patient", ids); return err })
	if err != nil {
		return err
	}
	t.ratio("capture, WAL of an update", withoutTriggers, goal{}, wal/plain)
	t.figure("capture, WAL that an update writes more, rounded down", "bytes", goal{}, float64(int(wal-plain)/len(ids)))
	t.figure("capture, one large transaction", "events/s", atLeast(20_000), float64(len(ids))/captured.Seconds())
	t.ratio("capture, one large transaction", withoutTriggers, goal{}, bare.Seconds()/captured.Seconds())
	for _, c := range []struct {
		clients int
		goal    goal
	}{{1, atMost(1.3)}, {8, atMost(1.6)}} {
		bare, err := s.slowest(ctx, "bare", c.clients, ids)
		if err != nil {
			return err
		}
		captured, err := s.slowest(ctx, "patients.patient", c.clients, ids)
		if err != nil {
			return err
		}
		t.ratio(fmt.Sprintf("capture, p99 of one patient's UPDATE, %d at a time", c.clients), withoutTriggers, c.goal, captured.Seconds()/bare.Seconds())
	}
	return nil
}

func (s *site) someIDs(ctx context.Context, n int) ([]uuid.UUID, error) {
	rows, _ := s.conn[patients].Query(ctx, `SELECT id::text FROM patients.patient ORDER BY id LIMIT $1`, n)
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	ids := make([]uuid.UUID, len(texts))
	for i := range texts {
		ids[i] = uuid.MustParse(texts[i])
	}
	return ids, err
}

// address returns one that is as long as others, and hardly anyone's yet.
func address() string { return fmt.Sprintf("Street %05d", time.Now().Nanosecond()%100_000) }

func (s *site) updateAll(ctx context.Context, table string, ids []uuid.UUID) (time.Duration, error) {
	return s.timed(ctx, func(ctx context.Context) error {
		_, err := s.conn[patients].Exec(ctx, `UPDATE `+table+` SET address_line = $1 WHERE id = ANY ($2)`, address(), ids)
		return err
	})
}

// slowest lets clients update one patient at a time, and returns the time that one in a hundred updates exceeds.
func (s *site) slowest(ctx context.Context, table string, clients int, ids []uuid.UUID) (time.Duration, error) {
	took := make([]time.Duration, clients*updates)
	_, err := s.timed(ctx, func(ctx context.Context) error {
		all, ctx := errgroup.WithContext(ctx)
		for client := range clients {
			all.Go(func() error { return s.updateEach(ctx, table, client, ids, took[client*updates:][:updates]) })
		}
		return all.Wait()
	})
	slices.Sort(took)
	return took[len(took)*99/100], err
}

func (s *site) updateEach(ctx context.Context, table string, client int, ids []uuid.UUID, took []time.Duration) error {
	conn, err := pgx.Connect(ctx, s.urls[patients])
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	random := rand.New(rand.NewPCG(uint64(client), 1))
	for i := range took {
		began := time.Now()
		if _, err := conn.Exec(ctx, `UPDATE `+table+` SET address_line = $1 WHERE id = $2`, address(), ids[random.IntN(len(ids))]); err != nil {
			return err
		}
		took[i] = time.Since(began)
	}
	return nil
}

// written returns how many bytes of WAL something writes.
func (s *site) written(ctx context.Context, do func() error) (bytes float64, err error) {
	var from string
	if err := s.conn[patients].QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&from); err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	err = s.conn[patients].QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::float8`, from).Scan(&bytes)
	return bytes, err
}
