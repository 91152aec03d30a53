package exporter

import (
	"cmp"
	"context"
	"errors"
	"time"

	"waybill/exporter/batch"
	"waybill/exporter/patients"
	"waybill/exporter/plan"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/spool"
	"waybill/schemas"
)

// session is one run: a pinned connection, whose locks last as long as it does.
type session struct {
	*Exporter
	db      plan.DB
	spool   *spool.Folder
	parts   *batch.Converter
	summary Summary
	target  plan.Cursor // up to which the run exports; "" before it knows
	waiting int64       // events between the last published batch and the target; -1: not counted yet
	total   int64       // what waiting was when it was counted
	written int64       // events written into parts by this run
	glances bool        // asks for nothing behind the last manifest until something is to be published
}

// connect begins a run of the named work, without a lock.
func (e *Exporter) connect(ctx context.Context, work string) (*session, error) {
	conn, err := open(ctx, e.config.DatabaseURL, map[string]string{
		"application_name":     "waybill " + work,
		"synchronous_commit":   "on", // a plan that is lost after its batch was published would be a fork
		"statement_timeout":    "0",
		"idle_session_timeout": "0",
		"work_mem":             "64MB", // a batch is sorted once
		"jit":                  "off",  // compiling takes longer than it saves
	})
	if err != nil {
		return nil, err
	}
	s := &session{Exporter: e, db: plan.DB{Conn: conn, Stream: e.contract.Name, Seal: e.config.Secrets.Plan(e.config.Readers)}}
	s.begin()
	return s, nil
}

// begin forgets what an earlier run on this connection did.
func (s *session) begin() {
	s.summary, s.target, s.waiting, s.total, s.written, s.glances = Summary{Batches: []BatchSummary{}}, "", -1, 0, 0, false
}

// openSpool makes the run's folder for parts, unless an earlier run on this connection has.
func (s *session) openSpool(work string) (err error) {
	if s.spool != nil {
		return nil
	}
	if s.spool, err = spool.Open(s.config.Spool, work); err != nil {
		return err
	}
	s.parts = &batch.Converter{
		DB: s.db, Contract: s.contract, Reader: s.reader, Dir: s.spool.Dir, PartRows: s.config.PartRows, Progress: s.progress,
		Secrets: s.config.Secrets,
	}
	return nil
}

// lock begins an export: under the exporter's lock, and only while all changes are captured.
func (s *session) lock(ctx context.Context, wait time.Duration) error {
	if err := s.db.LockExport(ctx, wait, "export", "patients"); err != nil {
		return err
	}
	if err := s.checkStreams(ctx); err != nil {
		return err
	}
	if err := patients.CheckArmed(ctx, s.db.Conn); err != nil {
		return err
	}
	crashpoint.Here("export.1")
	return s.openSpool("export")
}

func (s *session) close() {
	if s.spool != nil {
		s.spool.Close()
	}
	s.db.Close()
}

// poll is catchUp for a run that may find nothing new.
func (s *session) poll(ctx context.Context) error {
	s.glances = true
	return s.catchUp(ctx)
}

// catchUp publishes batches until they reach the database's state at the beginning of the run.
func (s *session) catchUp(ctx context.Context) error {
	last, err := s.Resume(ctx)
	if err != nil {
		return err
	}
	if last.Kind == schemas.Genesis && last.After != plan.BeforeAll { // what its predecessor has reported, as states
		if err := s.publishSnapshot(ctx); err != nil {
			return err
		}
		if last, err = s.db.Last(ctx); err != nil {
			return err
		}
	}
	if s.target, err = s.db.CurrentCursor(ctx); err != nil {
		return err
	}
	// Again, after the cursor: tables may have been migrated during the run, and a later event may
	// have columns that this release does not know.
	if err := CheckTables(ctx, s.db); err != nil {
		return err
	}
	for last.After != s.target {
		next, err := s.planChanges(ctx, last)
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		if err := s.Publish(ctx, next); err != nil {
			return err
		}
		last = next
	}
	return s.lookAtRest(ctx, last)
}

// unsealed refuses to continue in the open after a sealed batch: a lost setting must not show patients to those who read the store.
func (s *session) unsealed(last *plan.Plan) error {
	if last.Seal == nil || s.db.Seal != nil {
		return nil
	}
	return fault.New(fault.Usage, "export", last.Name(), errors.New("the log's parts are sealed, and the settings do not say seal"), "give the settings back their seal: section; without it anybody who reads the store reads the patients")
}

// Resume publishes a batch that was planned earlier, or begins the log, and returns the last
// published batch.
func (s *session) Resume(ctx context.Context) (*plan.Plan, error) {
	last, err := s.db.Last(ctx)
	if err != nil {
		return nil, err
	}
	if last == nil {
		last, err = s.planGenesis(ctx)
	} else {
		last.Resumed = !last.Published
		err = cmp.Or(s.retired(last), s.unsealed(last), s.db.CheckIdentity(ctx, last))
	}
	if err != nil {
		return nil, err
	}
	if !last.Published {
		if err := s.Publish(ctx, last); err != nil {
			return nil, err
		}
		if err := s.retired(last); err != nil {
			return nil, err
		}
	}
	return last, s.look(ctx, last)
}
