package oracle_test

import (
	"cmp"
	"flag"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	. "waybill/lab/oracle"
	"waybill/lab/pg/pgtest"
)

// A short run by default: -rapid.checks and -rapid.steps ask for more, -rapid.seed for the same again.
// TestMain has the same histories every time, so that a change is judged by what it changes; `make histories` looks for others.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.seed": "1", "rapid.checks": "8", "rapid.steps": "40"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	pgtest.Main(m)
}

// TestProofAnyHistory has the services and the model live through random histories.
func TestProofAnyHistory(t *testing.T) {
	h := newHospital(t)
	seen := tally{}
	defer func() { t.Log(seen) }()
	rapid.Check(t, func(t *rapid.T) {
		w := h.newWorld(t)
		defer w.end()
		defer seen.add(w)
		t.Repeat(w.actions())
		w.commitOpen()
		w.commitOpen()
		w.export()
		for _, consumer := range []string{"morgue", "appointments"} {
			w.load(consumer, how{Approve: w.model[consumer].Held != 0})
		}
		w.agreeOnTheLog()
		w.audited()
		for _, consumer := range []string{"morgue", "appointments"} {
			w.settled(consumer)
		}
	})
}

// tally counts what histories led to, to see that they lead everywhere.
type tally map[string]int

func (n tally) add(w *world) {
	n["histories"]++
	for name, c := range w.model {
		for _, entry := range c.Ledger {
			n["loads"]++
			for _, effect := range entry.Effects {
				n[name+" "+effect.Kind]++
			}
		}
	}
	for _, outcome := range w.clinic().Worklist {
		n["detail "+outcome.Detail]++
	}
	for _, b := range w.log.Batches {
		n[b.Kind]++
	}
	n["held"] += w.held
	n["actions"] += w.acted
	n["generations"] += w.log.Batches[len(w.log.Batches)-1].Generation - 1
}

// actions returns what may happen next; what should happen more often has several names.
func (w *world) actions() map[string]func(*rapid.T) {
	on := func(do func(*rapid.T)) func(*rapid.T) {
		return func(t *rapid.T) {
			w.tester = t
			do(t)
			w.acted++
		}
	}
	actions := map[string]func(*rapid.T){}
	for name, action := range map[string]struct {
		weight int
		do     func(*rapid.T)
	}{
		"change":   {8, w.aChange},
		"exchange": {5, w.anExchange},
		"export":   {3, w.anExport},
		"import":   {3, w.anImport},
		"rerun":    {1, w.aRerun},
		"snapshot": {1, func(*rapid.T) { w.snapshot() }},
		"correct":  {1, w.aCorrection},
		"erase":    {1, w.anErasure},
		"open":     {2, w.anOpenTransaction},
		"backup":   {1, w.aBackup},
		"time":     {1, func(t *rapid.T) { w.pass(rapid.SampledFrom([]Minute{Hour, 5, Day, 31 * Day}).Draw(t, "time")) }},
		"morgue":   {4, w.atTheMorgue},
		"clinic":   {7, w.atTheClinic},
	} {
		for i := range action.weight {
			actions[name+string(rune('0'+i))] = on(action.do)
		}
	}
	return actions
}

// aChange is one transaction of the patients service.
func (w *world) aChange(t *rapid.T) {
	changes := make([]change, rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "changes"))
	planned := w.registry.Clone()
	for i := range changes {
		changes[i] = w.drawChange(t, planned)
		changes[i].model(planned)
	}
	w.commit(changes...)
}

const records = 4

func (w *world) drawChange(t *rapid.T, r *Registry) change {
	p := rapid.IntRange(1, records).Draw(t, "patient")
	known := r.Patients()
	if !slices.Contains(known, Patient(p)) {
		fate := Fate{Status: "none"}
		if rapid.IntRange(0, 3).Draw(t, "found") == 3 {
			fate = w.drawFate(t)
		}
		return register(Patient(p), drawIdentity(t), fate)
	}
	patient := Patient(p)
	if r.Erased(patient) || w.locked(patient) {
		return merge(patient, patient) // which is refused, as is everything else
	}
	switch rapid.SampledFrom([]string{"die", "live", "identify", "merge", "die again", "write"}).Draw(t, "what") {
	case "live":
		return decide(patient, Fate{Status: rapid.SampledFrom([]string{"none", "void"}).Draw(t, "status")})
	case "identify":
		return identify(patient, drawIdentity(t))
	case "merge":
		if w.open != nil {
			break // one merge at a time
		}
		return merge(patient, rapid.SampledFrom(known).Draw(t, "into"))
	case "write":
		if fate := w.drawFate(t); fate.Status != "informal" || r.Record(patient).Status != "formal" {
			return write(patient, fate)
		}
	}
	return decide(patient, w.drawFate(t))
}

