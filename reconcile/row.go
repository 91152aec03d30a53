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

	slimState, slimNulls uint64 // the same of the columns of slim parts
}

// slim returns the row as a slim consumer has it.
func (r row) slim() row {
	r.state, r.nulls = r.slimState, r.slimNulls
	return r
}

// scanner takes rows from tuples in PostgreSQL's binary COPY format that have the contract's
// columns. Every side is read in this form: the same bytes are hashed by the same code.
type scanner struct {
	index  map[string]int    // of columns
	events map[string]string // so that no text is allocated per row
	fields [][]byte          // of the current tuple, each with its length before it
	all    []bool            // of the columns: every one
	narrow []bool            // those of slim parts
	state  []byte            // the fields that make up a state
}

func newScanner(contract *schemas.Contract) *scanner {
	s := &scanner{index: map[string]int{}, events: map[string]string{}, fields: make([][]byte, len(contract.Columns))}
	for i, column := range contract.Columns {
		s.index[column.Name] = i
		s.all, s.narrow = append(s.all, true), append(s.narrow, column.Slim)
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
	r := row{
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
	}
	r.state, r.nulls = s.stateOf(s.all)
	r.slimState, r.slimNulls = s.stateOf(s.narrow)
	return r, nil
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

// stateOf returns the hash of a state of some columns, and a bit for each of them that is NULL.
func (s *scanner) stateOf(columns []bool) (sum, nulls uint64) {
	event, baseline, bit := s.index["event"], s.index["baseline"], 0
	s.state = s.state[:0]
	for i, field := range s.fields {
		if !columns[i] {
			continue
		}
		if i != event && i != baseline {
			s.state = append(s.state, field...)
		}
		if int32(binary.BigEndian.Uint32(field)) < 0 {
			nulls |= 1 << bit
		}
		bit++
	}
	return digest(s.state), nulls
}

func digest(fields []byte) uint64 {
	sum := sha256.Sum256(fields)
	return binary.BigEndian.Uint64(sum[:])
}
