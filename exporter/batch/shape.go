package batch

import (
	"slices"

	"waybill/schemas"
	"waybill/schemas/part"
)

// shape is what parts have in common, of which one is open at a time.
type shape struct {
	event    string            // or Mixed
	contract *schemas.Contract // of its columns
	slim     *part.Narrower    // of tuples; nil: it has all columns
	readers  []string          // who can open it; nil: everybody
	open     *openPart
}

// shapes are those of a batch's parts, in order, and by the event type that they take.
type shapes struct {
	all []*shape
	of  map[string][]*shape
}

// shapes returns the shapes of mixed parts, one for each set of readers, or of parts of one event type each. Slim readers
// have parts of their own.
func (b *writer) shapes(mixed bool) shapes {
	s := shapes{of: map[string][]*shape{}}
	for _, event := range b.Contract.Events() {
		if b.plan.Seal == nil {
			s.take(event, mixed, shape{contract: b.Contract})
			continue
		}
		readers := b.plan.Seal.Readers
		s.take(event, mixed, shape{contract: b.Contract, readers: readers.Of(event, false)})
		if slim := readers.Of(event, true); len(slim) > 0 {
			s.take(event, mixed, shape{contract: b.Contract.Slim(), slim: part.NewNarrower(b.Contract), readers: slim})
		}
	}
	return s
}

// take adds a shape that takes an event type, unless a mixed one for the same readers exists.
func (s *shapes) take(event string, mixed bool, new shape) {
	at := -1
	if new.event = event; mixed {
		new.event = schemas.Mixed
		at = slices.IndexFunc(s.all, func(is *shape) bool {
			return (is.slim == nil) == (new.slim == nil) && slices.Equal(is.readers, new.readers)
		})
	}
	if at < 0 {
		at = len(s.all)
		s.all = append(s.all, &new)
	}
	s.of[event] = append(s.of[event], s.all[at])
}

// taking returns the shapes that take a tuple. One of an unknown type goes where it will be refused.
func (s *shapes) taking(tuple []byte) []*shape {
	if of := s.of[string(eventOf(tuple))]; of != nil { // does not allocate
		return of
	}
	return s.all[:1]
}