func drawIdentity(t *rapid.T) Identity {
	return Identity{
		Family:     rapid.SampledFrom([]string{"Abel", "Baker", ""}).Draw(t, "family"),
		Given:      "Ada",
		BirthDate:  "1950-02-03",
		Identifier: rapid.SampledFrom([]string{"A", ""}).Draw(t, "identifier"),
		City:       rapid.SampledFrom([]string{"Town", "Village"}).Draw(t, "city"),
	}
}

// drawFate is a word on somebody's death. Void has no period.
func (w *world) drawFate(t *rapid.T) Fate {
	f := Fate{Status: rapid.SampledFrom([]string{"formal", "informal", "informal", "formal", "void"}).Draw(t, "status")}
	if f.Status == "void" {
		return f
	}
	f.Period.Precision = rapid.SampledFrom([]string{"", "minute", "day", "month", "year"}).Draw(t, "precision")
	length := map[string]Minute{"": 0, "minute": 1, "day": Day, "month": 30 * Day, "year": 365 * Day}[f.Period.Precision]
	if length > 0 {
		ago := rapid.SampledFrom([]Minute{0, 90, 0, Day, 31 * Day, 900 * Day, -90, -2 * Day}).Draw(t, "ago")
		f.Period.From = (w.now - ago) - ((w.now-ago)%length+length)%length
		f.Period.To = f.Period.From + length
	}
	return f
}

func drawConsumer(t *rapid.T) string {
	return rapid.SampledFrom([]string{"morgue", "appointments"}).Draw(t, "consumer")
}

func (w *world) anExchange(t *rapid.T) {
	brake := rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "brake")
	w.exchange(brake, rapid.SampledFrom([][]string{{"morgue", "appointments"}, {"morgue"}, {"appointments"}}).Draw(t, "consumers")...)
}

func (w *world) anImport(t *rapid.T) {
	consumer := drawConsumer(t)
	o := how{
		Brake:   rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "brake"),
		Approve: w.model[consumer].Held != 0 && rapid.Bool().Draw(t, "approve"),
	}
	switch rapid.IntRange(0, 9).Draw(t, "mode") {
	case 8:
		o.Observe = true
	case 9:
		o.DryRun, o.Approve = true, false
	}
	w.load(consumer, o)
}

func (w *world) aRerun(t *rapid.T) {
	consumer := drawConsumer(t)
	last := w.model[consumer].Checkpoint
	if last < 0 {
		t.Skip()
	}
	from := rapid.IntRange(w.model[consumer].Ledger[0].Batch, last).Draw(t, "from")
	w.rerun(consumer, from, rapid.IntRange(from, last).Draw(t, "to"), rapid.Bool().Draw(t, "reapply"),
		how{Brake: rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "brake")})
}

func (w *world) anExport(t *rapid.T) {
	w.exportAs(exporting{
		Cut:  rapid.Bool().Draw(t, "cut"),
		Down: rapid.SampledFrom([]string{"", "parts", "manifest", ""}).Draw(t, "down"),
	})
}

// anOpenTransaction leaves a transaction open, or ends the one that is.
func (w *world) anOpenTransaction(t *rapid.T) {
	if w.open != nil {
		w.commitOpen()
		return
	}
	known := slices.DeleteFunc(w.registry.Patients(), w.registry.Erased)
	if len(known) == 0 {
		t.Skip()
	}
	patient := rapid.SampledFrom(known).Draw(t, "patient")
	if rapid.IntRange(0, 2).Draw(t, "erase") == 2 {
		w.leaveOpen(patient, erase(patient))
		return
	}
	w.leaveOpen(patient, decide(patient, w.drawFate(t)))
}

func (w *world) aCorrection(t *rapid.T) {
	past := w.registry.Past()
	if len(past) == 0 {
		t.Skip()
	}
	w.correct(rapid.SampledFrom(past).Draw(t, "event"), rapid.SampledFrom([]string{"Repaired", "Corrected"}).Draw(t, "name"))
}

// anErasure is rare: a history needs patients who are left.
func (w *world) anErasure(t *rapid.T) {
	known := slices.DeleteFunc(w.registry.Patients(), func(p Patient) bool { return w.registry.Absent(p) || w.locked(p) })
	if len(known) == 0 || w.open != nil || rapid.IntRange(0, 2).Draw(t, "erase") != 2 {
		t.Skip()
	}
	patient := rapid.SampledFrom(known).Draw(t, "patient")
	w.erasing(patient)
	changes := []change{erase(patient)}
	if !w.registry.Erased(patient) && rapid.Bool().Draw(t, "changed before") {
		changes = append([]change{identify(patient, drawIdentity(t))}, changes...)
	}
	w.commit(changes...)
}

