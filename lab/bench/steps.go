package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/hospital"
	"waybill/schemas"
)

// fill registers patients in one transaction, has one in five of them die in another, and returns
// how long that took: capture included, which is most of it.
func (s *site) fill(ctx context.Context, events int) (time.Duration, error) {
	began := time.Now()
	if err := hospital.Bulk(ctx, s.conn[patients], events-events/6, 1); err != nil {
		return 0, err
	}
	_, err := s.conn[patients].Exec(ctx, `UPDATE patients.patient
		SET death_status = 'informal', death_earliest = date_trunc('minute', now()), death_latest = date_trunc('minute', now()) + interval '1 min', death_precision = 'minute'
		WHERE id IN (SELECT id FROM patients.patient LIMIT $1)`, events/6)
	return time.Since(began), err
}

// reset makes it as if nothing had ever been exported.
func (s *site) reset(ctx context.Context) error {
	if err := errors.Join(os.RemoveAll(s.path("exchange")), os.Mkdir(s.path("exchange"), 0o755)); err != nil {
		return err
	}
	if _, err := s.conn[patients].Exec(ctx, "TRUNCATE exporter.plan"); err != nil {
		return err
	}
	for _, c := range consumers() {
		if _, err := s.conn[c.name].Exec(ctx, "DROP SCHEMA "+c.name+" CASCADE"); err != nil {
			return err
		}
		if err := s.migrate(ctx, c.name); err != nil {
			return err
		}
	}
	_, err := s.conn["plain"].Exec(ctx, "TRUNCATE plain, keyed")
	return err
}

// settle has what was written so far reach the disk before the next measurement begins.
func (s *site) settle(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.server.SuperURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CHECKPOINT")
	return err
}

// copyOut takes the contract's columns out of the outbox, as the exporter does, in any order.
func (s *site) copyOut(ctx context.Context) (rows, peak int64, err error) {
	file, err := os.Create(s.path("copy"))
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	columns := strings.Join(schemas.PatientEvents().ColumnNames(), ", ")
	columns = strings.NewReplacer("generation", "1", "revision", "0").Replace(columns)
	tag, err := s.conn[patients].PgConn().CopyTo(ctx, file, "COPY (SELECT "+columns+" FROM patients.outbox) TO STDOUT (FORMAT binary)")
	if err != nil {
		return 0, 0, err
	}
	info, err := file.Stat()
	s.copied = info.Size()
	return tag.RowsAffected(), 0, err
}

func (s *site) copyInto(table string) func(context.Context) (int64, int64, error) {
	return func(ctx context.Context) (rows, peak int64, err error) {
		file, err := os.Open(s.path("copy"))
		if err != nil {
			return 0, 0, err
		}
		defer file.Close()
		tag, err := s.conn["plain"].PgConn().CopyFrom(ctx, bufio.NewReaderSize(file, 64<<10), "COPY "+table+" FROM STDIN (FORMAT binary)")
		return tag.RowsAffected(), 0, err
	}
}

func (s *site) export(ctx context.Context) (rows, peak int64, err error) {
	out, peak, err := s.waybill(ctx, "--json", "export")
	if err != nil {
		return 0, 0, err
	}
	var summary struct {
		Batches []struct{ Events, Bytes int64 }
	}
	err = json.Unmarshal(out, &summary)
	s.stored = 0
	for _, b := range summary.Batches {
		rows += b.Events
		s.stored += b.Bytes
	}
	return rows, peak, err
}

func (s *site) load(c consumer) func(context.Context) (int64, int64, error) {
	return func(ctx context.Context) (rows, peak int64, err error) {
		out, peak, err := s.waybill(ctx, "--json", "import", c.name)
		if err != nil {
			return 0, 0, err
		}
		var summary struct{ Batches []struct{ Rows int64 } }
		err = json.Unmarshal(out, &summary)
		for _, b := range summary.Batches {
			rows += b.Rows
		}
		return rows, peak, err
	}
}

func (s *site) migrate(ctx context.Context, service string) error {
	_, _, err := s.waybill(ctx, "migrate", service)
	return err
}

// waybill runs the real binary and returns what it printed and the peak of its memory in bytes,
// which is never below this program's own: that is how an exec inherits it.
func (s *site) waybill(ctx context.Context, arguments ...string) (stdout []byte, peak int64, err error) {
	cmd := exec.CommandContext(ctx, s.path("waybill"), append([]string{"--config", s.dir}, arguments...)...)
	if stdout, err = cmd.Output(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, 0, err
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = usage.Maxrss << 10
		if runtime.GOOS == "darwin" { // it counts bytes
			peak = usage.Maxrss
		}
	}
	return stdout, peak, nil
}
