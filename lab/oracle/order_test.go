package oracle_test

import (
	"path/filepath"
	"slices"
	"time"

	guuid "github.com/google/uuid"
	"pgregory.net/rapid"

	"waybill/exchange/dir"
	"waybill/lab/logtest"
	. "waybill/lab/oracle"
	"waybill/schemas"
)

// inAnyOrder demands that it makes no difference in which order the batches of different patients come, nor whose events
// share one, as long as each patient's are in order: of two in one batch, the newer counts. Their appointments
// do not compete for a slot.
func (h *hospital) inAnyOrder(t *rapid.T, followers []*follower) {
	lives := map[Patient][]logtest.State{}
	for p := range Patient(records) {
		lives[p+1] = aLife(t, p+1)
	}
	first, second := h.log(t, lives), h.log(t, lives)
	var all []*follower
	for way, w := range map[string]*world{"one": first, "other": second} {
		for _, f := range ofWay(followers, way) {
			f.world = w
			w.emptyAll(f.conn, f.name)
			all = append(all, f)
		}
	}
	first.bookEverywhere(t, all)
	for _, name := range follow {
		var left [2][]string
		for i, way := range []string{"one", "other"} {
			f := of(followers, way, name)
			f.loadAsForeseen(0)
			left[i] = f.dump("ledger", "effect_log", "checkpoint")
		}
		first.same(name+", of two orders of batches", left[0], left[1])
	}
}

// aLife returns the events of one patient, who may die twice.
func aLife(t *rapid.T, p Patient) (states []logtest.State) {
	died := at(began - Hour)
	for version := range rapid.IntRange(0, 4).Draw(t, "events") {
		s := logtest.State{
			Event: schemas.Died, Patient: guuid.MustParse(uuid(p)), Version: int64(version + 1), DeathNo: int32(version/2 + 1), Status: "formal",
			Earliest: died, Latest: died.Add(time.Hour), Precision: "minute", Family: "Abel", Recorded: at(began + Minute(version)),
		}
		if version%2 == 1 {
			s.Event, s.Status, s.Earliest, s.Latest, s.Precision = schemas.DeathRetracted, "none", time.Time{}, time.Time{}, ""
			if rapid.Bool().Draw(t, "corrected") { // and dead still
				s.Event, s.Status, s.Earliest, s.Latest, s.Precision = schemas.DeathCorrected, "informal", died, died.Add(2*time.Hour), "minute"
				return append(states, s)
			}
		}
		states = append(states, s)
	}
	return states
}

// log publishes the events in batches of a random order.
func (h *hospital) log(t *rapid.T, lives map[Patient][]logtest.State) *world {
	store, err := dir.Open(filepath.Join(h.TempDir(), schemas.Stream))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{tester: t, h: h, ctx: h.Context(), now: began, store: store, folder: h.TempDir()}
	producer := logtest.NewProducer(h, store, at(began))
	next := map[Patient]int{}
	var batch []logtest.State
	for {
		var alive []Patient // who have events to come
		for p, states := range lives {
			if next[p] < len(states) {
				alive = append(alive, p)
			}
		}
		if len(alive) == 0 {
			break
		}
		slices.Sort(alive)
		p := rapid.SampledFrom(alive).Draw(t, "next")
		s := lives[p][next[p]]
		next[p]++
		if rapid.Bool().Draw(t, "cut") || slices.ContainsFunc(batch, func(o logtest.State) bool { return o.Patient == s.Patient }) {
			producer.Changes(batch...)
			batch = nil
		}
		batch = append(batch, s)
	}
	producer.Changes(batch...)
	return w
}
