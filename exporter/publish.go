package exporter

import (
	"context"
	"os"
	"time"

	"waybill/exporter/plan"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/progress"
	"waybill/internal/span"
	"waybill/schemas"
)

// Publish completes a plan, from the step at which an earlier run stopped.
func (s *session) Publish(ctx context.Context, p *plan.Plan) (err error) {
	started := time.Now()
	if p.Resumed {
		s.config.Log.Warn("resuming a batch that an earlier run did not finish", "batch", p.Batch, "kind", p.Kind)
	}
	ctx, batch := span.Continue(ctx, traceparent(p), "export batch", span.Batch.Int64(p.Batch), span.Kind.String(p.Kind))
	defer func() { span.End(batch, err) }()
	if p.Bytes == nil {
		if err := s.describe(ctx, p); err != nil {
			return err
		}
	}
	if err := s.append(ctx, p); err != nil {
		return err
	}
	crashpoint.Here("export.5")
	if err := s.db.MarkPublished(ctx, p); err != nil {
		return err
	}
	crashpoint.Here("export.6")
	return s.report(p, time.Since(started))
}

func (s *session) append(ctx context.Context, p *plan.Plan) (err error) {
	ctx, publish := span.Start(ctx, "publish")
	defer func() { span.End(publish, err) }()
	return s.writer.Append(ctx, p.Batch, p.Bytes)
}

// traceparent names the span of the run that stored the plan's manifest; "" if none has.
func traceparent(p *plan.Plan) string {
	m, err := p.Manifest()
	if err != nil {
		return ""
	}
	return m.Traceparent
}

// describe writes the batch's parts and stores the manifest.
func (s *session) describe(ctx context.Context, p *plan.Plan) error {
	parts, err := s.parts.Write(ctx, p, func(ctx context.Context, event string, file *os.File, size int64, sum string) (string, error) {
		return s.writer.Part(ctx, event, p.Date(), p.Batch, p.Seal != nil, file, size, sum)
	})
	if err != nil {
		return err
	}
	crashpoint.Here("export.3")
	manifest := s.manifest(p, parts)
	manifest.Traceparent = span.Traceparent(ctx)
	if manifest.Waiting, err = s.countWaiting(ctx, p, manifest.Totals.Rows); err != nil {
		return err
	}
	if p.Kind == schemas.Genesis {
		if manifest.Continues, _, err = s.db.Predecessor(ctx); err != nil {
			return err
		}
	}
	data, err := manifest.Encode()
	if err != nil {
		return fault.New(fault.Poison, "encode", p.Name(), err, "")
	}
	if data, err = s.config.Sign.Sign(ctx, schemas.OfManifest, data); err != nil {
		return err
	}
	if err := s.db.StoreManifest(ctx, p, data, manifest.Totals.Rows); err != nil {
		return err
	}
	crashpoint.Here("export.4")
	return nil
}

func (s *session) manifest(p *plan.Plan, parts []schemas.Part) *schemas.Manifest {
	m := &schemas.Manifest{
		Format: schemas.Format, MinReader: 1, Stream: s.contract.Name, Log: p.Log.String(),
		Contract:   schemas.ContractRef{Name: s.contract.Name, Version: s.contract.Version, SHA256: s.contract.SHA256},
		Generation: int64(p.Generation), Batch: p.Batch, Kind: p.Kind, Plan: p.ID.String(),
		Window:           schemas.Window{From: schemas.At(p.WindowFrom), To: schemas.At(p.WindowTo)},
		Cursor:           schemas.Cursor{Before: string(p.Before), After: string(p.After)},
		Covers:           p.Covers,
		Snapshot:         p.Snapshot,
		HeartbeatSeconds: int64(s.config.Heartbeat.Seconds()),
		Producer:         schemas.Software{Software: "waybill", Version: s.config.Release},
		Parts:            parts,
	}
	if p.Previous != nil {
		m.Previous = *p.Previous
	}
	if p.Seal != nil {
		m.Format, m.MinReader = schemas.FormatSealed, schemas.FormatSealed
	}
	m.Totalled()
	return m
}

// countWaiting describes the events that this batch leaves for later ones. It counts them once per
// run; after that it subtracts.
func (s *session) countWaiting(ctx context.Context, p *plan.Plan, rows int64) (schemas.Waiting, error) {
	if p.After == s.target || p.Kind != schemas.Changes {
		return schemas.Waiting{}, nil
	}
	if s.waiting < 0 {
		now, err := s.db.CurrentCursor(ctx)
		if err != nil {
			return schemas.Waiting{}, err
		}
		if s.waiting, err = s.db.CountWaiting(ctx, p.Before, now); err != nil {
			return schemas.Waiting{}, err
		}
		s.total = s.waiting
	}
	s.waiting = max(0, s.waiting-rows)
	oldest, err := s.db.OldestWaiting(ctx, p.After)
	return schemas.Waiting{Events: s.waiting, OldestRecordedAt: oldest}, err
}

func (s *session) report(p *plan.Plan, took time.Duration) error {
	m, err := p.Manifest()
	if err != nil {
		return err
	}
	b := BatchSummary{
		Stream: m.Stream, Batch: p.Batch, Kind: p.Kind, Events: m.Totals.Rows, ByType: m.Totals.Events, Parts: len(m.Parts), Bytes: m.Totals.Bytes,
		WindowTo: m.Window.To.Time, Resumed: p.Resumed, Duration: humanize.Seconds(took),
	}
	s.summary.Batches = append(s.summary.Batches, b)
	s.config.Published(b)
	s.config.Log.Info("published", "batch", b.Batch, "kind", b.Kind, "events", b.Events, "parts", b.Parts, "bytes", b.Bytes,
		"waiting", m.Waiting.Events, "duration", b.Duration)
	return nil
}

// progress reports how many of the waiting events have been written.
func (s *session) progress(ctx context.Context, rows int64) {
	s.written += rows
	progress.Say(ctx, "events", s.written, s.total)
}
