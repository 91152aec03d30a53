// Package mirror copies a log from one store to another, byte for byte and under the same names: of each batch the parts first
// and then the manifest, and at last the floors. What is copied was compared with its hashes, its chain and the signatures that
// the mirror trusts, so a mirror passes no forgery on.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"waybill/exchange"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/internal/progress"
	"waybill/schemas"
)

// Config names the two stores.
type Config struct {
	From  exchange.ReadStore
	Trust *trust.Policy // whose batches and floors are copied; nil: all
	To    exchange.Store
	// Delete deletes at To what lies below the floor; nil: everything stays.
	Delete exchange.Deleter
	// Back is From if receipts are copied from To to it; nil: they are not.
	Back exchange.Publisher
	// Ledger is a file that keeps what was sent to a store of which nothing is read; "": To is read.
	Ledger string
	Dir    string // for a part on its way
	Now    func() time.Time
}

// Summary is what one run copied.
type Summary struct {
	Stream   string `json:"stream"`
	Batches  int64  `json:"batches"`
	Parts    int64  `json:"parts"`
	Bytes    int64  `json:"bytes"` // of the parts
	Last     int64  `json:"last"`  // the newest batch that was copied, in this run or before; -1: none
	Floors   int64  `json:"floors"`
	Deleted  int64  `json:"deleted"`        // files below the floor
	Receipts int64  `json:"receipts"`       // that were copied the other way
	Note     string `json:"note,omitempty"` // what was left, and why
}

// target is the store that is written: one that is read too, or one of which a ledger says what it was sent.
type target interface {
	// last returns the position behind the newest batch, and the number of the newest floor.
	last(ctx context.Context) (exchange.Position, int64, error)
	part(ctx context.Context, p schemas.Part, file io.ReaderAt) error
	manifest(ctx context.Context, e *exchange.Entry) error
	floor(ctx context.Context, number int64, data []byte) error
	// clear deletes what lies below a floor that was copied.
	clear(ctx context.Context, floor *schemas.Floor, s *Summary) error
}

// Mirror copies one log. It is for one run at a time.
type Mirror struct {
	Config
	reader *exchange.Reader
	to     target
}

// New returns a mirror. It connects to nothing.
func New(c Config) (*Mirror, error) {
	m := &Mirror{Config: c, reader: exchange.NewReader(c.From).Trusting(c.Trust)}
	if c.Ledger == "" {
		m.to = &near{store: c.To, delete: c.Delete, reader: exchange.NewReader(c.To), writer: exchange.NewWriter(c.To)}
		return m, nil
	}
	ledger, err := openLedger(c.Ledger, c.To, c.Now)
	m.to = ledger
	return m, err
}

// Run copies everything from the last batch that was copied to the log's end. If a batch can't be copied yet, those before it
// have been. After a crash anywhere, run it again.
func (m *Mirror) Run(ctx context.Context) (Summary, error) {
	at, floors, err := m.to.last(ctx)
	s := Summary{Last: at.Batch}
	if err != nil {
		return s, err
	}
	err = m.batches(ctx, at, &s)
	if class := fault.ClassOf(err); err == nil || class == fault.NotYet {
		err = errors.Join(err, m.floors(ctx, floors+1, &s))
	}
	if err == nil && m.Back != nil {
		err = m.receipts(ctx, &s)
	}
	return s, err
}

// batches copies what follows a position. What the log has pruned meanwhile is left out.
func (m *Mirror) batches(ctx context.Context, at exchange.Position, s *Summary) error {
	for {
		entry, err := m.reader.Next(ctx, at)
		if errors.Is(err, exchange.ErrNothingNew) {
			return m.reader.Overdue(ctx, at)
		}
		if err == nil {
			err = m.copy(ctx, entry, s)
		}
		if pruned, ok := errors.AsType[*exchange.Pruned](err); ok {
			at = exchange.Position{Batch: pruned.Floor.Batch - 1, Hash: pruned.Floor.Previous}
			continue
		}
		if err != nil {
			return err
		}
		at = entry.Position()
		s.Last = at.Batch
		progress.Say(ctx, "batches", s.Batches, 0)
	}
}

// Again copies batches once more that were copied before, and the floors: what a store of which nothing is read has lost.
func (m *Mirror) Again(ctx context.Context, from, to int64) (Summary, error) {
	last, _, err := m.to.last(ctx)
	s := Summary{Last: last.Batch}
	if err == nil && to > last.Batch {
		err = fault.New(fault.Usage, "send again", fmt.Sprintf("batch %d", to), fmt.Errorf("it was not sent yet: the last one is %d", last.Batch), "leave out --again")
	}
	if err != nil {
		return s, err
	}
	for entry, err := range m.reader.Entries(ctx, from, to) {
		if err == nil {
			err = m.copy(ctx, entry, &s)
		}
		if err != nil {
			return s, err
		}
	}
	return s, m.floors(ctx, 1, &s)
}

func (m *Mirror) copy(ctx context.Context, e *exchange.Entry, s *Summary) error {
	for _, p := range e.Manifest.Parts {
		if err := m.part(ctx, p); err != nil {
			return err
		}
	}
	if err := m.to.manifest(ctx, e); err != nil {
		return err
	}
	s.Batches++
	s.Parts += int64(len(e.Manifest.Parts))
	s.Bytes += e.Manifest.Totals.Bytes
	return nil
}

// part keeps the part in a file until its hash is known to be right.
func (m *Mirror) part(ctx context.Context, p schemas.Part) error {
	file, err := os.Create(filepath.Join(m.Dir, "part"))
	if err != nil {
		return fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := m.reader.Fetch(ctx, p, file); err != nil {
		return err
	}
	return m.to.part(ctx, p, file)
}

// floors copies the floors from a number on. Those after the newest that counts stay behind, and so do all while the snapshot
// that it names was not copied.
func (m *Mirror) floors(ctx context.Context, from int64, s *Summary) error {
	floor, err := m.reader.Floor(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err != nil || floor.Snapshot > s.Last {
		return err
	}
	for number := from; number <= floor.Floor; number++ {
		data, err := contents(ctx, m.From, schemas.FloorName(number))
		if err == nil {
			err = m.to.floor(ctx, number, data)
		}
		if err != nil {
			return err
		}
		s.Floors++
	}
	return m.to.clear(ctx, floor, s)
}

// receipts copies each instance's newest receipt the other way.
func (m *Mirror) receipts(ctx context.Context, s *Summary) error {
	list, err := exchange.NewReader(m.To).Trusting(m.Trust).Receipts(ctx)
	if err != nil {
		return err
	}
	for _, receipt := range list {
		name := schemas.ReceiptName(receipt.Instance, receipt.Batch)
		data, err := contents(ctx, m.To, name)
		if errors.Is(err, exchange.ErrNotFound) { // its consumer has deleted it after writing the next
			continue
		}
		if err == nil {
			err = m.Back.Publish(ctx, name, data)
		}
		if errors.Is(err, exchange.ErrExists) {
			continue
		}
		if err != nil {
			return err
		}
		s.Receipts++
	}
	return nil
}

const maxSmallFile = 64 << 10 // of a floor or a receipt

func contents(ctx context.Context, store exchange.Getter, name string) ([]byte, error) {
	file, err := store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSmallFile))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}
