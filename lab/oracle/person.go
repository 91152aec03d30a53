package oracle

import (
	"fmt"
	"maps"
	"slices"
)

// Known is the newest state of every patient that a consumer knows.
type Known map[Patient]Event

// chain returns a record and those it was merged into, one after the other. The last may be one
// that is unknown.
func (k Known) chain(p Patient) []Patient {
	chain := []Patient{p}
	for k[p].Into != 0 {
		p = k[p].Into
		chain = append(chain, p)
	}
	return chain
}

// standing is a record's vital status after its merges.
type standing int

const (
	living      standing = iota
	dead                 // and so is the person
	unconfirmed          // dead, but merged into an unknown record
	contested            // dead, but merged into a record that is known to be alive
	historic             // died long ago
)

// standing returns a person's vital status as one of their records has it, and the record whose death
// it is: the dead one nearest to the end of the merges. A historic death does not stand for another.
func (r Run) standing(p Patient) (standing, Patient) {
	chain := r.chain(p)
	end := chain[len(chain)-1]
	_, heard := r.Known[end]
	whose := r.last(chain, r.acts)
	switch {
	case whose == 0:
		if whose = r.last(chain, func(p Patient) bool { return r.Known[p].Dead() }); whose == 0 {
			return living, 0
		}
		return historic, whose
	case r.Known[end].Dead():
		return dead, whose
	case heard:
		return contested, whose
	}
	return unconfirmed, whose
}

// personDead reports whether the record at the end of a record's merges is known to be dead.
func (k Known) personDead(p Patient) bool {
	chain := k.chain(p)
	return k[chain[len(chain)-1]].Dead()
}

// conflict names the person that a dead record was merged into, and whether that person is known.
func (k Known) conflict(p Patient) string {
	chain := k.chain(p)
	end := chain[len(chain)-1]
	_, heard := k[end]
	return fmt.Sprint(end, heard)
}

// acts reports whether a record is dead by a death that has effects.
func (r Run) acts(p Patient) bool {
	e := r.Known[p]
	return e.Dead() && !r.Notices[e.Death()].Historic
}

// future reports whether a death is said to begin on a day after its notice.
func (r Run) future(e Event) bool {
	return e.Dead() && e.Period != (Period{}) && e.Period.From/Day > r.Notices[e.Death()].At/Day
}

func (Run) last(chain []Patient, is func(Patient) bool) Patient {
	for _, p := range slices.Backward(chain) {
		if is(p) {
			return p
		}
	}
	return 0
}

// persons returns, in order, all records of the persons whom these records belong to. It leaves out
// erased records and records whose survivor is erased.
func (k Known) persons(of []Patient) []Patient {
	ends, records := map[Patient]bool{}, map[Patient]bool{}
	for _, p := range of {
		chain := k.chain(p)
		ends[chain[len(chain)-1]], records[p] = true, true
	}
	for p := range k {
		if chain := k.chain(p); ends[chain[len(chain)-1]] {
			for _, r := range chain {
				records[r] = true
			}
		}
	}
	maps.DeleteFunc(records, func(p Patient, _ bool) bool {
		chain := k.chain(p)
		return k.erased(chain[len(chain)-1])
	})
	return slices.Sorted(maps.Keys(records))
}
