package reconcile

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"

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

// row is what is compared of an event, and of a patient's state after it.
type row struct {
	event   string
	patient uuid.UUID
	order   order
	dead    bool
	whole   uint64 // the hash of all columns
	state   uint64 // of all but event and baseline, which tell how a state came and not what it is
}

// scanner takes rows from tuples in PostgreSQL's binary COPY format that have the contract's
// columns. Every side is read in this form: the same bytes are hashed by the same code.
type scanner struct {
	contract *schemas.Contract
	events   map[string]string // so that a row's text is not allocated
	fields   [][]byte          // of the current tuple, each with its length before it
	hash     hash.Hash
	sum      []byte
}

func newScanner() *scanner {
	contract := schemas.PatientEvents()
	s := &scanner{contract: contract, events: map[string]string{}, fields: make([][]byte, len(contract.Columns)), hash: sha256.New()}
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
		dead:  status == "informal" || status == "formal",
		whole: s.digest(-1, -1),
		state: s.digest(s.contract.Index("event"), s.contract.Index("baseline")),
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

func (s *scanner) value(column string) []byte { return s.fields[s.contract.Index(column)][4:] }

// digest returns the first eight bytes of the SHA-256 over the fields and their lengths, but two.
func (s *scanner) digest(but, andBut int) uint64 {
	s.hash.Reset()
	for i, field := range s.fields {
		if i != but && i != andBut {
			s.hash.Write(field)
		}
	}
	s.sum = s.hash.Sum(s.sum[:0])
	return binary.BigEndian.Uint64(s.sum)
}