func (w *world) aBackup(t *rapid.T) {
	switch {
	case w.backup == nil:
		w.backUp()
	case rapid.IntRange(0, 2).Draw(t, "restore") == 2:
		w.restore()
	case rapid.IntRange(0, 9).Draw(t, "generation") == 9:
		w.newGeneration(false)
	}
}

func (w *world) atTheMorgue(t *rapid.T) {
	m := w.morgue()
	deaths := slices.SortedFunc(maps.Keys(m.Cases), func(a, b Death) int {
		return cmp.Or(cmp.Compare(a.Patient, b.Patient), cmp.Compare(a.No, b.No))
	})
	var open []Alert
	for _, a := range m.Alerts {
		if a.Resolved == "" {
			open = append(open, a)
		}
	}
	if len(open) > 0 && rapid.IntRange(0, 2).Draw(t, "resolve") == 2 {
		w.resolve(rapid.SampledFrom(open).Draw(t, "alert"))
		return
	}
	if without := rapid.IntRange(0, 11).Draw(t, "without notice"); without == 11 {
		w.takeIn()
		return
	} else if without == 10 {
		death := Death{Patient: Patient(rapid.IntRange(1, records).Draw(t, "patient")), No: rapid.IntRange(1, 2).Draw(t, "death")}
		if m.Cases[death] == nil {
			w.openByHand(death, Identity{Family: drawIdentity(t).Family}, Fate{Status: rapid.SampledFrom([]string{"none", "informal"}).Draw(t, "status")})
		}
		return
	}
	if len(deaths) == 0 {
		t.Skip()
	}
	death := rapid.SampledFrom(deaths).Draw(t, "case")
	c := m.Cases[death]
	act := rapid.SampledFrom([]string{"continue", "continue", "edit", "void", "reassign"}).Draw(t, "act")
	switch {
	case act == "reassign":
		expected := slices.DeleteFunc(slices.Clone(deaths), func(d Death) bool { return m.Cases[d].State != "expected" })
		if c.State != "received" && c.State != "released" || len(expected) == 0 {
			t.Skip()
		}
		w.reassign(death, rapid.SampledFrom(expected).Draw(t, "to"))
	case act == "edit":
		fate := w.drawFate(t)
		if fate.Status == "void" {
			fate.Status = "informal"
		}
		w.edit(death, rapid.SampledFrom([]string{"family_name", "address", "death_status", "death_time"}).Draw(t, "fact"), drawIdentity(t), fate)
	case c.State == "expected" && act == "void":
		w.void(death)
	case c.State == "expected":
		w.receive(death)
	case c.State == "received":
		w.release(death)
	case c.State == "void" && act == "void":
		w.reopen(death)
	default:
		t.Skip()
	}
}

func (w *world) atTheClinic(t *rapid.T) {
	c := w.clinic()
	numbers := slices.Sorted(maps.Keys(c.Calendar))
	act := rapid.SampledFrom([]string{"book", "set", "set", "book", "move", "postpone", "remove", "deal", "set", "book", "decide"}).Draw(t, "act")
	switch act {
	case "deal":
		w.aDeal(t)
		return
	case "decide":
		w.decideKind("farewell", !c.Stays["farewell"])
		return
	}
	start := w.now + rapid.SampledFrom([]Minute{Hour, 2 * Hour, Day, 32 * Day, 0, -Hour, -Day}).Draw(t, "start")
	patient := Patient(rapid.IntRange(1, records).Draw(t, "patient"))
	if act == "book" || len(numbers) == 0 {
		w.book(patient, rapid.SampledFrom([]string{"imaging", "imaging", "farewell", "imaging", "autopsy"}).Draw(t, "kind"), rapid.IntRange(1, 2).Draw(t, "resource"), start,
			rapid.SampledFrom([]Minute{0, 30, 90, 90, Day, 3 * Day}).Draw(t, "length"))
		return
	}
	n := rapid.SampledFrom(numbers).Draw(t, "appointment")
	switch act {
	case "set":
		w.set(n, rapid.SampledFrom([]string{"cancelled", "booked", "arrived", "fulfilled", "noshow"}).Draw(t, "status"))
	case "move":
		w.move(n, patient)
	case "postpone":
		w.postpone(n, start)
	case "remove":
		w.remove(n)
	}
}

func (w *world) aDeal(t *rapid.T) {
	var open []Item
	for item, outcome := range w.clinic().Worklist {
		if outcome.Resolved == "" {
			open = append(open, item)
		}
	}
	if len(open) == 0 {
		t.Skip()
	}
	slices.SortFunc(open, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Appointment, b.Appointment), cmp.Compare(a.Patient, b.Patient), cmp.Compare(a.No, b.No))
	})
	w.deal(rapid.SampledFrom(open).Draw(t, "item"))
}
