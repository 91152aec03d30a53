package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"

	"github.com/google/uuid"
)

// maxBuckets bounds the number of a tally's sums. A difference can be narrowed down to the rows of one bucket.
const maxBuckets = 4096

// Tally is a set of rows in any order: how many, and the sum, modulo 2^64, of their hashes in each
// of some buckets of patients. The number of buckets is a power of 2. Folding a tally in halves
// gives the tally of the same rows in fewer buckets, so any two tallies can be compared.
type Tally struct {
	Rows int64 `json:"rows"`
	Sums sums  `json:"sums"`
	// Listed is every row by itself, if it was asked for.
	Listed []listed `json:"listed,omitempty"`
}

func newTally() *Tally { return &Tally{Sums: make(sums, maxBuckets)} }

// bucket returns a patient's bucket of maxBuckets. With only n buckets it is the remainder by n.
func bucket(patient uuid.UUID) int {
	hash := sha256.Sum256(patient[:])
	return int(binary.BigEndian.Uint16(hash[:])) % maxBuckets
}

func (t *Tally) add(patient uuid.UUID, sum uint64) {
	t.Rows++
	t.Sums[bucket(patient)%len(t.Sums)] += sum
}

// fold reduces the buckets to about one per row.
func (t *Tally) fold() {
	t.Sums = t.Sums.folded(1 << bits.Len64(uint64(max(t.Rows-1, 0))))
}

// sums is written as one text, with 16 hex digits per sum.
type sums []uint64

func (s sums) folded(n int) sums {
	if len(s) <= n {
		return s
	}
	folded := make(sums, n)
	for i, sum := range s {
		folded[i%n] += sum
	}
	return folded
}

// MarshalText implements [encoding.TextMarshaler].
func (s sums) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(s))
	for _, sum := range s {
		raw = binary.BigEndian.AppendUint64(raw, sum)
	}
	return hex.AppendEncode(nil, raw), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *sums) UnmarshalText(text []byte) error {
	raw, err := hex.AppendDecode(nil, text)
	if n := len(raw) / 8; err == nil && (n == 0 || n > maxBuckets || n&(n-1) != 0 || len(raw)%8 != 0) {
		err = errors.New("not a power of 2 of sums")
	}
	if err != nil {
		return err
	}
	for ; len(raw) > 0; raw = raw[8:] {
		*s = append(*s, binary.BigEndian.Uint64(raw))
	}
	return nil
}

// suspects are the buckets in which two tallies differ.
type suspects []bool

// compare returns the buckets that differ; nil if the rows are the same. A nil tally has no rows.
func (t *Tally) compare(u *Tally) suspects {
	a, b := t.orNone(), u.orNone()
	n := min(len(a.Sums), len(b.Sums))
	mine, theirs := a.Sums.folded(n), b.Sums.folded(n)
	found := make(suspects, n)
	same := a.Rows == b.Rows
	for i := range mine {
		found[i] = mine[i] != theirs[i]
		same = same && !found[i]
	}
	if same {
		return nil
	}
	return found
}

func (t *Tally) orNone() *Tally {
	if t == nil || len(t.Sums) == 0 {
		return &Tally{Sums: sums{0}}
	}
	return t
}

func (s suspects) has(patient uuid.UUID) bool {
	return s != nil && s[bucket(patient)%len(s)]
}

// listed is a row in a file: "<patient> <generation>.<version>.<revision> <hash>".
type listed struct {
	patient uuid.UUID
	order   order
	sum     uint64
}

// MarshalText implements [encoding.TextMarshaler].
func (l listed) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%s %d.%d.%d %016x", l.patient, l.order.generation, l.order.version, l.order.revision, l.sum), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *listed) UnmarshalText(text []byte) error {
	var patient string
	if _, err := fmt.Sscanf(string(text), "%s %d.%d.%d %x", &patient, &l.order.generation, &l.order.version, &l.order.revision, &l.sum); err != nil {
		return errors.New("not a listed row")
	}
	var err error
	l.patient, err = uuid.Parse(patient)
	return err
}
