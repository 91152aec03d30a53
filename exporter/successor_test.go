package exporter_test

import (
	"sync"
	"testing"

	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

// An exporter that is frozen, and loses its connection and with it the lock meanwhile, wakes up to a
// log that continued without it. That is no sign of a second database.
func TestAnExporterThatWasReplacedBlamesNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(1)
	s.export()
	s.register(1)
	successor := s.exporter()
	var once sync.Once
	s.config.Store = &exchangetest.Faulty{Store: s.store, Fail: func(op exchangetest.Op, name string) error {
		if op == exchangetest.Get && name == schemas.ManifestName(2, 0) { // where its next batch would be
			once.Do(func() {
				s.exec(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
					WHERE datname = current_database() AND application_name = 'waybill export'`)
				if summary, err := successor.Run(t.Context()); err != nil || len(summary.Batches) != 1 {
					t.Errorf("the successor: %+v, %v", summary, err)
				}
			})
		}
		return nil
	}}
	if _, err := s.exporter().Run(t.Context()); err == nil || fault.ClassOf(err) != fault.Transient {
		t.Errorf("the one that was replaced: %v (%s), want a failure that passes", err, fault.ClassOf(err))
	}
}
