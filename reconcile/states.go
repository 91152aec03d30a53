package reconcile

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"

	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// state is a patient after one event.
type state struct {
	patient uuid.UUID
	order   order
	batch   int64 // that brought it; -1 if unknown
	sum     uint64
	nulls   uint64 // 0 if unknown
	dead    bool
	erased  bool
}

// flags of a state in its file.
const (
	isDead byte = 1 << iota
	isErased
)

// lacks reports whether some columns are NULL only in this state, and none only in the other. A load by a release
// that did not know a column leaves such a state.
func (s state) lacks(t state) bool { return s.nulls&^t.nulls != 0 && t.nulls&^s.nulls == 0 }

func (s state) compare(t state) int {
	return cmp.Or(bytes.Compare(s.patient[:], t.patient[:]), s.order.compare(t.order))
}

const (
	shares    = 16 // shares of the patients; one is in memory at a time
	stateSize = 16 + 4 + 8 + 4 + 8 + 8 + 8 + 1
)

// States holds the states of any number of patients in files, in shares by patient.
type States struct {
	dir     string
	scanner *scanner
	files   [shares]*os.File
	writers [shares]*bufio.Writer
	record  []byte
}

// NewStates returns an empty set whose files lie in the folder spool. Errors are [fault.Transient].
func NewStates(spool string, contract *schemas.Contract) (*States, error) {
	dir, err := os.MkdirTemp(spool, "states-*")
	if err != nil {
		return nil, spoolFault(err)
	}
	s := &States{dir: dir, scanner: newScanner(contract)}
	for i := range s.files {
		if s.files[i], err = os.Create(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			s.Close()
			return nil, spoolFault(err)
		}
		s.writers[i] = bufio.NewWriter(s.files[i])
	}
	return s, nil
}

// Close removes the files.
func (s *States) Close() {
	if s == nil {
		return
	}
	for _, file := range s.files {
		if file != nil {
			_ = file.Close()
		}
	}
	_ = os.RemoveAll(s.dir)
}

// Copy returns a writer for a COPY of rows with the contract's columns, in PostgreSQL's binary format.
func (s *States) Copy() *part.TupleSplitter {
	return part.NewTupleSplitter(func(tuple []byte) error {
		r, err := s.scanner.scan(tuple)
		if err != nil {
			return fault.New(fault.Usage, "read", "projection", err, "run `waybill migrate` with this configuration")
		}
		return s.add(r, -1)
	})
}

func (s *States) add(r row, batch int64) error {
	s.record = append(s.record[:0], r.patient[:]...)
	s.record = binary.BigEndian.AppendUint32(s.record, uint32(r.order.generation))
	s.record = binary.BigEndian.AppendUint64(s.record, uint64(r.order.version))
	s.record = binary.BigEndian.AppendUint32(s.record, uint32(r.order.revision))
	s.record = binary.BigEndian.AppendUint64(s.record, uint64(batch))
	s.record = binary.BigEndian.AppendUint64(s.record, r.state)
	s.record = binary.BigEndian.AppendUint64(s.record, r.nulls)
	var flags byte
	if r.dead {
		flags |= isDead
	}
	if r.erased {
		flags |= isErased
	}
	if _, err := s.writers[share(r.patient)].Write(append(s.record, flags)); err != nil {
		return spoolFault(err)
	}
	return nil
}

func share(patient uuid.UUID) int { return bucket(patient) % shares }

// load returns one share, sorted; states of equal order stay as they came.
func (s *States) load(i int) ([]state, error) {
	if err := s.writers[i].Flush(); err != nil {
		return nil, spoolFault(err)
	}
	data, err := os.ReadFile(s.files[i].Name())
	if err != nil {
		return nil, spoolFault(err)
	}
	states := make([]state, 0, len(data)/stateSize)
	for ; len(data) >= stateSize; data = data[stateSize:] {
		states = append(states, decode(data))
	}
	slices.SortStableFunc(states, state.compare)
	return states, nil
}

func decode(b []byte) state {
	return state{
		patient: uuid.UUID(b[:16]),
		order: order{
			generation: int32(binary.BigEndian.Uint32(b[16:])),
			version:    int64(binary.BigEndian.Uint64(b[20:])),
			revision:   int32(binary.BigEndian.Uint32(b[28:])),
		},
		batch:  int64(binary.BigEndian.Uint64(b[32:])),
		sum:    binary.BigEndian.Uint64(b[40:]),
		nulls:  binary.BigEndian.Uint64(b[48:]),
		dead:   b[56]&isDead != 0,
		erased: b[56]&isErased != 0,
	}
}

// newest keeps each patient's newest state; of equal ones, the first. Only another erasure in the
// same batch is newer than an erasure.
func newest(states []state) []state {
	kept := states[:0]
	for _, s := range states {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].patient != s.patient:
			kept = append(kept, s)
		case kept[last].erased && (!s.erased || s.batch != kept[last].batch):
		case s.erased || s.order.compare(kept[last].order) > 0:
			kept[last] = s
		}
	}
	return kept
}

// erasedIn returns the patients with a state that says they were erased.
func erasedIn(states ...[]state) map[uuid.UUID]bool {
	erased := map[uuid.UUID]bool{}
	for _, s := range slices.Concat(states...) {
		if s.erased {
			erased[s.patient] = true
		}
	}
	return erased
}

// distinct keeps one state per patient and order, the first.
func distinct(states []state) []state {
	return slices.CompactFunc(states, func(a, b state) bool { return a.compare(b) == 0 })
}

func spoolFault(err error) error {
	return fault.New(fault.Transient, "spool", "states", err, "is the spool's disk full?")
}
