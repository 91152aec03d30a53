package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/fault"
)

// access says how a run gets the lease.
type access struct {
	dryRun bool
	rerun  bool             // a re-run: waits for the lease, and lets imports go first
	wait   time.Duration    // how long to wait for another importer
	tally  map[string]int64 // braked effects so far, by kind
}

// errRerunning means that a re-run has the lease, and gives it up at the end of its batch.
var errRerunning = fmt.Errorf("%w: a re-run", errRunning)

// turnWait is how long an import waits for a re-run to finish its batch.
const turnWait = 5 * time.Minute

// enter takes the lease. An import that finds a running re-run gets in line and waits for the end of its
// batch. The re-run lets an import in line go first. So neither waits until the other has done everything.
func (l *lease) enter(ctx context.Context, a access) error {
	if !a.rerun {
		return l.enterInLine(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.wait, errRunning)
	defer cancel()
	if err := l.letPass(ctx); err != nil {
		return err
	}
	return l.awaitEnd(ctx)
}

func (l *lease) enterInLine(ctx context.Context) error {
	err := l.take(ctx)
	if !errors.Is(err, errRerunning) {
		return err
	}
	var first bool
	if err := l.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+lineKey+`)`).Scan(&first); err != nil {
		return fault.Database("lease", l.subject(), err)
	}
	if !first {
		return errRunning
	}
	ctx, cancel := context.WithTimeoutCause(ctx, turnWait, errRunning)
	defer cancel()
	return l.awaitEnd(ctx) // the place in line ends with the session
}

// lineKey is the key of the advisory lock that an import in line holds: "wayb" in ASCII, and the consumer's schema.
const lineKey = `2002876770, hashtext(current_schema())`

// letPass waits until no import is in line. It polls, because waits for locks are bounded.
func (l *lease) letPass(ctx context.Context) error {
	return l.await(ctx, func() (empty bool, err error) {
		err = l.conn.QueryRow(ctx, `SELECT CASE WHEN pg_try_advisory_lock(`+lineKey+`) THEN pg_advisory_unlock(`+lineKey+`) ELSE false END`).Scan(&empty)
		return empty, err
	})
}

// await tries until it succeeds, fails, or the context's time is up.
func (l *lease) await(ctx context.Context, try func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := try(); done || err != nil {
			return l.outOfTime(ctx, err)
		}
		select {
		case <-ctx.Done():
			return l.outOfTime(ctx, ctx.Err())
		case <-tick.C:
		}
	}
}

// outOfTime returns errRunning instead of the error that the end of the wait causes.
func (l *lease) outOfTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errRunning) {
		return errRunning
	}
	return fault.Database("lease", l.subject(), err)
}

// awaitEnd tries until it has the lease or the context's time is up.
func (l *lease) awaitEnd(ctx context.Context) error {
	return l.await(ctx, func() (bool, error) {
		err := l.take(ctx)
		if errors.Is(err, errRunning) {
			return false, nil
		}
		return err == nil, err
	})
}
