package exporter

import (
	"cmp"
	"context"
	"io"

	"waybill/exporter/plan"
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
	if holds, err := s.stillHolds(ctx); err != nil || holds {
		return err
	}
	return s.publishSnapshot(ctx)
}

func (s *session) publishSnapshot(ctx context.Context) error {
	last, err := s.db.Last(ctx)
	if err != nil {
		return err
	}
	next, err := s.planSnapshot(ctx, last)
	if err != nil {
		return err
	}
	if err := s.Publish(ctx, next); err != nil {
		return err
	}
	m, err := next.Manifest()
	if err != nil {
		return err
	}
	return s.readBack(ctx, m)
}

// stillHolds reports whether the newest snapshot is still current: no event was published since, the snapshot is sealed to the keys
// of today, and it and the log after it are whole.
func (s *session) stillHolds(ctx context.Context) (bool, error) {
	last, err := s.db.Last(ctx)
	if err != nil || last.Snapshot == nil {
		return false, err
	}
	var unchanged bool
	err = s.db.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM exporter.plan WHERE stream = $2 AND batch > $1 AND events > 0)
		AND EXISTS (SELECT FROM exporter.plan WHERE stream = $2 AND batch = $1 AND seal IS NOT DISTINCT FROM $3)`,
		*last.Snapshot, s.db.Stream, s.db.Seal).Scan(&unchanged)
	if err != nil || !unchanged {
		return false, fault.Database("read", "exporter.plan", err)
	}
	var snapshot *schemas.Manifest
	for entry, err := range s.reader.Entries(ctx, *last.Snapshot, last.Batch) {
		if err != nil {
			return false, unlessDamaged(err)
		}
		snapshot = cmp.Or(snapshot, entry.Manifest)
	}
	if err := s.readBack(ctx, snapshot); err != nil {
		return false, unlessDamaged(err)
	}
	s.summary.Standing = last.Snapshot
	return true, nil
}

// unlessDamaged returns nil for an error that reports damaged files, and any other error as it is.
func unlessDamaged(err error) error {
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
			return fault.New(fault.ClassOf(err), "read back", plan.Name(m.Batch), err, fault.HintOf(err))
		}
	}
	return nil
}
