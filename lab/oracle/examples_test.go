package oracle_test

import (
	"slices"
	"testing"

	. "waybill/lab/oracle"
)

// Histories on which model and databases once differed, shrunk. Each import compares them.
func TestExamples(t *testing.T) {
	h := newHospital(t)
	alive := Fate{Status: "none"}
	today := Fate{"formal", Period{0, Day, "day"}}
	longAgo := Fate{"formal", Period{-900 * Day, -899 * Day, "day"}}
	for _, example := range []struct {
		name     string
		consumer string
		live     func(*world)
		holds    []string
	}{
		{
			"what was missed is listed again when its death is restated after all", "appointments",
			func(w *world) {
				w.commit(register(1, Identity{}, alive))
				w.commit(decide(1, today))
				w.book(1, "imaging", 1, began-Hour, 0)
				w.export()
				w.load("appointments", how{})
				w.backUp()
				w.commit(decide(1, alive))
				w.export()
				w.load("appointments", how{})
				w.restore()
			},
			[]string{"item missed 1 1 1 - -"},
		},
		{
			"what a person booked for the dead is theirs when the death is restated after all", "appointments",
			func(w *world) {
				w.commit(register(1, Identity{}, alive))
				w.commit(decide(1, today))
				w.export()
				w.load("appointments", how{})
				w.book(1, "imaging", 1, began+Hour, 0)
				w.backUp()
				w.commit(decide(1, alive))
				w.export()
				w.load("appointments", how{})
				w.restore()
			},
			[]string{"appointment 1 1 imaging 1 660 660 booked -", "item not_cancelled 1 1 1 booked again -"},
		},
		{
			"what a person dealt with for one dead is not dealt with for another", "appointments",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, alive))
				w.commit(decide(1, today))
				w.export()
				w.load("appointments", how{})
				w.book(1, "imaging", 1, began+Hour, 0)
				w.deal(Item{"booked_after_death", 1, Death{1, 1}})
				w.move(1, 2)
				w.commit(decide(2, today))
				w.export()
			},
			[]string{"appointment 1 2 imaging 1 660 660 cancelled pat-dec"},
		},
		{
			"what was cancelled for one dead and booked again is cancelled for another", "appointments",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, alive))
				w.commit(decide(1, today))
				w.book(1, "imaging", 1, began+Hour, 0)
				w.export()
				w.load("appointments", how{})
				w.set(1, "booked")
				w.move(1, 2)
				w.commit(decide(2, today))
				w.export()
			},
			[]string{"appointment 1 2 imaging 1 660 660 cancelled pat-dec"},
		},
		{
			"a historic death voids nobody's case", "morgue",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, longAgo))
				w.commit(decide(1, today))
				w.export()
				w.load("morgue", how{})
				w.commit(merge(1, 2))
				w.export()
			},
			[]string{"case 1 1 expected 600 - - - - - - - - formal 0 1440 day"},
		},
		{
			"a historic death keeps nobody's case from opening", "morgue",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, longAgo))
				w.commit(decide(1, today), merge(1, 2))
				w.export()
			},
			[]string{"case 1 1 expected 600 - - - - - - - - formal 0 1440 day"},
		},
		{
			"a historic death keeps nobody's appointment", "appointments",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, longAgo))
				w.commit(decide(1, today), merge(1, 2))
				w.book(1, "imaging", 1, began+Hour, 0)
				w.book(2, "imaging", 2, began+Hour, 0)
				w.export()
			},
			[]string{"appointment 1 1 imaging 1 660 660 cancelled pat-dec", "appointment 2 2 imaging 2 660 660 booked -"},
		},
		{
			"the survivor's historic death is no conflict", "morgue",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, longAgo))
				w.commit(decide(1, today), merge(1, 2))
				w.export()
				w.load("morgue", how{})
				w.commit(decide(2, alive))
				w.export()
			},
			[]string{"alert merge_conflict 1 1 -"},
		},
		{
			"a settled conflict is raised again when it comes back", "appointments",
			func(w *world) {
				w.commit(register(1, Identity{}, alive), register(2, Identity{}, alive))
				w.commit(decide(1, today), merge(1, 2))
				w.export()
				w.load("appointments", how{})
				w.deal(Item{"merge_conflict", 0, Death{1, 1}})
				w.commit(decide(2, today))
				w.export()
				w.load("appointments", how{})
				w.commit(decide(2, alive))
				w.export()
			},
			[]string{"item merge_conflict - 1 1 - -"},
		},
	} {
		t.Run(example.name, func(t *testing.T) {
			w := h.newWorld(t)
			defer w.end()
			example.live(w)
			w.load(example.consumer, how{})
			found := append(w.rows("morgue", bodies...), w.rows("appointments", calendar...)...)
			for _, line := range example.holds {
				if !slices.Contains(found, line) {
					t.Errorf("no %q among %q", line, found)
				}
			}
		})
	}
}
