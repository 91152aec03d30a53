package exporter

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/lab/logtest"
	"waybill/schemas"
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

// A consumer is silent once the batch that it needs next has been there for longer than patience: from the end of that batch's
// window, which may have begun long before.
func TestAConsumerIsSilentAfterPatience(t *testing.T) {
	t.Parallel()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const patience = 15 * time.Minute
	begin := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	log := logtest.NewProducer(t, store, begin)
	for n := range 2 {
		log.Now = begin.Add(time.Duration(n+1) * time.Hour)
		log.Changes()
	}
	reader := exchange.NewReader(store)
	for batch := range int64(3) {
		end := begin.Add(time.Duration(batch) * time.Hour)
		if got := silentSince(t.Context(), reader, batch, end.Add(patience), patience); got != nil {
			t.Errorf("batch %d, in time: silent since %s", batch, got)
		}
		if got := silentSince(t.Context(), reader, batch, end.Add(patience+time.Second), patience); got == nil || !got.Equal(end) {
			t.Errorf("batch %d, after patience: silent since %v, want %s", batch, got, end)
		}
	}
	if got := silentSince(t.Context(), reader, 3, begin.Add(24*time.Hour), patience); got != nil {
		t.Errorf("behind the end: silent since %s", got)
	}
}

// Silence has lasted since the first consumer fell silent. It is added to what is worse, and replaces nothing of it.
func TestSilentConsumersAreAdded(t *testing.T) {
	t.Parallel()
	early, late := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	of := func(instance string, change func(*Receipt)) Receipt {
		r := Receipt{Receipt: &schemas.Receipt{Instance: instance, Batch: 7}}
		change(&r)
		return r
	}
	current := of("a", func(*Receipt) {})
	first := of("b", func(r *Receipt) { r.SilentSince = &early })
	second := of("c", func(r *Receipt) { r.SilentSince = &late })
	moved := of("d", func(r *Receipt) { r.Moved, r.Gone, r.Pruned, r.SilentSince = "later", true, true, &early })
	gone := of("e", func(r *Receipt) { r.Gone = true })
	pruned := of("f", func(r *Receipt) { r.Pruned = true })
	silent := func(since *time.Time, detail string) health.Report {
		return health.Report{State: health.Silent, Class: fault.NotYet, Detail: detail, Since: since}
	}
	isLate := health.Report{State: health.Late, Class: fault.NotYet, Detail: "late", Since: &late}
	for name, c := range map[string]struct {
		before   health.Report
		receipts []Receipt
		want     health.Report
	}{
		"none":                  {health.Fine(), nil, health.Fine()},
		"one that is current":   {health.Fine(), []Receipt{current}, health.Fine()},
		"one that has moved":    {health.Fine(), []Receipt{moved}, health.Fine()},
		"one":                   {health.Fine(), []Receipt{current, second}, silent(&late, "c has not been heard of since batch 7")},
		"the earlier one first": {health.Fine(), []Receipt{first, second}, silent(&early, "b has not been heard of since batch 7, c has not been heard of since batch 7")},
		"the earlier one last":  {health.Fine(), []Receipt{second, first}, silent(&early, "c has not been heard of since batch 7, b has not been heard of since batch 7")},
		"without receipts":      {health.Fine(), []Receipt{gone}, silent(nil, "e had left receipts up to 7 and has none now")},
		"below the floor":       {health.Fine(), []Receipt{pruned}, silent(nil, "f is below the floor and must begin again at a snapshot")},
		"of a producer that is late": {isLate, []Receipt{first}, health.Report{
			State: health.Late, Class: fault.NotYet, Detail: "late; b has not been heard of since batch 7", Since: &late,
		}},
	} {
		r := c.before
		judgeSilence(&r, c.receipts)
		r.Hint = ""
		if diff := cmp.Diff(c.want, r); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
