package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/exchange/guard"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
)

func TestBreaker(t *testing.T) {
	synctest.Test(t, testBreaker)
}

func testBreaker(t *testing.T) {
	s, _ := open(t)
	down := true
	calls := 0
	f := &exchangetest.Faulty{Store: s, Fail: func(exchangetest.Op, string) error {
		calls++
		if down {
			return fault.New(fault.Transient, "reach", "store", errors.New("no route"), "")
		}
		return nil
	}}
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	policy := quick
	g := guard.New(f, policy, func() time.Time { return now })
	for range 3 {
		if err := g.Publish(t.Context(), "log/a", nil); fault.ClassOf(err) != fault.Transient {
			t.Fatal(err)
		}
	}
	if calls != policy.Failures {
		t.Errorf("the store was called %d times, want %d", calls, policy.Failures)
	}
	h := g.Health()
	if h.State != guard.Open || h.Failures != policy.Failures || !h.Since.Equal(now) || h.NextTry == nil || !strings.Contains(h.LastError, "no route") {
		t.Errorf("health %+v", h)
	}
	err := g.Publish(t.Context(), "log/a", nil)
	if err == nil || !strings.Contains(err.Error(), "no route") || fault.HintOf(err) == "" {
		t.Errorf("while open: %v", err)
	}
	down = false
	time.Sleep(policy.Pause)
	if err := g.Publish(t.Context(), "log/a", nil); err != nil {
		t.Fatalf("after the pause: %v", err)
	}
	if h := g.Health(); h.State != guard.Closed || h.Failures != 0 || h.Since != nil || h.NextTry != nil || h.LastError != "" {
		t.Errorf("health after a success %+v", h)
	}
}

// A store is away from three to nine on a day on which a machine calls it each ten seconds.
func TestADayOnWhichAStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		if err := s.Publish(t.Context(), "log/a", nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		at := func(hour int) time.Time { return began.Add(time.Duration(hour) * time.Hour) }
		away, calls := func() bool { return time.Now().After(at(3)) && time.Now().Before(at(9)) }, 0
		g := guard.New(&exchangetest.Faulty{Store: s, Fail: func(exchangetest.Op, string) error {
			if !away() {
				return nil
			}
			calls++
			return fault.New(fault.Transient, "reach", "store", errors.New("no route"), "")
		}}, guard.Policy{}, time.Now)
		for time.Now().Before(at(24)) {
			file, err := g.Get(t.Context(), "log/a")
			if err == nil {
				err = file.Close()
			}
			switch h := g.Health(); {
			case err == nil && away():
				t.Fatalf("%s: it reached the store", time.Since(began))
			case err != nil && fault.ClassOf(err) != fault.Transient:
				t.Fatalf("%s: %v", time.Since(began), err)
			case err != nil && time.Now().After(at(9).Add(guard.DefaultPolicy.Pause)):
				t.Fatalf("%s: the store is back: %v", time.Since(began), err)
			case err != nil && h.Since.Sub(at(3)) > time.Minute:
				t.Fatalf("%s: it is away since %s", time.Since(began), h.Since.Sub(began))
			case err == nil && h != guard.Health{State: guard.Closed}:
				t.Fatalf("%s: %+v", time.Since(began), h)
			}
			time.Sleep(10 * time.Second)
		}
		if most := guard.DefaultPolicy.Failures + int(6*time.Hour/guard.DefaultPolicy.Pause); calls > most || calls < most/2 {
			t.Errorf("an absent store was called %d times, want at most %d", calls, most)
		}
	})
}

func TestCancelledCallsDoNotOpenTheBreaker(t *testing.T) {
	s, _ := open(t)
	g := guard.New(s, quick, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * quick.Failures {
		if err := g.Publish(ctx, "log/a", nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if err := g.Publish(t.Context(), "log/a", nil); err != nil {
		t.Error(err)
	}
}

// A cancellation during a call is the caller's wish, too.
func TestCallsCancelledOnTheWayDoNotOpenTheBreaker(t *testing.T) {
	s, _ := open(t)
	var cancel context.CancelFunc
	f := &exchangetest.Faulty{Store: s, Fail: func(exchangetest.Op, string) error {
		if cancel == nil {
			return nil
		}
		cancel()
		return fault.New(fault.Transient, "publish", "log/a", context.Canceled, "")
	}}
	g := guard.New(f, quick, time.Now)
	for range 2 * quick.Failures {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		if err := g.Publish(ctx, "log/a", nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	cancel = nil
	if err := g.Publish(t.Context(), "log/a", nil); err != nil {
		t.Error(err)
	}
}
