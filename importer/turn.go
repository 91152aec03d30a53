package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/fault"
)

// access is how a run comes to the lease.
type access struct {
	dryRun bool
	rerun  bool             // waits for the lease, and gives way to imports
	wait   time.Duration    // for another importer, at most
	tally  map[string]int64 // braked effects so far, by kind
}

// errRerunning means that a re-run has the lease, which it leaves at the end of its batch.
var errRerunning = fmt.Errorf("%w: a re-run", errRunning)

// turnWait is how long an import waits for a re-run to get to the end of its batch.
const turnWait = 5 * time.Minute

// enter takes the lease. An import that finds a running re-run gets in line and waits for the end
// of its batch; the re-run lets an import that is in line go first. So neither waits for all of the other.
func (s *session) enter(ctx context.Context, a access) error {
	if !a.rerun {
		return s.enterInLine(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.wait, errRunning)
	defer cancel()
	if err := s.letPass(ctx); err != nil {
		return err
	}
	return s.awaitLease(ctx)
}

func (s *session) enterInLine(ctx context.Context) error {
	err := s.takeLease(ctx)
	if !errors.Is(err, errRerunning) {
		return err
	}
	var first bool
	if err := s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+lineKey+`)`).Scan(&first); err != nil {
		return fault.Database("lease", s.subject(), err)
	}
	if !first {
		return errRunning
	}
	ctx, cancel := context.WithTimeoutCause(ctx, turnWait, errRunning)
	defer cancel()
	return s.awaitLease(ctx) // the place in line ends with the session
}

// lineKey is the key of the advisory lock that an import in line holds: "wayb" in ASCII, and the consumer.
const lineKey = `2002876770, hashtext(current_schema())`

// letPass waits until nobody is in line. It asks again and again: waits for locks are bounded.
func (s *session) letPass(ctx context.Context) error {
	return s.await(ctx, func() (empty bool, err error) {
		err = s.conn.QueryRow(ctx, `SELECT CASE WHEN pg_try_advisory_lock(`+lineKey+`) THEN pg_advisory_unlock(`+lineKey+`) ELSE false END`).Scan(&empty)
		return empty, err
	})
}

// await tries until it succeeds, fails, or the context's time is up.
func (s *session) await(ctx context.Context, try func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := try(); done || err != nil {
			return s.outOfTime(ctx, err)
		}
		select {
		case <-ctx.Done():
			return s.outOfTime(ctx, ctx.Err())
		case <-tick.C:
		}
	}
}

// outOfTime returns errRunning in place of what comes of having waited long enough.
func (s *session) outOfTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errRunning) {
		return errRunning
	}
	return fault.Database("lease", s.subject(), err)
}

// awaitLease tries until it has the lease or the context's time is up.
func (s *session) awaitLease(ctx context.Context) error {
	return s.await(ctx, func() (bool, error) {
		err := s.takeLease(ctx)
		if errors.Is(err, errRunning) {
			return false, nil
		}
		return err == nil, err
	})
}
