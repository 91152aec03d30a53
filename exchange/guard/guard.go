// Package guard protects the exchange from a store that may be slow, flaky or gone. It bounds the
// time without progress, repeats calls that fail for a passing reason, and stops calling for a
// while if calls keep failing.
package guard

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"waybill/exchange"
	"waybill/internal/fault"
)

// Policy says how patient a guard is. A zero value means the one of [DefaultPolicy].
type Policy struct {
	Stall    time.Duration // a call without progress for this long is given up
	Attempts int           // of one call, the first included
	Backoff  time.Duration // before the second attempt; then it doubles
	Longest  time.Duration // the longest wait between attempts
	Failures int           // this many in a row open the breaker
	Pause    time.Duration // how long it stays open
}

// DefaultPolicy waits about ten seconds between attempts in all, so that a scheduled run ends before
// the next, and leaves a store alone for half a minute after ten failures in a row.
var DefaultPolicy = Policy{
	Stall: 2 * time.Minute, Attempts: 6, Backoff: 300 * time.Millisecond, Longest: 8 * time.Second,
	Failures: 10, Pause: 30 * time.Second,
}

func (p Policy) withDefaults() Policy {
	d := DefaultPolicy
	p.Stall = cmp.Or(p.Stall, d.Stall)
	p.Attempts = cmp.Or(p.Attempts, d.Attempts)
	p.Backoff = cmp.Or(p.Backoff, d.Backoff)
	p.Longest = cmp.Or(p.Longest, max(d.Longest, p.Backoff+1))
	p.Failures = cmp.Or(p.Failures, d.Failures)
	p.Pause = cmp.Or(p.Pause, d.Pause)
	return p
}

// Store is a guarded store. The zero value is useless, see [New].
type Store struct {
	exchange.Store
	health *health
}

// New guards a store: retries around the breaker around the time-out around the store. Every
// attempt counts for the breaker. An attempt that finds the breaker open is the last.
func New(store exchange.Store, p Policy, now func() time.Time) *Store {
	p = p.withDefaults()
	h := &health{now: now, current: Health{State: Closed}}
	breaker := circuitbreaker.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return passing(err) }).
		WithFailureThreshold(uint(p.Failures)).WithSuccessThreshold(1).WithDelay(p.Pause).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) { h.change(e.NewState.String(), p.Pause) }).
		Build()
	retries := retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return passing(err) && !errors.Is(err, circuitbreaker.ErrOpen) }).
		WithMaxAttempts(p.Attempts).WithBackoff(p.Backoff, p.Longest).WithJitterFactor(0.25).
		ReturnLastFailure().Build()
	return &Store{
		Store:  &patient{store: &timely{store: store, stall: p.Stall}, calls: failsafe.With(retries, breaker), health: h},
		health: h,
	}
}

// passing reports whether a failure may go away by itself: it is transient, and neither an answer
// of the store nor a cancellation by the caller.
func passing(err error) bool {
	return err != nil && fault.ClassOf(err) == fault.Transient &&
		!errors.Is(err, exchange.ErrNotFound) && !errors.Is(err, exchange.ErrExists) && !errors.Is(err, context.Canceled)
}

// Health returns the store's failures and the state of its breaker.
func (s *Store) Health() Health { return s.health.read() }
