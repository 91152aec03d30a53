package main

import (
	"bufio"
	"context"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/schemas"
)

const (
	copyTo    = "COPY TO, binary"
	copyKeyed = "COPY FROM, binary, with the events' key"
	mebibyte  = 1 << 20
)

// exporting compares the export with the COPY of the same rows into a file.
func (s *site) exporting(ctx context.Context, t *table) error {
	reference, err := s.timed(ctx, s.copyOut)
	if err != nil {
		return err
	}
	var done exported
	took, err := s.timed(ctx, func(ctx context.Context) (err error) { done, err = s.export(ctx); return err })
	if err != nil {
		return err
	}
	t.ratio("export to a directory", copyTo, atLeast(0.83), reference.Seconds()/took.Seconds())
	t.figure("export to a directory", "events/s", goal{}, float64(done.events)/took.Seconds())
	t.figure("export, peak memory", "MiB", atMost(64), float64(done.peak)/mebibyte)
	t.figure("an event on the store, rounded down", "bytes", atMost(37), float64(done.bytes/done.events))
	t.figure("an event in binary COPY, rounded down", "bytes", goal{}, float64(s.copied/done.events))
	return nil
}

// appending compares a consumer that appends all events with COPY into a table with their key.
func (s *site) appending(ctx context.Context, t *table) error {
	reference, err := s.timed(ctx, s.copyIn)
	if err != nil {
		return err
	}
	s.keyed = reference
	return s.loading(ctx, t, "archive", "import, all events appended", atLeast(0.95))
}

// projecting does so with a consumer that keeps the newest state of each patient.
func (s *site) projecting(ctx context.Context, t *table) error {
	return s.loading(ctx, t, "mirror", "import, the newest state of each patient", atLeast(0.80))
}

func (s *site) loading(ctx context.Context, t *table, consumer, what string, g goal) error {
	var done loaded
	took, err := s.timed(ctx, func(ctx context.Context) (err error) { done, err = s.load(ctx, consumer); return err })
	if err != nil {
		return err
	}
	t.ratio(what, copyKeyed, g, s.keyed.Seconds()/took.Seconds())
	t.figure(what, "events/s", goal{}, float64(done.rows)/took.Seconds())
	t.figure("import, peak memory", "MiB", atMost(64), float64(done.peak)/mebibyte)
	return nil
}

// copyOut takes the contract's columns out of the outbox, as the exporter does, in any order.
func (s *site) copyOut(ctx context.Context) error {
	file, err := os.Create(s.path("copy"))
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := s.conn[patients].PgConn().CopyTo(ctx, file, "COPY (SELECT "+eventColumns()+" FROM patients.outbox) TO STDOUT (FORMAT binary)"); err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		s.copied = info.Size()
	}
	return err
}

// eventColumns are the contract's, as SQL of the outbox.
func eventColumns() string {
	columns := strings.Join(schemas.PatientEvents().ColumnNames(), ", ")
	return strings.NewReplacer("generation", "1 AS generation", "revision", "0 AS revision").Replace(columns)
}

func (s *site) copyIn(ctx context.Context) error {
	file, err := os.Open(s.path("copy"))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = s.conn["plain"].PgConn().CopyFrom(ctx, bufio.NewReaderSize(file, 64<<10), "COPY keyed FROM STDIN (FORMAT binary)")
	return err
}

// timed returns how long do takes. Everything before it is written to the disk first.
func (s *site) timed(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	conn, err := pgx.Connect(ctx, s.server.SuperURL("postgres"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CHECKPOINT"); err != nil {
		return 0, err
	}
	began := time.Now()
	err = do(ctx)
	return time.Since(began), err
}
