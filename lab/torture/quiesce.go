package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/logtest"
	"waybill/lab/site"
)

// calm is how long it may take, once nothing goes wrong any more, until all consumers are current.
const calm = 2 * time.Minute

// quiesce lets all consumers reach the end of the log, and then compares everything with everything.
func (w *world) quiesce(ctx context.Context, j *judge) error {
	if err := w.catchUp(ctx); err != nil {
		return err
	}
	w.history.print()
	place, err := w.Place()
	if err != nil {
		return err
	}
	logged, err := logtest.Events(ctx, place, w.Keys(site.Patients).Secrets.Keys()...)
	if err != nil {
		return err
	}
	_, begins := generation(logged) // a restored database knows no batch of the past that it lost
	var failed []error
	for _, command := range []string{"verify", fmt.Sprintf("reconcile --batch %d..%d", begins, logged[len(logged)-1].Batch), "status"} {
		code, said := w.waybill(ctx, strings.Fields(command)...)
		fmt.Printf("\n$ waybill %s\n%s", command, said)
		if code != exitDone {
			failed = append(failed, fmt.Errorf("waybill %s ended with %d", command, code))
		}
	}
	failed = append(failed, j.once(ctx, place), j.audit(ctx, place, longest+time.Minute), w.noDebris(), w.seen.Look(ctx, place, true))
	failed = append(failed, j.chronicle(ctx, w.seen.Sightings, 2*longest+time.Minute)) // a clock may be set from one end to the other
	return errors.Join(failed...)
}

// catchUp runs each machine's command until nothing is left to do, and none of a round's runs gave up: the backend of a
// process that was killed may keep its locks for a while.
func (w *world) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, calm, errors.New("not everything had arrived two minutes after the last mishap"))
	defer cancel()
	for code := -1; code != exitDone && ctx.Err() == nil; { // status reports one that failed until the next
		code, _ = w.waybill(ctx, "export", "--snapshot")
	}
	for ctx.Err() == nil {
		done := true
		for _, m := range w.machines {
			r, err := m.start()
			if err != nil {
				return err
			}
			m.finish(r)
			done = done && r.State().Success()
		}
		behind, err := w.behind(ctx)
		if err != nil {
			return err
		}
		if behind == 0 && done {
			return nil
		}
	}
	return context.Cause(ctx)
}

// behind counts the events that no batch holds, and the batches that consumers have not loaded.
func (w *world) behind(ctx context.Context) (n int64, err error) {
	err = withConnections(ctx, w.Site, func(conns map[string]*pgx.Conn) error {
		var last int64
		if err := conns[site.Patients].QueryRow(ctx, `
			SELECT batch, (SELECT count(*) FROM patients.outbox WHERE NOT pg_visible_in_snapshot(tx, cursor_after))
			FROM exporter.plan WHERE published_at IS NOT NULL ORDER BY batch DESC LIMIT 1`).Scan(&last, &n); err != nil {
			return err
		}
		for _, consumer := range site.Consumers() {
			var at int64
			if err := conns[consumer].QueryRow(ctx, `SELECT batch FROM `+consumer+`.checkpoint`).Scan(&at); err != nil {
				return err
			}
			n += last - at
		}
		return nil
	})
	return n, err
}

// noDebris looks for spool files that were left behind.
func (w *world) noDebris() error {
	for _, m := range w.machines {
		left, err := os.ReadDir(filepath.Join(m.dir, "spool"))
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("%d files are left in the spool of %s", len(left), m.name)
		}
	}
	return nil
}

// waybill runs a command on all configurations, without the lines.
func (w *world) waybill(ctx context.Context, arguments ...string) (code int, said string) {
	cmd := exec.CommandContext(ctx, w.binary, append([]string{"--config", w.direct()}, arguments...)...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			return -1, err.Error() + "\n"
		}
	}
	return cmd.ProcessState.ExitCode(), out.String()
}
