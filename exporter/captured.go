package exporter

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"waybill/exporter/patients"
	"waybill/internal/fault"
)

// sampled is of how many events each run compares the patients with their last events. Each run continues where
// the last one ended: with a run a minute, ten million events take a week.
const sampled = 1000

// checkCaptured compares the patients of the next window with their last events. The log alone would not show a
// change that was never captured. A window with differences is checked again by each run until they are repaired.
func (s *session) checkCaptured(ctx context.Context) error {
	var from uuid.UUID
	if err := s.db.QueryRow(ctx, `SELECT next FROM exporter.sample`).Scan(&from); err != nil {
		return fault.Database("read", "exporter.sample", err)
	}
	w, err := patients.NextWindow(ctx, s.db.Conn, from, sampled)
	if err != nil {
		return err
	}
	found, err := w.Divergent(ctx, s.db.Conn)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fault.New(fault.Poison, "check", "capture", fmt.Errorf("of the patients of about %d events %d are not as their last events say; what was captured is exported", sampled, len(found)), patients.CaptureHint)
	}
	next := w.To
	if w.Last() {
		next = uuid.Nil
	}
	_, err = s.db.Exec(ctx, `UPDATE exporter.sample SET next = $1`, next)
	return fault.Database("note", "exporter.sample", err)
}
