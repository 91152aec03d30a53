package exporter

import (
	"context"
	"io"

	"waybill/internal/fault"
	"waybill/schemas"
)

func (s *session) snapshot(ctx context.Context) error {
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	return s.publishSnapshot(ctx)
}

func (s *session) snapshotIfChanged(ctx context.Context) error {
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	if stands, err := s.standing(ctx); err != nil || stands {
		return err
	}
	return s.publishSnapshot(ctx)
}

func (s *session) publishSnapshot(ctx context.Context) error {
	last, err := s.lastPlan(ctx)
	if err != nil {
		return err
	}
	next, err := s.planSnapshot(ctx, last)
	if err != nil {
		return err
	}
	if err := s.finish(ctx, next); err != nil {
		return err
	}
	m, err := schemas.ParseManifest(next.manifest)
	if err != nil {
		return fault.New(fault.Poison, "read", "stored manifest of "+batchName(next.batch), err, "")
	}
	return s.readBack(ctx, m)
}

// standing reports whether the newest snapshot still holds: no event has gone out since, and it is
// whole, and so is the log behind it. A damaged one is no reason to do without another.
func (s *session) standing(ctx context.Context) (bool, error) {
	last, err := s.lastPlan(ctx)
	if err != nil || last.snapshot == nil {
		return false, err
	}
	var unchanged bool
	err = s.conn.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM exporter.plan WHERE batch > $1 AND (events > 0 OR generation > $2))
		AND EXISTS (SELECT FROM exporter.plan WHERE batch = $1)`, *last.snapshot, last.generation).Scan(&unchanged)
	if err != nil || !unchanged {
		return false, fault.Database("read", "exporter.plan", err)
	}
	var snapshot *schemas.Manifest
	for entry, err := range s.reader.Entries(ctx, *last.snapshot, last.batch) {
		if err != nil {
			return false, whole(err)
		}
		if snapshot == nil {
			snapshot = entry.Manifest
		}
	}
	if err := s.readBack(ctx, snapshot); err != nil {
		return false, whole(err)
	}
	s.summary.Standing = last.snapshot
	return true, nil
}

// whole returns the errors that leave open whether what was read is whole.
func whole(err error) error {
	switch fault.ClassOf(err) {
	case fault.Poison, fault.NotYet:
		return nil
	default:
		return err
	}
}

// readBack reads a batch's parts again, size and hash, without a copy on disk.
func (s *session) readBack(ctx context.Context, m *schemas.Manifest) error {
	for _, part := range m.Parts {
		if err := s.reader.Fetch(ctx, part, io.Discard); err != nil {
			return fault.New(fault.ClassOf(err), "read back", batchName(m.Batch), err, fault.HintOf(err))
		}
	}
	return nil
}
