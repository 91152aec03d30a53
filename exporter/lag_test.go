package exporter

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/internal/fault"
	"waybill/internal/health"
)

// Silence is late after patience, and so is an event that waits, by the earlier of the two; what is in time is behind at most.
func TestAProducerIsLateAfterPatience(t *testing.T) {
	const patience = 15 * time.Minute
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	ago := func(by time.Duration) *time.Time { return new(now.Add(-by)) }
	for name, c := range map[string]struct {
		status Status
		want   health.Report
	}{
		"in time":                    {Status{Batch: 3, WindowTo: *ago(patience)}, health.Fine()},
		"silent":                     {Status{Batch: 3, WindowTo: *ago(patience + time.Second)}, health.Report{State: health.Late, Class: fault.NotYet, Since: ago(time.Second)}},
		"before the genesis":         {Status{Batch: -1}, health.Fine()},
		"events wait":                {Status{Batch: 3, WindowTo: now, Waiting: 2, Oldest: ago(patience)}, health.Report{State: health.Behind}},
		"events wait for long":       {Status{Batch: 3, WindowTo: now, Waiting: 2, Oldest: ago(patience + time.Second)}, health.Report{State: health.Late, Class: fault.NotYet, Since: ago(time.Second)}},
		"and nothing was published":  {Status{Batch: -1, Waiting: 2, Oldest: ago(patience + time.Second)}, health.Report{State: health.Late, Class: fault.NotYet, Since: ago(time.Second)}},
		"silent, and they wait":      {Status{Batch: 3, WindowTo: *ago(patience + time.Minute), Waiting: 2, Oldest: ago(patience + time.Second)}, health.Report{State: health.Late, Class: fault.NotYet, Since: ago(time.Minute)}},
		"planned":                    {Status{Batch: 3, WindowTo: now, Planned: new(int64(4))}, health.Report{State: health.Behind}},
		"planned, and late":          {Status{Batch: 3, WindowTo: *ago(time.Hour), Planned: new(int64(4))}, health.Report{State: health.Late, Class: fault.NotYet, Since: ago(time.Hour - patience)}},
		"nothing waits any more, of": {Status{Batch: 3, WindowTo: now, Oldest: ago(time.Minute)}, health.Fine()},
	} {
		c.status.Now = now
		r := health.Fine()
		c.status.judgeLag(&r, patience)
		r.Detail, r.Hint = "", ""
		if diff := cmp.Diff(c.want, r); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
