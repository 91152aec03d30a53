package oracle

import (
	"maps"
	"slices"
)

// Service is a consumer's service, which acts on states.
type Service interface {
	// Look raises alerts for people, in any mode, and returns what it did.
	Look(Run) []Effect
	// Act brings the effects of these patients' states up to date, and returns what it did.
	Act(Run) []Effect
	Clone() Service
	Braked(kind string) bool
	// See passes the known states to the service, also if it does not act on them.
	See(Known)
}

// Run is a batch's data for a service.
type Run struct {
	Known
	Now     Minute
	Notices map[Death]Notice
	Changed []Patient
}

// Notice is when a consumer first learned of a death. A historic one has no effects.
type Notice struct {
	At       Minute
	Historic bool
}

// Effect is one thing done.
type Effect struct {
	Kind string
	Death
	Observed bool // only recorded, not applied
}

// Entry is a row of the ledger.
type Entry struct {
	Batch, Rerun  int
	Rows, Changed int
	Effects       []Effect
	Observed      bool
}

// Consumer follows a log.
type Consumer struct {
	Service
	Started    bool
	Checkpoint int // the last batch applied
	Held       int // the batch that a brake stopped; 0: none
	Known      Known
	Notices    map[Death]Notice
	Ledger     []Entry

	Observed   map[Patient]bool // patients whose effects mode observe only recorded
	generation int              // of the last batch applied
	approved   map[int]bool
}

// NewConsumer returns one that has loaded nothing.
func NewConsumer(s Service) *Consumer {
	return &Consumer{Service: s, Checkpoint: -1, Known: Known{}, Notices: map[Death]Notice{}, approved: map[int]bool{}, Observed: map[Patient]bool{}}
}

// Clone returns an independent copy.
func (c *Consumer) Clone() *Consumer {
	clone := *c
	clone.Service, clone.Known, clone.Notices = c.Service.Clone(), maps.Clone(c.Known), maps.Clone(c.Notices)
	clone.Ledger, clone.approved = slices.Clone(c.Ledger), maps.Clone(c.approved)
	clone.Observed = maps.Clone(c.Observed)
	return &clone
}

// Bounds are on the effects of one run.
type Bounds struct {
	Now       Minute
	ActWithin Minute
	Brake     int // 0: none
	Observe   bool
}

// Import loads new batches; it reports whether it reached the log's end.
func (c *Consumer) Import(l *Log, bounds Bounds, approve bool) bool {
	if !c.Started {
		c.Started, c.Checkpoint = true, l.newestSnapshot()-1
	}
	if approve {
		c.approved[c.Held] = true
	}
	if c.Held != 0 && !c.approved[c.Held] {
		return false
	}
	spent := map[string]int{}
	if len(c.Observed) > 0 && !bounds.Observe && !c.makeUp(bounds, spent) {
		return false
	}
	for _, b := range l.Batches[c.Checkpoint+1:] {
		if !c.load(b, bounds, spent, false, false) {
			c.Held = b.Number
			return false
		}
		c.Checkpoint, c.Held = b.Number, 0
	}
	return true
}

// Rerun loads batches again; it reports whether it loaded all.
func (c *Consumer) Rerun(batches []Batch, bounds Bounds, reapply bool) bool {
	spent := map[string]int{}
	for _, b := range batches {
		if !c.load(b, bounds, spent, true, reapply) {
			return false
		}
	}
	return true
}

// load applies a batch whole, or not at all if it exceeds the brake.
func (c *Consumer) load(b Batch, bounds Bounds, spent map[string]int, rerun, reapply bool) bool {
	next := c.Clone()
	events := c.subscribed(b)
	changed, effects := next.project(b, events)
	projected := len(changed)
	if reapply {
		for _, e := range events {
			if _, known := next.Known[e.Patient]; known {
				changed[e.Patient] = true
			}
		}
	}
	next.See(next.Known)
	effects = append(effects, next.notice(changed, b.Kind, events, bounds)...)
	effects = append(effects, next.act(changed, bounds)...)
	if bounds.Brake > 0 && !bounds.Observe && (rerun || !c.approved[b.Number]) && c.brake(effects, spent, bounds.Brake) {
		return false
	}
	entry := Entry{Batch: b.Number, Rows: len(events), Changed: projected, Effects: effects, Observed: bounds.Observe}
	if rerun {
		entry.Rerun = c.reruns(b.Number)
	}
	next.Ledger = append(next.Ledger, entry)
	if !rerun {
		next.generation = b.Generation
	}
	*c = *next
	return true
}

// reruns returns the number of a batch's next row in the ledger.
func (c *Consumer) reruns(batch int) (n int) {
	n = 1
	for _, e := range c.Ledger {
		if e.Batch == batch {
			n = max(n, e.Rerun+1)
		}
	}
	return n
}

// act applies the effects of these patients' states, or only computes them.
func (c *Consumer) act(changed map[Patient]bool, bounds Bounds) (effects []Effect) {
	run := Run{Known: c.Known, Now: bounds.Now, Notices: c.Notices, Changed: slices.Sorted(maps.Keys(changed))}
	effects = c.Look(run)
	acting := c.Service
	if bounds.Observe {
		acting = acting.Clone()
	}
	for _, e := range acting.Act(run) {
		e.Observed = bounds.Observe
		effects = append(effects, e)
	}
	for p := range changed {
		if c.Observed[p] = bounds.Observe; !bounds.Observe {
			delete(c.Observed, p)
		}
	}
	return effects
}

