package morgue_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waybill/lab/consumertest"
)

// TestAnyHistory loads random histories of a few patients and compares the cases with what the
// last states alone demand, as long as nobody receives a body.
func TestAnyHistory(t *testing.T) {
	m := open(t)
	rapid.Check(t, func(t *rapid.T) {
		m.Exec(`TRUNCATE case_file, alert, patient, notice RESTART IDENTITY`)
		h := history{}
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			m.Apply(h.batch(t)...)
			if again := m.Reapply(); len(again) > 0 {
				t.Fatalf("a second run had effects: %v", again)
			}
			h.check(t, m)
		}
	})
}

const patients = 4

// history is the newest state of each patient.
type history map[int]consumertest.State

// batch draws the next states of some patients. Merges are final and make no circle.
func (h history) batch(t *rapid.T) []consumertest.State {
	var states []consumertest.State
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, patients), 1, 3, rapid.ID).Draw(t, "patients") {
		s, known := h[n]
		if !known {
			s = consumertest.Patient(n)
		}
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0, 1:
			if !dead(s) {
				s = s.Dead(s.DeathNo+1, noon)
			}
		case 2:
			s = s.Alive(s.DeathNo)
		case 3:
			s = s.Named(rapid.SampledFrom([]string{"Abel", "Baker"}).Draw(t, "name"), "Ada")
		case 4:
			if into := rapid.IntRange(1, patients).Draw(t, "into"); s.MergedInto == nil && h.person(into) != n {
				s = s.Into(into)
			}
		}
		h[n] = s
		states = append(states, s)
	}
	return states
}

func dead(s consumertest.State) bool { return s.DeathStatus == "informal" }

// chain returns a record and those it was merged into, in that order.
func (h history) chain(n int) []int {
	found := []int{n}
	for h[n].MergedInto != nil {
		fmt.Sscanf((*h[n].MergedInto)[24:], "%d", &n)
		found = append(found, n)
	}
	return found
}

func (h history) person(n int) int {
	chain := h.chain(n)
	return chain[len(chain)-1]
}

// check compares open cases and open conflicts with the states.
func (h history) check(t *rapid.T, m mortuary) {
	var must, may, conflicts []string
	for n := 1; n <= patients; n++ {
		chain := h.chain(n)
		slices.Reverse(chain)
		counts := slices.IndexFunc(chain, func(n int) bool { return dead(h[n]) })
		if !dead(h[n]) || chain[counts] != n {
			continue // alive, or the same person's death counts
		}
		death := fmt.Sprintf("%d %d", n, h[n].DeathNo)
		may = append(may, death)
		if counts == 0 {
			must = append(must, death)
			continue
		}
		conflicts = append(conflicts, death)
	}
	open := m.Rows(`SELECT right(patient_id::text, 3)::int, death_no FROM open_case ORDER BY patient_id`)
	for _, death := range must {
		if !slices.Contains(open, death) {
			t.Fatalf("no open case for %s among %v", death, open)
		}
	}
	for _, death := range open {
		if !slices.Contains(may, death) {
			t.Fatalf("an open case for %s, expected among %v", death, may)
		}
	}
	found := m.Rows(`SELECT right(patient_id::text, 3)::int, death_no FROM alert WHERE resolved_at IS NULL ORDER BY patient_id`)
	if diff := cmp.Diff(conflicts, append([]string(nil), found...)); diff != "" {
		t.Fatalf("conflicts (-want +got):\n%s", diff)
	}
}
