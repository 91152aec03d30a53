package reconcile

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/lab/logtest"

	"waybill/schemas"
)

func TestStatesComeBackSortedAndTheNewestIsKept(t *testing.T) {
	spool := t.TempDir()
	s, err := NewStates(spool, schemas.PatientEvents())
	if err != nil {
		t.Fatal(err)
	}
	p := logtest.Patient(1)
	for batch, o := range []order{{1, 4, 0}, {1, 2, 0}, {1, 5, 0}, {1, 5, 0}, {1, 5, 1}, {2, 1, 0}, {2, 1, 0}} {
		if err := s.add(row{patient: p, order: o, dead: true, state: 9}, int64(batch)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.load(share(p))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(distinct(slices.Clone(all))); got != 5 {
		t.Errorf("%d distinct states, want 5", got)
	}
	want := []state{{patient: p, order: order{2, 1, 0}, batch: 5, sum: 9, dead: true}}
	if diff := cmp.Diff(want, newest(all), cmp.AllowUnexported(state{}, order{})); diff != "" {
		t.Error(diff)
	}
	s.Close()
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
