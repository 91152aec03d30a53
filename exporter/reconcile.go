package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	parts "waybill/exporter/batch"
	"waybill/exporter/patients"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/reconcile"
	"waybill/schemas"
)

// Source is the patients service's database as a side of a reconciliation. It implements
// [reconcile.Source]. Each method is one short read-only transaction or a few: events never
// change, so none needs to see what another saw.
type Source struct {
	db       plan.DB
	contract *schemas.Contract
}

// OpenSource connects to the source of a contract's stream; [Source.Close] ends the connection.
func OpenSource(ctx context.Context, databaseURL string, contract *schemas.Contract) (*Source, error) {
	conn, err := open(ctx, databaseURL, map[string]string{
		"application_name":              "waybill reconcile",
		"default_transaction_read_only": "on",
		"lock_timeout":                  "10s", // a migration goes first
		"statement_timeout":             "0",
		"jit":                           "off",
	})
	if err != nil {
		return nil, err
	}
	return &Source{plan.DB{Conn: conn, Stream: contract.Name}, contract}, nil
}

// Close ends the connection.
func (s *Source) Close() { s.db.Close() }

// Last returns the last batch that has a manifest; -1: none has.
func (s *Source) Last(ctx context.Context) (last int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT coalesce(max(batch), -1) FROM exporter.plan WHERE stream = $1 AND manifest IS NOT NULL`, s.db.Stream).Scan(&last)
	return last, fault.Database("read", "exporter.plan", err)
}

// Begins returns the oldest batch that was not pruned.
func (s *Source) Begins(ctx context.Context) (batch int64, err error) { return s.db.Floor(ctx) }

// Window returns the first and the last of the batches whose windows overlap the time from since
// until until.
func (s *Source) Window(ctx context.Context, since, until time.Time) (from, to int64, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT coalesce(min(batch), 0), coalesce(max(batch), -1) FROM exporter.plan
		WHERE stream = $3 AND manifest IS NOT NULL AND (window_to > $1 OR window_from >= $1) AND window_from < $2`, since, until, s.db.Stream).Scan(&from, &to)
	return from, to, fault.Database("read", "exporter.plan", err)
}

// Batch calls add with each of the batch's events, as the outbox has them now.
func (s *Source) Batch(ctx context.Context, batch int64, add func(tuple []byte) error) (reconcile.Published, error) {
	p, err := s.db.Of(ctx, batch)
	if err != nil {
		return reconcile.Published{}, err
	}
	if p == nil || p.Bytes == nil {
		return s.unplanned(ctx, batch)
	}
	published := reconcile.Published{Manifest: *p.Hash}
	err = s.db.CheckIdentity(ctx, p)
	if fault.ClassOf(err) == fault.Poison {
		published.Uncountable = "this database is not the one that published it, or was rolled back since"
		return published, nil
	}
	if err != nil {
		return published, err
	}
	m, err := p.Manifest()
	if err != nil {
		return published, err
	}
	if published.Uncountable, err = s.elsewhere(ctx, p); err != nil || published.Uncountable != "" {
		return published, err
	}
	published.Events = m.Totals.Rows
	if m.Totals.Rows == 0 && m.Kind == schemas.Genesis {
		return published, nil
	}
	return published, parts.CopyTuples(ctx, s.db, p, s.contract, add)
}

// elsewhere returns the reason why a batch can't be compared with the outbox, if there is one.
func (s *Source) elsewhere(ctx context.Context, p *plan.Plan) (string, error) {
	if p.Forgotten() {
		return "the plans of the batches that it corrects were pruned", nil
	}
	correction, err := s.db.CorrectionOf(ctx, p)
	if err != nil || correction == nil || !correction.Published {
		return "", err
	}
	return fmt.Sprintf("batch %d corrects it, and is compared instead", correction.Batch), nil
}

// unplanned distinguishes a batch that another database published from one that was never published.
func (s *Source) unplanned(ctx context.Context, batch int64) (reconcile.Published, error) {
	var first int64
	err := s.db.QueryRow(ctx, `SELECT batch FROM exporter.plan WHERE stream = $1 ORDER BY batch LIMIT 1`, s.db.Stream).Scan(&first)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return reconcile.Published{}, fault.Database("read", "exporter.plan", err)
	}
	begins, failed := s.Begins(ctx)
	if failed != nil {
		return reconcile.Published{}, failed
	}
	if batch < begins {
		return reconcile.Published{Uncountable: "it was pruned"}, nil
	}
	if err == nil && batch < first {
		return reconcile.Published{Uncountable: "another database published it"}, nil
	}
	return reconcile.Published{}, nil
}

// Erased returns the patients that were erased, with the version of the event that says so.
func (s *Source) Erased(ctx context.Context) (map[uuid.UUID]int64, error) {
	return s.versions(ctx, `SELECT patient_id, version FROM patients.erasure`)
}

// Newest returns the newest version that the outbox has of each of these patients.
func (s *Source) Newest(ctx context.Context, of []uuid.UUID) (map[uuid.UUID]int64, error) {
	return s.versions(ctx, `SELECT patient_id, max(version) FROM patients.outbox WHERE patient_id = ANY ($1) GROUP BY patient_id`, of)
}

// versions reads a query's patients, each with a version.
func (s *Source) versions(ctx context.Context, query string, arguments ...any) (map[uuid.UUID]int64, error) {
	rows, _ := s.db.Query(ctx, query, arguments...)
	versions := map[uuid.UUID]int64{}
	var patient uuid.UUID
	var version int64
	_, err := pgx.ForEachRow(rows, []any{&patient, &version}, func() error { versions[patient] = version; return nil })
	return versions, fault.Database("read", "events", err)
}

// Divergent reports the patients whose rows and last events differ.
func (s *Source) Divergent(ctx context.Context, add func(patient uuid.UUID, kind string)) error {
	return patients.EachDivergence(ctx, s.db.Conn, func(d patients.Divergence) error {
		add(d.Patient, d.Kind)
		return nil
	})
}
