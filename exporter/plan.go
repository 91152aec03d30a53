package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/schemas"
)

// planGenesis plans batch 0, which holds no events: it names the log, the contract and the heartbeat. A
// stream that succeeds another begins at that stream's position and in its generation: patients have the
// same versions in both.
func (s *session) planGenesis(ctx context.Context) (*plan.Plan, error) {
	if _, err := s.reader.Last(ctx); err == nil {
		return nil, fault.New(fault.Poison, "begin", "log", errors.New("the store holds a log that this database did not write"),
			"correct the store's URL; or, if this database replaces the one that wrote the log, continue it with `waybill export --new-generation`")
	} else if !errors.Is(err, exchange.ErrNotFound) {
		return nil, err
	}
	if err := s.writer.Readme(ctx); err != nil {
		return nil, err
	}
	genesis := &plan.Plan{Log: uuid.New(), Kind: schemas.Genesis, Generation: 1, After: plan.BeforeAll}
	_, before, err := s.db.Predecessor(ctx)
	if err != nil {
		return nil, err
	}
	if before != nil {
		genesis.Generation, genesis.After = before.Generation, before.After
	}
	genesis.Before = genesis.After
	return s.db.Insert(ctx, genesis)
}

// planChanges plans the batch between the last one's cursor and the target, or the first portion of
// it if more than BatchEvents wait. It returns nil if there are no events and the heartbeat is
// not due.
func (s *session) planChanges(ctx context.Context, last *plan.Plan) (_ *plan.Plan, err error) {
	next := last.Following(schemas.Changes)
	next.After = s.target
	if due, err := s.due(ctx, next); err != nil || !due {
		return nil, err
	}
	if next.After, err = s.db.Cut(ctx, last.After, s.target, s.config.BatchEvents); err != nil {
		return nil, err
	}
	if err := s.lookAhead(ctx, last); err != nil {
		return nil, err
	}
	return s.db.Insert(ctx, next)
}

// due reports whether a batch has events, or its predecessor is a heartbeat old. If the clock was set back since then, a
// heartbeat is due by the new time: windows wait for the clock, but heartbeats must not.
func (s *session) due(ctx context.Context, p *plan.Plan) (bool, error) {
	var due bool
	err := s.db.Once(ctx, `SELECT EXISTS (SELECT FROM patients.outbox WHERE `+plan.Between(p.Before, p.After)+`)
		OR clock_timestamp() NOT BETWEEN planned_at AND planned_at + $2::interval FROM exporter.plan WHERE stream = $3 AND batch = $1`, p.Batch-1, s.config.Heartbeat, s.db.Stream).Scan(&due)
	return due, fault.Database("read", "outbox", err)
}

// planSnapshot plans a batch of every patient's state at the last batch's cursor. The cursor
// does not move, so the batch neither takes events from the next one nor repeats any as changes.
func (s *session) planSnapshot(ctx context.Context, last *plan.Plan) (*plan.Plan, error) {
	if err := s.lookAhead(ctx, last); err != nil {
		return nil, err
	}
	next := last.Following(schemas.Snapshot)
	next.Snapshot = &next.Batch
	return s.db.Insert(ctx, next)
}

// lookEvery bounds how long a batch of another database may go unnoticed by runs that publish nothing.
const lookEvery = 5 * time.Minute

// look compares the plan table with the store: the last published batch must be unchanged, with nothing after it. If the
// database was rolled back, the log still has batches that the database does not know. A run that glances leaves the
// second to [session.lookAhead] and [session.lookAtRest].
func (s *session) look(ctx context.Context, last *plan.Plan) error {
	if err := s.checkLast(ctx, last); err != nil || s.glances {
		return err
	}
	return s.checkAhead(ctx, last)
}

// lookAhead looks behind the last batch, if this run has not, before another is planned for that place.
func (s *session) lookAhead(ctx context.Context, last *plan.Plan) error {
	if !s.glances {
		return nil
	}
	s.glances = false
	return s.checkAhead(ctx, last)
}

// lookAtRest looks behind the last batch, if this run has published none, and no run has looked since it was published
// and not long ago.
func (s *session) lookAtRest(ctx context.Context, last *plan.Plan) error {
	if !s.glances {
		return nil
	}
	looked, err := s.db.Looked(ctx, last, lookEvery)
	if err != nil || looked {
		return err
	}
	if err := s.checkAhead(ctx, last); err != nil {
		return err
	}
	return s.db.NoteLook(ctx, last)
}

func (s *session) checkLast(ctx context.Context, last *plan.Plan) error {
	entry, err := s.reader.Open(ctx, last.Batch)
	switch {
	case errors.Is(err, exchange.ErrNotFound):
		return fault.New(fault.Poison, "check", "log", fmt.Errorf("%s was published and is not on the store", last.Name()),
			fmt.Sprintf("see whether `store:` names the log's place, and is mounted; only if it does, restore its files, or write them again from this database: `waybill repair %d..%d`", s.firstPlan(ctx), last.Batch))
	case err != nil:
		return err
	case entry.Hash != *last.Hash:
		return fault.New(fault.Poison, "check", "log", fmt.Errorf("%s on the store is not the one this database published", last.Name()),
			"see whether a second database writes this log; "+plan.NewGenerationHint)
	}
	return nil
}

// firstPlan returns the oldest batch that this database can write again. It is 0 if nothing was pruned.
func (s *session) firstPlan(ctx context.Context) (batch int64) {
	_ = s.db.QueryRow(ctx, `SELECT min(batch) FROM exporter.plan WHERE stream = $1`, s.db.Stream).Scan(&batch)
	return batch
}

func (s *session) checkAhead(ctx context.Context, last *plan.Plan) error {
	_, err := s.reader.Open(ctx, last.Batch+1)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err != nil && !exchange.IsTorn(err) {
		return err
	}
	return fault.New(fault.Poison, "check", "log", fmt.Errorf("the store holds %s, of which this database knows nothing",
		plan.Name(last.Batch+1)), "see whether a second database writes this log; "+plan.NewGenerationHint)
}
