package reconcile

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/google/uuid"

	"waybill/schemas"
)

// order is what orders a patient's events.
type order struct {
	generation int32
	version    int64
	revision   int32
}

func (o order) compare(p order) int {
	return cmp.Or(cmp.Compare(o.generation, p.generation), cmp.Compare(o.version, p.version), cmp.Compare(o.revision, p.revision))
}

// row has what is compared of an event, and of a patient's state after it.
type row struct {
	event   string
	patient uuid.UUID
	order   order
	dead    bool
	erased  bool
	whole   uint64 // the hash of all columns
	state   uint64 // of all columns but event and baseline, which say how a state arose, not what it is
	nulls   uint64 // a bit per column, in the contract's order
}

// scanner takes rows from tuples in PostgreSQL's binary COPY format that have the contract's
// columns. Every side is read in this form: the same bytes are hashed by the same code.
type scanner struct {
	index  map[string]int    // of columns
	events map[string]string // so that no text is allocated per row
	fields [][]byte          // of the current tuple, each with its length before it
	state  []byte            // the fields that make up a state
}

func newScanner(contract *schemas.Contract) *scanner {
	s := &scanner{index: map[string]int{}, events: map[string]string{}, fields: make([][]byte, len(contract.Columns))}
	for i, column := range contract.Columns {
		s.index[column.Name] = i
	}
	for _, event := range contract.Events() {
		s.events[event] = event
	}
	return s
}

var errTuple = errors.New("a row does not have the contract's columns")

// scan takes one tuple, which it does not keep.
func (s *scanner) scan(tuple []byte) (row, error) {
	if !s.split(tuple) {
		return row{}, errTuple
	}
	event, patient := s.value("event"), s.value("patient_id")
	generation, version, revision := s.value("generation"), s.value("version"), s.value("revision")
	known := s.events[string(event)]
	if known == "" || len(patient) != 16 || len(generation) != 4 || len(version) != 8 || len(revision) != 4 {
		return row{}, errTuple
	}
	status := string(s.value("death_status"))
	return row{
		event:   known,
		patient: uuid.UUID(patient),
		order: order{
			generation: int32(binary.BigEndian.Uint32(generation)),
			version:    int64(binary.BigEndian.Uint64(version)),
			revision:   int32(binary.BigEndian.Uint32(revision)),
		},
		dead:   status == "informal" || status == "formal",
		erased: known == schemas.Erased,
		whole:  digest(tuple[2:]),
		state:  digest(s.without("event", "baseline")),
		nulls:  s.nulls(),
	}, nil
}

func (s *scanner) split(tuple []byte) bool {
	if len(tuple) < 2 || int(binary.BigEndian.Uint16(tuple)) != len(s.fields) {
		return false
	}
	rest := tuple[2:]
	for i := range s.fields {
		if len(rest) < 4 {
			return false
		}
		end := 4 + max(0, int(int32(binary.BigEndian.Uint32(rest)))) // NULL has the length -1 and no bytes
		if len(rest) < end {
			return false
		}
		s.fields[i], rest = rest[:end], rest[end:]
	}
	return len(rest) == 0
}

func (s *scanner) value(column string) []byte { return s.fields[s.index[column]][4:] }

// without returns all fields but two; the result is valid until the next call.
func (s *scanner) without(column, other string) []byte {
	first, second := s.index[column], s.index[other]
	s.state = s.state[:0]
	for i, field := range s.fields {
		if i != first && i != second {
			s.state = append(s.state, field...)
		}
	}
	return s.state
}

func (s *scanner) nulls() (bits uint64) {
	for i, field := range s.fields {
		if int32(binary.BigEndian.Uint32(field)) < 0 {
			bits |= 1 << i
		}
	}
	return bits
}

func digest(fields []byte) uint64 {
	sum := sha256.Sum256(fields)
	return binary.BigEndian.Uint64(sum[:])
}