// makeUp applies the effects that were only observed, if the brake allows.
func (c *Consumer) makeUp(bounds Bounds, spent map[string]int) bool {
	next := c.Clone()
	next.See(next.Known)
	effects := next.act(maps.Clone(c.Observed), bounds)
	if bounds.Brake > 0 && c.brake(effects, spent, bounds.Brake) {
		return false
	}
	next.Ledger = append(next.Ledger, Entry{Batch: c.Checkpoint, Rerun: c.reruns(c.Checkpoint), Effects: effects})
	*c = *next
	return true
}

// subscribed returns the events that both consumers read. Appointments need no names.
func (c *Consumer) subscribed(b Batch) []Event {
	events := slices.DeleteFunc(slices.Clone(b.Events), func(e Event) bool { return e.Kind == "registered" || e.Kind == "updated" })
	if _, slim := c.Service.(*Clinic); slim {
		for i := range events {
			events[i].Identity = Identity{}
		}
	}
	return events
}

// outlasts reports which of two events of one patient in a batch counts: an erasure, else the later one.
func (e Event) outlasts(other Event) bool {
	if (e.Kind == erased) != (other.Kind == erased) {
		return e.Kind == erased
	}
	return e.newer(other)
}

// project takes newer states, and takes back the patients who vanished.
func (c *Consumer) project(b Batch, events []Event) (changed map[Patient]bool, effects []Effect) {
	changed = map[Patient]bool{}
	newest := map[Patient]Event{}
	for _, e := range events {
		if other, named := newest[e.Patient]; !named || e.outlasts(other) {
			newest[e.Patient] = e
		}
	}
	for _, e := range newest {
		if e.Generation < c.generation {
			continue // a re-run must not bring back patients whom a generation has forgotten
		}
		if known, ok := c.Known[e.Patient]; !ok || known.Kind != erased && (e.Kind == erased || e.newer(known)) {
			c.Known[e.Patient] = e
			changed[e.Patient] = true
		}
	}
	for p, e := range c.Known {
		if b.Kind == "snapshot" && e.Generation < b.Generation && newest[p].Patient == 0 && e.Kind != erased {
			e.Kind, e.Baseline, e.Generation, e.Version, e.Revision = "death_retracted", true, b.Generation, 0, 0
			e.Fate, e.Into = Fate{Status: "none"}, 0
			c.Known[p] = e
			changed[p] = true
			effects = append(effects, Effect{Kind: "vanished", Death: e.Death()})
		}
	}
	if b.Kind == "snapshot" && b.Generation > c.generation { // of deaths of a lost past nothing counts
		maps.DeleteFunc(c.Notices, func(d Death, _ Notice) bool {
			known := c.Known[d.Patient]
			return changed[d.Patient] && (known.Version == 0 || d.No > known.DeathNo)
		})
	}
	for p := range changed {
		if c.Known.erased(p) {
			effects = append(effects, Effect{Kind: erased, Death: Death{p, 0}})
		}
	}
	return changed, effects
}

// notice notes new deaths, and deaths that are no longer historic: these patients count as changed.
func (c *Consumer) notice(changed map[Patient]bool, kind string, events []Event, bounds Bounds) (effects []Effect) {
	for p, e := range c.Known {
		was, noticed := c.Notices[e.Death()]
		seen := slices.ContainsFunc(events, func(o Event) bool { return o.sees(e.Death(), kind) })
		if !e.Dead() || !seen && !changed[p] || noticed && !was.Historic {
			continue
		}
		is := e.historic(kind, events, bounds)
		switch {
		case !is:
			c.Notices[e.Death()] = Notice{bounds.Now, false}
			changed[p] = true
		case !noticed:
			c.Notices[e.Death()] = Notice{bounds.Now, true}
			effects = append(effects, Effect{Kind: "historic", Death: e.Death()})
		}
	}
	for _, e := range events { // a death that the batch retracts as well was seen all the same
		_, noticed := c.Notices[e.Death()]
		if !noticed && e.Kind == "died" && !e.Baseline && e.Generation >= c.generation && !c.Known.erased(e.Patient) {
			c.Notices[e.Death()] = Notice{bounds.Now, e.historic(kind, events, bounds)}
		}
	}
	return effects
}

// sees reports whether the event, of a batch of this kind, says that this death was seen.
func (e Event) sees(death Death, kind string) bool {
	return e.Death() == death && !e.Baseline && (e.Kind == "died" || kind == "snapshot")
}

// historic judges a death by what a batch says of it. One without a date is historic if nobody saw it; one with
// a date, if that is long ago and nobody saw a known patient die.
func (e Event) historic(kind string, events []Event, bounds Bounds) bool {
	return !slices.ContainsFunc(events, func(o Event) bool {
		return o.sees(e.Death(), kind) && (o.Version > 1 || e.Period == Period{})
	}) && (e.Period == Period{} || e.Period.To < bounds.Now-bounds.ActWithin)
}

func (c *Consumer) brake(effects []Effect, spent map[string]int, limit int) (over bool) {
	for _, e := range effects {
		if e.Kind == erased || e.Kind == "vanished" || c.Braked(e.Kind) {
			spent[e.Kind]++
			over = over || spent[e.Kind] > limit
		}
	}
	return over
}
