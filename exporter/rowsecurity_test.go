package exporter_test

import (
	"testing"

	"waybill/internal/fault"
)

// Scripts that harden a database switch row-level security on. What it hides must not be passed over: the cursor would
// leave it behind for good.
func TestEventsBehindRowSecurityAreNotPassedOver(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.export()
	s.register(1)
	s.exec(`ALTER TABLE patients.outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`)
	if _, err := s.exporter().Run(t.Context()); fault.ClassOf(err) != fault.Usage {
		t.Fatalf("error is %v, want one of class usage", err)
	}
	s.exec(`ALTER TABLE patients.outbox NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`)
	if got := s.export(); len(got.Batches) != 1 || got.Batches[0].Events != 1 {
		t.Errorf("exported %+v, want the one event", got.Batches)
	}
}
