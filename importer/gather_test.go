package importer

import (
	"testing"
	"testing/synctest"

	"waybill/exchange"
	"waybill/schemas"
)

// News is loaded as soon as it is there; behind heartbeats alone the loader waits for what comes next.
func TestNewsWaitsForNothing(t *testing.T) {
	of := func(rows int64) *fetched {
		return &fetched{entry: &exchange.Entry{Manifest: &schemas.Manifest{Kind: schemas.Changes, Totals: schemas.Totals{Rows: rows}}}}
	}
	for name, test := range map[string]struct {
		rows  []int64 // of the batches that are there
		waits bool
	}{
		"news":                     {[]int64{1}, false},
		"news behind a heartbeat":  {[]int64{0, 1}, false},
		"a heartbeat":              {[]int64{0}, true},
		"a heartbeat behind news":  {[]int64{1, 0}, false},
		"more than are few, alone": {[]int64{fewRows + 1}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			batches, group, done := make(chan *fetched, 2), []*fetched{of(test.rows[0])}, false
			for _, rows := range test.rows[1:] {
				batches <- of(rows)
			}
			go func() {
				gather(&group, batches)
				done = true
			}()
			synctest.Wait()
			if done == test.waits {
				t.Errorf("%s: waits %t, want %t", name, !done, test.waits)
			}
			close(batches)
			synctest.Wait()
			if len(group) != len(test.rows) {
				t.Errorf("%s: %d in a group, want %d", name, len(group), len(test.rows))
			}
		})
	}
}
