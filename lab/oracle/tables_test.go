package oracle_test

import (
	"testing"

	. "waybill/lab/oracle"
)

// TestTheTablesTell lives through histories that triggers, apply.sql and every check once agreed on, and
// that the patients tables alone show to be wrong. The model is not asked: it may be wrong like them.
func TestTheTablesTell(t *testing.T) {
	h := newHospital(t)
	alive, dead, void := Fate{Status: "none"}, Fate{Status: "informal"}, Fate{Status: "void"}
	known := func(w *world, p Patient) {
		w.commit(register(p, Identity{Family: "Abel"}, alive))
		w.book(p, "imaging", int(p), began+40*Day, Hour)
	}
	both := func(w *world) { w.exchange(0, "morgue", "appointments") }
	certified := func(w *world) Fate { return Fate{"formal", Period{w.now - Day, w.now, "day"}} }
	for name, live := range map[string]func(*world){
		"erased while a planned batch waits": func(w *world) {
			known(w, 1)
			w.commit(decide(1, dead))
			both(w)
			w.commit(decide(1, certified(w)))
			w.exportAs(exporting{Down: "parts"})
			w.erasing(1)
			w.commit(erase(1))
		},
		"erased behind a back-log that is cut": func(w *world) {
			known(w, 1)
			w.commit(decide(1, dead))
			both(w)
			w.receive(Death{Patient: 1, No: 1})
			w.commit(decide(1, certified(w)))
			w.erasing(1)
			w.commit(erase(1))
			w.exportAs(exporting{Cut: true})
		},
		"erased by a transaction that is open at the cursor": func(w *world) {
			known(w, 1)
			w.commit(decide(1, dead))
			both(w)
			w.commit(decide(1, certified(w)))
			w.leaveOpen(1, erase(1))
			w.exportAs(exporting{Down: "parts"})
			w.commitOpen()
		},
		"a person of two records erased behind a back-log that is cut": func(w *world) {
			known(w, 1)
			known(w, 2)
			w.commit(merge(2, 1))
			w.commit(decide(1, dead))
			both(w)
			w.commit(decide(1, certified(w)))
			w.erasing(1)
			w.commit(erase(1))
			w.exportAs(exporting{Cut: true})
		},
		"dead on arrival": func(w *world) {
			w.commit(register(1, Identity{}, dead))
			w.book(1, "imaging", 1, began+40*Day, Hour)
		},
		"dead on arrival, certified later": func(w *world) {
			w.commit(register(1, Identity{}, dead))
			w.book(1, "imaging", 1, began+40*Day, Hour)
			both(w)
			w.commit(decide(1, certified(w)))
		},
		"dead for years by a mistyped date": func(w *world) {
			w.commit(register(1, Identity{}, Fate{"formal", Period{-900 * Day, -899 * Day, "day"}}))
			w.book(1, "imaging", 1, began+40*Day, Hour)
			both(w)
			w.commit(decide(1, certified(w)))
		},
		"a death that waits when a generation begins": func(w *world) {
			known(w, 1)
			both(w)
			w.commit(decide(1, dead))
			w.newGeneration(false)
		},
		"a death that waits in a restored database": func(w *world) {
			known(w, 1)
			both(w)
			w.commit(decide(1, dead))
			w.backUp()
			w.restore()
		},
		"retracted after the backup": func(w *world) {
			known(w, 1)
			w.commit(decide(1, Fate{Status: "formal"}))
			both(w)
			w.backUp()
			w.commit(decide(1, alive))
			w.newGeneration(false)
			both(w)
			w.restore()
		},
		"retracted in the batch that saw it": func(w *world) {
			both(w)
			w.commit(register(1, Identity{Family: "Abel"}, Fate{Status: "informal"}))
			w.backUp()
			w.commit(decide(1, alive))
			both(w)
			w.restore()
		},
		"a body received for the erased": func(w *world) {
			known(w, 1)
			w.commit(decide(1, dead))
			both(w)
			w.erasing(1)
			w.commit(erase(1))
			both(w)
			w.reopen(Death{Patient: 1, No: 1})
			w.receive(Death{Patient: 1, No: 1})
		},
		"a case that a person voided in a lost past": func(w *world) {
			known(w, 1)
			both(w)
			w.backUp()
			w.commit(decide(1, dead))
			both(w)
			w.void(Death{Patient: 1, No: 1})
			w.restore()
			both(w)
			w.commit(decide(1, dead))
		},
		"an item that a person dealt with in a lost past": func(w *world) {
			known(w, 1)
			both(w)
			w.backUp()
			w.commit(decide(1, dead))
			both(w)
			n := w.book(1, "imaging", 2, began+41*Day, Hour)
			w.deal(Item{"booked_after_death", n, Death{Patient: 1, No: 1}})
			w.restore()
			both(w)
			w.commit(decide(1, dead))
		},
		"erased in a lost past": func(w *world) {
			known(w, 1)
			w.commit(decide(1, dead))
			both(w)
			w.backUp()
			w.commit(erase(1))
			both(w)
			w.restore()
		},
		"retracted in a lost past, with the body here": func(w *world) {
			known(w, 1)
			both(w)
			w.backUp()
			w.commit(decide(1, dead))
			both(w)
			w.receive(Death{Patient: 1, No: 1})
			w.restore()
		},
		"what happened while capture was off": func(w *world) {
			known(w, 1)
			known(w, 2)
			w.commit(decide(2, certified(w)))
			both(w)
			w.unwatched(write(1, certified(w)), write(2, alive), register(3, Identity{}, certified(w)))
		},
		"void and dead again in batches of one transaction": func(w *world) {
			known(w, 1)
			w.commit(decide(1, dead))
			both(w)
			w.receive(Death{Patient: 1, No: 1})
			w.commit(decide(1, void))
			w.commit(decide(1, dead))
			w.exportAs(exporting{Cut: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := h.newWorld(t)
			defer w.end()
			w.blind = true
			live(w)
			both(w)
			w.audited()
		})
	}
}
