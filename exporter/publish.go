package exporter

import (
	"context"
	"time"

	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
)

// finish takes a plan from wherever an earlier run left it to published.
func (s *session) finish(ctx context.Context, p *plan) (err error) {
	started := time.Now()
	if p.resumed {
		s.config.Log.Warn("resuming a batch that an earlier run did not finish", "batch", p.batch, "kind", p.kind)
	}
	ctx, batch := span.Continue(ctx, p.traceparent(), "export batch", span.Batch.Int64(p.batch), span.Kind.String(p.kind))
	defer func() { span.End(batch, err) }()
	if p.manifest == nil {
		if err := s.describe(ctx, p); err != nil {
			return err
		}
	}
	if err := s.append(ctx, p); err != nil {
		return err
	}
	crashpoint.Here("export.5")
	if _, err := s.conn.Exec(ctx, `UPDATE exporter.plan SET published_at = clock_timestamp() WHERE batch = $1`, p.batch); err != nil {
		return fault.Database("mark", batchName(p.batch), err)
	}
	p.published = true
	crashpoint.Here("export.6")
	return s.report(p, time.Since(started))
}

func (s *session) append(ctx context.Context, p *plan) (err error) {
	ctx, publish := span.Start(ctx, "publish")
	defer func() { span.End(publish, err) }()
	return s.writer.Append(ctx, p.batch, p.manifest)
}

// traceparent names the span of the run that stored the plan's manifest; "" if none has.
func (p *plan) traceparent() string {
	m, err := schemas.ParseManifest(p.manifest)
	if err != nil {
		return ""
	}
	return m.Traceparent
}

// describe writes the batch's parts and stores the manifest. From here on the batch has one
// manifest, to the byte, whoever publishes it.
func (s *session) describe(ctx context.Context, p *plan) error {
	parts, err := s.writeParts(ctx, p, s.upload(p))
	if err != nil {
		return err
	}
	crashpoint.Here("export.3")
	manifest := s.manifest(p, parts)
	manifest.Traceparent = span.Traceparent(ctx)
	if manifest.Waiting, err = s.leftWaiting(ctx, p, manifest.Totals.Rows); err != nil {
		return err
	}
	data, err := manifest.Encode()
	if err != nil {
		return fault.New(fault.Poison, "encode", batchName(p.batch), err, "")
	}
	hash := schemas.Hash(data)
	if _, err := s.conn.Exec(ctx, `UPDATE exporter.plan SET manifest = $2, manifest_sha256 = $3, events = $4 WHERE batch = $1`,
		p.batch, data, hash, manifest.Totals.Rows); err != nil {
		return fault.Database("store manifest of", batchName(p.batch), err)
	}
	p.manifest, p.hash = data, &hash
	crashpoint.Here("export.4")
	return nil
}

func (s *session) manifest(p *plan, parts []schemas.Part) *schemas.Manifest {
	m := &schemas.Manifest{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: p.log.String(),
		Contract:   schemas.ContractRef{Name: s.contract.Name, Version: s.contract.Version, SHA256: s.contract.SHA256},
		Generation: int64(p.generation), Batch: p.batch, Kind: p.kind, Plan: p.id.String(),
		Window:           schemas.Window{From: schemas.At(p.windowFrom), To: schemas.At(p.windowTo)},
		Cursor:           schemas.Cursor{Before: p.cursorBefore, After: p.cursorAfter},
		Covers:           p.covers,
		Snapshot:         p.snapshot,
		HeartbeatSeconds: int64(s.config.Heartbeat.Seconds()),
		Producer:         schemas.Software{Software: "waybill", Version: s.config.Release},
		Parts:            parts,
	}
	if p.previous != nil {
		m.Previous = *p.previous
	}
	m.Totalled()
	return m
}

// leftWaiting tells of the events that this batch leaves for later ones. It counts them once a
// run and reckons from there.
func (s *session) leftWaiting(ctx context.Context, p *plan, rows int64) (schemas.Waiting, error) {
	if p.last || p.kind != schemas.Changes {
		return schemas.Waiting{}, nil
	}
	if s.waiting < 0 {
		target, err := s.currentCursor(ctx)
		if err != nil {
			return schemas.Waiting{}, err
		}
		if s.waiting, err = s.countWaiting(ctx, p.cursorBefore, target); err != nil {
			return schemas.Waiting{}, err
		}
		s.total = s.waiting
	}
	s.waiting = max(0, s.waiting-rows)
	oldest, err := s.oldestWaiting(ctx, p.cursorAfter)
	return schemas.Waiting{Events: s.waiting, OldestRecordedAt: oldest}, err
}

// oldestWaiting returns when the first event behind the cursor was recorded: the one with the
// smallest transaction id, which is among the oldest.
func (s *session) oldestWaiting(ctx context.Context, after string) (*schemas.Time, error) {
	var at *time.Time
	err := s.conn.QueryRow(ctx, `SELECT (SELECT recorded_at FROM patients.outbox
		WHERE tx >= pg_snapshot_xmax(`+literal(after)+`) ORDER BY tx LIMIT 1)`).Scan(&at)
	if err != nil || at == nil {
		return nil, fault.Database("read", "outbox", err)
	}
	t := schemas.At(*at)
	return &t, nil
}

func (s *session) report(p *plan, took time.Duration) error {
	m, err := schemas.ParseManifest(p.manifest)
	if err != nil {
		return fault.New(fault.Poison, "read", "stored manifest of "+batchName(p.batch), err, "")
	}
	b := BatchSummary{
		Batch: p.batch, Kind: p.kind, Events: m.Totals.Rows, ByType: m.Totals.Events, Parts: len(m.Parts), Bytes: m.Totals.Bytes,
		WindowTo: m.Window.To.Time, Resumed: p.resumed, Duration: took,
	}
	s.summary.Batches = append(s.summary.Batches, b)
	s.config.Published(b)
	s.config.Log.Info("published", "batch", b.Batch, "kind", b.Kind, "events", b.Events, "parts", b.Parts, "bytes", b.Bytes,
		"waiting", m.Waiting.Events, "duration", b.Duration)
	return nil
}

func (s *session) progress(rows int64) {
	s.written += rows
	s.config.Progress(s.written, s.total)
}
