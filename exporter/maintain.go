package exporter

import (
	"context"
	"time"

	"waybill/exporter/prune"
	"waybill/exporter/rerun"
)

// Rerun compares published batches with the outbox: see [rerun.Log.Rerun]. Unlike the other methods,
// it takes the exporter's lock only if there is something to repair or correct.
func (e *Exporter) Rerun(ctx context.Context, options rerun.Options) (rerun.Summary, error) {
	none := rerun.Summary{Batches: []*rerun.Checked{}, Corrections: []rerun.Correction{}, DryRun: options.DryRun}
	if err := options.Check(); err != nil {
		return none, err
	}
	s, err := e.connect(ctx, "rerun")
	if err != nil {
		return none, err
	}
	defer s.close()
	if err := s.openSpool("rerun"); err != nil {
		return none, err
	}
	return s.rerun().Rerun(ctx, options)
}

func (s *session) rerun() *rerun.Log {
	return &rerun.Log{
		Converter: s.parts, Writer: s.writer, Delete: s.config.Delete, BatchEvents: s.config.BatchEvents, Publisher: s,
	}
}

// Repair puts lost or damaged parts and manifests of published batches (from and to included) on
// the store again, from the outbox and the plans. It leaves whole files alone.
func (e *Exporter) Repair(ctx context.Context, from, to int64) (Summary, error) {
	return e.locked(ctx, e.config.Wait, func(s *session, ctx context.Context) error {
		for batch := from; batch <= to; batch++ {
			started := time.Now()
			p, err := s.rerun().Repair(ctx, batch)
			if err != nil {
				return err
			}
			if err := s.report(p, time.Since(started)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Prune deletes what is older than the options say: see [prune.Log.Prune].
func (e *Exporter) Prune(ctx context.Context, options prune.Options) (prune.Summary, error) {
	s, err := e.connect(ctx, "prune")
	if err != nil {
		return prune.Summary{}, err
	}
	defer s.close()
	if err := s.openSpool("prune"); err != nil {
		return prune.Summary{}, err
	}
	log := prune.Log{
		DB: s.db, Reader: s.reader, Writer: s.writer, Delete: s.config.Delete,
		Dir: s.spool.Dir, Release: s.config.Release, Logger: s.config.Log,
	}
	return log.Prune(ctx, options)
}
