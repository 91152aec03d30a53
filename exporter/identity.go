package exporter

import (
	"context"
	"errors"
	"fmt"

	"waybill/exchange"
	"waybill/internal/fault"
)

const (
	newGenerationHint = "if this database was restored, rolled back or replaced on purpose, continue with `waybill export --new-generation`"
	adoptHint         = "if pg_upgrade or a move changed this, and no other database writes the log: `waybill adopt --reason TEXT`; "
)

func (i identity) String() string {
	return fmt.Sprintf("cluster %d, database %d", i.system, i.database)
}

func (s *session) identity(ctx context.Context) (identity, error) {
	var id identity
	err := s.conn.QueryRow(ctx, `SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())
		FROM pg_control_system()`).Scan(&id.system, &id.database)
	return id, fault.Database("read", "system identifier", err)
}

// checkIdentity refuses a database that is a restored copy of the one that wrote the last plan,
// or whose transaction ids have gone backwards: its cursors would mean other transactions.
func (s *session) checkIdentity(ctx context.Context, last *plan) error {
	id, err := s.identity(ctx)
	if err != nil {
		return err
	}
	if id != last.identity {
		return fault.New(fault.Poison, "check", "patients database",
			fmt.Errorf("%s was planned in %s; this is %s", batchName(last.batch), last.identity, id), adoptHint+newGenerationHint)
	}
	return s.checkForward(ctx, last)
}

func (s *session) checkForward(ctx context.Context, last *plan) error {
	var forward bool
	err := s.conn.QueryRow(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot()) >= pg_snapshot_xmax($1::text::pg_snapshot)`,
		last.cursorAfter).Scan(&forward)
	if err != nil {
		return fault.Database("read", "cursor", err)
	}
	if !forward {
		return backwards(last)
	}
	return nil
}

func backwards(last *plan) error {
	return fault.New(fault.Poison, "check", "patients database",
		fmt.Errorf("transaction ids have gone backwards since %s was planned", batchName(last.batch)), newGenerationHint)
}

// checkLog holds the plan table against the store: the last published batch is there as
// published, and nothing is behind it. A database that was rolled back has forgotten batches
// that the log still holds.
func (s *session) checkLog(ctx context.Context, last *plan) error {
	entry, err := s.reader.Open(ctx, last.batch)
	switch {
	case errors.Is(err, exchange.ErrNotFound):
		return fault.New(fault.Poison, "check", "log", fmt.Errorf("%s was published and is not on the store", batchName(last.batch)),
			fmt.Sprintf("see whether `store:` names the log's place, and is mounted; only if it does, restore its files, or write them again from this database: `waybill repair %d..%d`", s.firstPlan(ctx), last.batch))
	case err != nil:
		return err
	case entry.Hash != *last.hash:
		return fault.New(fault.Poison, "check", "log", fmt.Errorf("%s on the store is not the one this database published", batchName(last.batch)),
			"see whether a second database writes this log; "+newGenerationHint)
	}
	return s.checkAhead(ctx, last)
}

// firstPlan returns the oldest batch that this database can write again: 0, where nothing was pruned.
func (s *session) firstPlan(ctx context.Context) (batch int64) {
	_ = s.conn.QueryRow(ctx, `SELECT min(batch) FROM exporter.plan`).Scan(&batch)
	return batch
}

func (s *session) checkAhead(ctx context.Context, last *plan) error {
	_, err := s.reader.Open(ctx, last.batch+1)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err != nil && !exchange.IsTorn(err) {
		return err
	}
	return fault.New(fault.Poison, "check", "log", fmt.Errorf("the store holds %s, of which this database knows nothing",
		batchName(last.batch+1)), "see whether a second database writes this log; "+newGenerationHint)
}
