package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
)

// Repair puts the files of published batches, both ends included, on the store again, from the
// outbox and the plans: parts that are lost or damaged, and manifests that are. Bytes that are
// whole stay the same.
func (e *Exporter) Repair(ctx context.Context, from, to int64) (Summary, error) {
	return e.locked(ctx, func(s *session, ctx context.Context) error {
		for batch := from; batch <= to; batch++ {
			if err := s.repair(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

const notAgainHint = "publish `waybill export --snapshot`, and have the consumers pass the batch"

func (s *session) repair(ctx context.Context, batch int64) (err error) {
	started := time.Now()
	ctx, repair := span.Start(ctx, "repair batch", span.Batch.Int64(batch))
	defer func() { span.End(repair, err) }()
	p, err := scanPlan(s.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan WHERE batch = $1 AND published_at IS NOT NULL`, batch))
	if err != nil {
		return fault.Database("read", "exporter.plan", err)
	}
	if p == nil {
		return fault.New(fault.Usage, "repair", batchName(batch), errors.New("this database has not published it"), "`waybill batches` lists the log")
	}
	if err := s.checkIdentity(ctx, p); fault.ClassOf(err) == fault.Poison {
		return fault.New(fault.Poison, "repair", batchName(batch), err, notAgainHint)
	} else if err != nil {
		return err
	}
	manifest, err := schemas.ParseManifest(p.manifest)
	if err != nil {
		return fault.New(fault.Poison, "read", "stored manifest of "+batchName(batch), err, "")
	}
	parts, err := s.writeParts(ctx, p)
	if err != nil {
		return err
	}
	for _, published := range manifest.Parts {
		same := func(again schemas.Part) bool { return again.Name == published.Name && again.SHA256 == published.SHA256 }
		if !slices.ContainsFunc(parts, same) {
			return fault.New(fault.Poison, "repair", batchName(batch), fmt.Errorf("%s does not come out again as it was published", published.Name),
				"the outbox was pruned or the release is another one: "+notAgainHint)
		}
	}
	if err := s.writer.Append(ctx, batch, p.manifest); err != nil {
		return err
	}
	return s.report(p, time.Since(started))
}
