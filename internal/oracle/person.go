package oracle

import (
	"maps"
	"slices"
)

// Known is the newest state of every patient that a consumer has heard of.
type Known map[Patient]Event

// chain returns a record and those it was merged into, one after the other. The last may be one
// that nobody has heard of.
func (k Known) chain(p Patient) []Patient {
	chain := []Patient{p}
	for k[p].Into != 0 {
		p = k[p].Into
		chain = append(chain, p)
	}
	return chain
}

// standing is what a record's merges make of its vital status.
type standing int

const (
	living      standing = iota
	dead                 // and the person's death is known
	unconfirmed          // dead, but merged into a record that was not heard of
	contested            // dead, but merged into a record that is known to be alive
)

// standing returns a person's vital status as one of their records has it, and the record whose death
// it is: the dead one nearest to the end of the merges.
func (k Known) standing(p Patient) (standing, Patient) {
	chain := k.chain(p)
	end := chain[len(chain)-1]
	for _, r := range slices.Backward(chain) {
		switch _, heard := k[end]; {
		case !k[r].Dead():
		case r == end:
			return dead, r
		case heard:
			return contested, r
		default:
			return unconfirmed, r
		}
	}
	return living, 0
}

// persons returns all records of those whom these records belong to, in order.
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
	return slices.Sorted(maps.Keys(records))
}
