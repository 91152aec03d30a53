package exporter

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/decision"
	"waybill/internal/fault"
)

// Adoption is a log's change from one identity of its database to another.
type Adoption struct {
	Stream string `json:"stream"`
	From   string `json:"from"`
	To     string `json:"to"`
	Batch  int64  `json:"batch"` // the log's newest
}

// Adopt lets a log continue without a new generation after pg_upgrade, or another move that keeps
// transaction ids, has changed the database's identity. It refuses a database that does not continue
// where the log ends, and one whose predecessor still exists.
func (e *Exporter) Adopt(ctx context.Context, reason, person string) (a Adoption, err error) {
	if reason == "" {
		return a, fault.New(fault.Usage, "adopt", "patients database", errors.New("no reason given"), "add --reason TEXT")
	}
	_, err = e.locked(ctx, e.config.Wait, func(s *session, ctx context.Context) error {
		a, err = s.adopt(ctx, reason, person)
		return err
	})
	return a, err
}

func (s *session) adopt(ctx context.Context, reason, person string) (Adoption, error) {
	last, err := s.db.Last(ctx)
	if err != nil {
		return Adoption{}, err
	}
	if last == nil {
		return Adoption{}, fault.New(fault.Usage, "adopt", "patients database", errors.New("it has published nothing"), "run `waybill export`, which begins a log")
	}
	current, err := s.db.Identity(ctx)
	if err != nil {
		return Adoption{}, err
	}
	if current == last.Identity {
		return Adoption{}, fault.New(fault.Usage, "adopt", "patients database", fmt.Errorf("%s was planned in this database", last.Name()), "run `waybill export`")
	}
	if err := s.db.CheckSuccessor(ctx, last); err != nil {
		return Adoption{}, err
	}
	end, err := s.checkContinued(ctx, last)
	if err != nil {
		return Adoption{}, err
	}
	a := Adoption{Stream: s.contract.Name, From: last.Identity.String(), To: current.String(), Batch: end.Manifest.Batch}
	err = pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE exporter.plan SET system_identifier = $1, database_oid = $2
			WHERE stream = $5 AND system_identifier = $3 AND database_oid = $4`,
			current.System, current.Database, last.Identity.System, last.Identity.Database, s.contract.Name); err != nil {
			return err
		}
		return decision.Note(ctx, tx, "exporter", decision.Decision{
			Kind: "adopt", Subject: a.From + " is now " + a.To, Seen: end.Hash, Reason: reason, Person: person,
		})
	})
	return a, fault.Database("adopt", "patients database", err)
}

// checkContinued returns the log's end if this database published it, or was about to publish the next
// batch.
func (s *session) checkContinued(ctx context.Context, last *plan.Plan) (*exchange.Entry, error) {
	end, err := s.reader.Last(ctx)
	if err != nil {
		return nil, err
	}
	at, m := end.Hash, end.Manifest
	switch {
	case m.Batch == last.Batch && last.Hash != nil && at == *last.Hash,
		m.Batch == last.Batch-1 && !last.Published && at == *last.Previous:
		return end, nil
	case m.Batch > last.Batch:
		err = fmt.Errorf("the log ends with batch %d, and this database knows none behind %d: it was restored from before", m.Batch, last.Batch)
	default:
		err = fmt.Errorf("the log ends with batch %d, manifest %.8s, and this database planned %s", m.Batch, at, describePlan(last))
	}
	return nil, fault.New(fault.Poison, "adopt", "patients database", err, "see whether `store:` names the log's place; "+plan.NewGenerationHint)
}

func describePlan(p *plan.Plan) string {
	if p.Hash == nil {
		return p.Name()
	}
	return fmt.Sprintf("%s, manifest %.8s", p.Name(), *p.Hash)
}
