package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// again has the mirror load its largest batch again, which changes nothing, and then an import find nothing new.
func (s *site) again(ctx context.Context, t *table) error {
	if _, err := s.load(ctx, "mirror"); err != nil {
		return err
	}
	const last = `SELECT batch, applied_at - started_at FROM mirror.ledger ORDER BY rows DESC, rerun DESC, batch LIMIT 1`
	var batch int64
	var first, second time.Duration
	if err := s.conn["mirror"].QueryRow(ctx, last).Scan(&batch, &first); err != nil {
		return err
	}
	if _, _, err := s.waybill(ctx, "rerun", "import", "mirror", "--batch", fmt.Sprint(batch), "--reason", "a benchmark"); err != nil {
		return err
	}
	if err := s.conn["mirror"].QueryRow(ctx, last).Scan(&batch, &second); err != nil {
		return err
	}
	t.ratio("a re-run that changes nothing, time", "the batch's first load", atMost(0.6), second.Seconds()/first.Seconds())
	began := time.Now()
	if _, err := s.load(ctx, "mirror"); err != nil {
		return err
	}
	t.figure("an import that finds nothing new, the process included", "ms", goal{}, milliseconds(time.Since(began)))
	return nil
}

// packed compares an event on the store with the same event as CSV, packed by zstd.
func (s *site) packed(ctx context.Context, t *table) error {
	file, err := os.Create(s.path("csv.zst"))
	if err != nil {
		return err
	}
	defer file.Close()
	zstd := exec.CommandContext(ctx, "zstd", "-q", "-c")
	zstd.Stdout = file
	in, err := zstd.StdinPipe()
	if err == nil {
		err = zstd.Start()
	}
	if err != nil {
		return err
	}
	tag, err := s.conn[patients].PgConn().CopyTo(ctx, in, "COPY (SELECT "+eventColumns()+" FROM patients.outbox) TO STDOUT (FORMAT csv)")
	if closed := in.Close(); err == nil {
		err = closed
	}
	if waited := zstd.Wait(); err == nil {
		err = waited
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	t.figure("an event as CSV through zstd -3, rounded down", "bytes", goal{}, float64(info.Size()/tag.RowsAffected()))
	return nil
}
