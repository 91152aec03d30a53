package exporter

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/decision"
	"waybill/internal/fault"
)

// Adoption is a log's change from one identity of its database to another.
type Adoption struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Batch int64  `json:"batch"` // the log's newest
}

// Adopt lets a log continue without a new generation after pg_upgrade, or another move that keeps
// transaction ids, has changed the database's identity. It refuses a database that does not continue
// where the log ends, and one whose predecessor still exists.
func (e *Exporter) Adopt(ctx context.Context, reason, person string) (a Adoption, err error) {
	if reason == "" {
		return a, fault.New(fault.Usage, "adopt", "patients database", errors.New("no reason given"), "add --reason TEXT")
	}
	_, err = e.locked(ctx, func(s *session, ctx context.Context) error {
		a, err = s.adopt(ctx, reason, person)
		return err
	})
	return a, err
}

func (s *session) adopt(ctx context.Context, reason, person string) (Adoption, error) {
	last, err := s.lastPlan(ctx)
	if err != nil {
		return Adoption{}, err
	}
	if last == nil {
		return Adoption{}, fault.New(fault.Usage, "adopt", "patients database", errors.New("it has published nothing"), "run `waybill export`, which begins a log")
	}
	id, err := s.identity(ctx)
	if err != nil {
		return Adoption{}, err
	}
	if id == last.identity {
		return Adoption{}, fault.New(fault.Usage, "adopt", "patients database", fmt.Errorf("%s was planned in this database", batchName(last.batch)), "run `waybill export`")
	}
	for _, check := range []func(context.Context, *plan) error{s.checkReplaced, s.checkForward, s.checkRecorded} {
		if err := check(ctx, last); err != nil {
			return Adoption{}, err
		}
	}
	end, err := s.checkContinued(ctx, last)
	if err != nil {
		return Adoption{}, err
	}
	a := Adoption{From: last.identity.String(), To: id.String(), Batch: end.Manifest.Batch}
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE exporter.plan SET system_identifier = $1, database_oid = $2
			WHERE system_identifier = $3 AND database_oid = $4`, id.system, id.database, last.identity.system, last.identity.database); err != nil {
			return err
		}
		return decision.Note(ctx, tx, "exporter", decision.Decision{
			Kind: "adopt", Subject: a.From + " is now " + a.To, Seen: end.Hash, Reason: reason, Person: person,
		})
	})
	return a, fault.Database("adopt", "patients database", err)
}

// checkReplaced refuses a copy next to its original: both would write the log.
func (s *session) checkReplaced(ctx context.Context, last *plan) error {
	var name string
	err := s.conn.QueryRow(ctx, `SELECT datname FROM pg_database, pg_control_system() WHERE oid = $1 AND system_identifier = $2`,
		last.identity.database, last.identity.system).Scan(&name)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fault.Database("read", "pg_database", err)
	}
	return fault.New(fault.Poison, "adopt", "patients database", fmt.Errorf("it is a copy: database %q, which writes the log, still exists in this cluster", name),
		fmt.Sprintf("export from %[1]q; if this copy replaces it, stop its writers and `DROP DATABASE %[1]s` first", name))
}

// checkRecorded refuses events that this cluster's transaction ids have not reached, as a dump
// restored into a younger cluster has them: cursors would pass them over.
func (s *session) checkRecorded(ctx context.Context, last *plan) error {
	var forward bool
	err := s.conn.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM patients.outbox WHERE tx >= pg_snapshot_xmax(pg_current_snapshot()))`).Scan(&forward)
	if err != nil {
		return fault.Database("read", "outbox", err)
	}
	if !forward {
		return backwards(last)
	}
	return nil
}

// checkContinued returns the log's end if this database published it, or was about to publish the next
// batch.
func (s *session) checkContinued(ctx context.Context, last *plan) (*exchange.Entry, error) {
	end, err := s.reader.Last(ctx)
	if err != nil {
		return nil, err
	}
	at, m := end.Hash, end.Manifest
	switch {
	case m.Batch == last.batch && last.hash != nil && at == *last.hash,
		m.Batch == last.batch-1 && !last.published && at == *last.previous:
		return end, nil
	case m.Batch > last.batch:
		err = fmt.Errorf("the log ends with batch %d, and this database knows none behind %d: it was restored from before", m.Batch, last.batch)
	default:
		err = fmt.Errorf("the log ends with batch %d, manifest %.8s, and this database planned %s", m.Batch, at, describePlan(last))
	}
	return nil, fault.New(fault.Poison, "adopt", "patients database", err, "see whether `store:` names the log's place; "+newGenerationHint)
}

func describePlan(p *plan) string {
	if p.hash == nil {
		return batchName(p.batch)
	}
	return fmt.Sprintf("%s, manifest %.8s", batchName(p.batch), *p.hash)
}
