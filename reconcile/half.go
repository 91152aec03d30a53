package reconcile

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"

	"waybill/internal/fault"
	"waybill/schemas"
)

// File is one side's data for the other: counts and hashes, and ids only if they were asked for or
// a check has found them.
type File struct {
	Format    int         `json:"format"`
	Contract  string      `json:"contract"` // the hash of the contract whose columns were compared
	From      int64       `json:"from"`     // batches, both included
	To        int64       `json:"to"`
	Source    []*Batch    `json:"source,omitempty"`
	Consumers []*Consumer `json:"consumers,omitempty"`
}

const fileFormat = 1

// Batch is a batch in the source or the log.
type Batch struct {
	Batch    int64             `json:"batch"`
	Manifest string            `json:"manifest"` // its hash
	Events   map[string]*Tally `json:"events"`   // by type
	// Uncountable says why the source can't tell what it published in this batch; then there are no Events.
	Uncountable string `json:"uncountable,omitempty"`
	// Lacking is how many of the published events the source no longer has.
	Lacking int64 `json:"lacking,omitempty"`
	// Erased is how many of the events are of patients erased since: the source only has their ids.
	Erased int64 `json:"erased,omitempty"`

	types []string // those that were counted; nil: all
}

func (b *Batch) rows() (n int64) {
	for _, t := range b.Events {
		n += t.Rows
	}
	return n
}

func (b *Batch) add(r row, list bool) {
	t := b.Events[r.event]
	if t == nil {
		t = newTally()
		b.Events[r.event] = t
	}
	t.add(r.patient, r.whole)
	if list {
		t.Listed = append(t.Listed, listed{r.patient, r.order, r.whole})
	}
}

func (b *Batch) fold() {
	for _, t := range b.Events {
		t.fold()
	}
}

// Consumer is one consumer's data, as of its checkpoint.
type Consumer struct {
	Name       string    `json:"consumer"`
	Events     []string  `json:"events"`           // the types it subscribes to
	Append     bool      `json:"append,omitempty"` // it keeps every event, not states
	Slim       bool      `json:"slim,omitempty"`   // it has the columns of slim parts only
	Checkpoint int64     `json:"checkpoint"`       // the last batch applied; -1: none
	Manifest   string    `json:"manifest"`         // its hash, according to the checkpoint
	From       int64     `json:"from"`             // states are compared from this batch on
	Whole      bool      `json:"whole"`            // of all patients, since nothing was loaded before
	Ledger     []Applied `json:"ledger"`           // from that batch on
	Checks     []*Check  `json:"checks"`
	Observed   int64     `json:"observed,omitempty"` // patients whose effects mode observe only recorded: they are not checked
	State      *Tally    `json:"state"`              // of the patients compared
	Dead       int64     `json:"dead"`               // of them

	// Have has the states in the consumer's database; nil in a file. Want has the states according to the log.
	Have *States `json:"-"`

	want      *States
	snapshots []snapshot // that were loaded, in order
	unsure    bool       // a loaded batch can't be read any more, so the log doesn't show which states are right
}

// Applied is a row of a consumer's ledger.
type Applied struct {
	Batch       int64  `json:"batch"`
	Kind        string `json:"kind"`
	Manifest    string `json:"manifest"` // its hash
	Rows        int64  `json:"rows"`     // events of the subscribed types
	Quarantined int64  `json:"quarantined,omitempty"`
	Passed      bool   `json:"passed,omitempty"`
}

// Check is one of the consumer's own rules, and the patients who break it.
type Check struct {
	Kind        string   `json:"kind"`
	Description string   `json:"description"`
	Count       int64    `json:"count"`
	Patients    []string `json:"patients,omitempty"` // at most MaxNamed
}

// Add counts a patient, and names one of the first MaxNamed.
func (c *Check) Add(patient uuid.UUID) {
	if c.Count++; c.Count <= MaxNamed {
		c.Patients = append(c.Patients, patient.String())
	}
}

// MaxNamed bounds the patients that one finding names.
const MaxNamed = 100_000

// entry returns the ledger's row of a batch, or nil.
func (c *Consumer) entry(batch int64) *Applied {
	i, found := slices.BinarySearchFunc(c.Ledger, batch, func(a Applied, batch int64) int { return cmp.Compare(a.Batch, batch) })
	if !found {
		return nil
	}
	return &c.Ledger[i]
}

// loaded reports whether the consumer has loaded the batch, instead of passing or skipping it.
func (c *Consumer) loaded(batch int64) bool {
	entry := c.entry(batch)
	return entry != nil && !entry.Passed && batch <= c.Checkpoint
}

// skipped reports whether a batch is rightly not in the ledger, because the consumer began again at
// a later snapshot, which has every state.
func (c *Consumer) skipped(batch int64) bool {
	i, _ := slices.BinarySearchFunc(c.Ledger, batch, func(a Applied, batch int64) int { return cmp.Compare(a.Batch, batch) })
	return i < len(c.Ledger) && c.Ledger[i].Kind == schemas.Snapshot
}

// CheckPath refuses a path to which [File.Write] could not write, before the work begins.
func CheckPath(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err == nil && !info.IsDir() {
		err = errors.New("what should be its folder is a file")
	}
	return notWritten(path, err)
}

// Write writes the file to path, whole or not at all. Only its owner may read it.
func (f *File) Write(path string) error {
	f.Format = fileFormat
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return notWritten(path, err)
	}
	defer os.Remove(file.Name())
	buffered := bufio.NewWriter(file)
	err = errors.Join(json.NewEncoder(buffered).Encode(f), buffered.Flush(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	return notWritten(path, err)
}

func notWritten(path string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Usage, "write", path, fault.Bare(err), "name a file in a folder that this user may write")
}

// Read reads a file that the other side wrote. Errors are of class [fault.Usage].
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.Unwrap(err), "")
	}
	f := new(File)
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.New("it was not written by `waybill reconcile --out`, or is cut off"), "")
	}
	switch {
	case f.Format != fileFormat:
		err = fmt.Errorf("its format is %d; this release reads %d", f.Format, fileFormat)
	default:
		for _, c := range f.Consumers {
			slices.SortFunc(c.Ledger, func(a, b Applied) int { return cmp.Compare(a.Batch, b.Batch) })
		}
		return f, nil
	}
	return nil, fault.New(fault.Usage, "read", path, err, "use the same release on both sides")
}
