package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"waybill/lab/hospital"
)

// fill registers patients in one transaction, and has one in five of them die in another.
func (s *site) fill(ctx context.Context, events int) error {
	s.patients = events - events/6
	if err := hospital.Bulk(ctx, s.conn[patients], s.patients, 1); err != nil {
		return err
	}
	return s.die(ctx, events/6)
}

// reset removes all traces of earlier exports.
func (s *site) reset(ctx context.Context) error {
	if err := errors.Join(os.RemoveAll(s.path("exchange")), os.Mkdir(s.path("exchange"), 0o755), s.forget(ctx)); err != nil {
		return err
	}
	for _, c := range consumers() {
		if err := s.renew(ctx, c.name); err != nil {
			return err
		}
	}
	_, err := s.conn["plain"].Exec(ctx, "TRUNCATE keyed")
	return err
}

// forget has the exporter know of no batch.
func (s *site) forget(ctx context.Context) error {
	_, err := s.conn[patients].Exec(ctx, "TRUNCATE exporter.plan")
	return err
}

// renew empties a consumer's tables.
func (s *site) renew(ctx context.Context, consumer string) error {
	if _, err := s.conn[consumer].Exec(ctx, "DROP SCHEMA "+consumer+" CASCADE"); err != nil {
		return err
	}
	if err := s.migrate(ctx, consumer); err != nil {
		return err
	}
	return withoutVacuum(ctx, s.conn[consumer], consumer)
}

// exported is what an export published.
type exported struct{ events, bytes, peak int64 }

func (s *site) export(ctx context.Context) (exported, error) {
	var answer struct {
		Result struct {
			Batches []struct{ Events, Bytes int64 }
		}
	}
	peak, err := s.answer(ctx, &answer, "export")
	done := exported{peak: peak}
	for _, b := range answer.Result.Batches {
		done.events += b.Events
		done.bytes += b.Bytes
	}
	return done, err
}

// loaded is what an import applied.
type loaded struct {
	rows, peak int64
	last       time.Duration // of its last batch
}

func (s *site) load(ctx context.Context, consumer string) (loaded, error) {
	var answer struct {
		Result struct {
			Batches []struct {
				Rows    int64
				Seconds float64 `json:"duration_seconds"`
			}
		}
	}
	peak, err := s.answer(ctx, &answer, "import", consumer)
	done := loaded{peak: peak}
	for _, b := range answer.Result.Batches {
		done.rows += b.Rows
		done.last = time.Duration(b.Seconds * float64(time.Second))
	}
	return done, err
}

func (s *site) migrate(ctx context.Context, service string) error {
	_, _, err := s.waybill(ctx, "migrate", service)
	return err
}

// answer runs the real binary and parses what it printed.
func (s *site) answer(ctx context.Context, answer any, arguments ...string) (peak int64, err error) {
	out, peak, err := s.waybill(ctx, append([]string{"--json"}, arguments...)...)
	if err != nil {
		return 0, err
	}
	return peak, json.Unmarshal(out, answer)
}

// waybill runs the real binary and returns what it printed and the peak of its memory in bytes,
// which is at least this program's own, because an exec inherits it.
func (s *site) waybill(ctx context.Context, arguments ...string) (stdout []byte, peak int64, err error) {
	cmd := exec.CommandContext(ctx, s.path("waybill"), arguments...)
	cmd.Env = append(os.Environ(), "WAYBILL_CONFIG="+s.dir)
	if stdout, err = cmd.Output(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("waybill %s: %w\n%s", arguments, err, exit.Stderr)
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
