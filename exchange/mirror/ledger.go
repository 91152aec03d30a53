package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// ledger is a store of which nothing is read, such as one behind a data diode. A file keeps what was sent to it.
type ledger struct {
	path   string
	store  exchange.Putter
	now    func() time.Time
	sent   map[int64]string // manifests, by batch
	newest exchange.Position
	floors int64
}

// sending is a line of the ledger: a batch with all its files, or a floor.
type sending struct {
	Batch    *int64       `json:"batch,omitempty"`
	Manifest string       `json:"manifest,omitempty"` // its hash
	Floor    int64        `json:"floor,omitempty"`
	SentAt   schemas.Time `json:"sent_at"`
}

// openLedger reads a ledger. One that does not exist has nothing sent.
func openLedger(path string, store exchange.Putter, now func() time.Time) (*ledger, error) {
	l := &ledger{path: path, store: store, now: now, sent: map[int64]string{}, newest: exchange.Position{Batch: -1}}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, fault.Bare(err), "let this user read and write it")
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if !bytes.HasSuffix(line, []byte("\n")) { // the run that wrote it was killed
			return l, os.Truncate(path, int64(len(data)-len(line)))
		}
		var s sending
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fault.New(fault.Usage, "read", path, fmt.Errorf("line %d is no line of a ledger", number),
				"restore the file, or move it away: then everything is sent again, which does no harm")
		}
		l.note(s)
	}
	return l, nil
}

func (l *ledger) note(s sending) {
	l.floors = max(l.floors, s.Floor)
	if s.Batch == nil {
		return
	}
	l.sent[*s.Batch] = s.Manifest
	if *s.Batch > l.newest.Batch {
		l.newest = exchange.Position{Batch: *s.Batch, Hash: s.Manifest}
	}
}

// write appends a line, durably.
func (l *ledger) write(s sending) error {
	s.SentAt = schemas.At(l.now())
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fault.New(fault.Usage, "write", l.path, fault.Bare(err), "make its folder, and let this user write there")
	}
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fault.New(fault.Transient, "write", l.path, err, "")
	}
	l.note(s)
	return nil
}

func (l *ledger) last(context.Context) (exchange.Position, int64, error) {
	return l.newest, l.floors, nil
}

func (l *ledger) part(ctx context.Context, p schemas.Part, file io.ReaderAt) error {
	return l.put(ctx, p.Name, io.NewSectionReader(file, 0, p.Bytes), p.Bytes)
}

func (l *ledger) manifest(ctx context.Context, e *exchange.Entry) error {
	batch := e.Manifest.Batch
	if hash, known := l.sent[batch]; known && hash != e.Hash {
		return fault.New(fault.Poison, "mirror", fmt.Sprintf("batch %d", batch), fmt.Errorf("%w: its manifest has changed since it was sent", exchange.ErrFork),
			"find out who wrote the log; if it is another log, name another ledger")
	}
	if err := l.put(ctx, schemas.ManifestName(batch, 0), bytes.NewReader(e.Data), int64(len(e.Data))); err != nil {
		return err
	}
	return l.write(sending{Batch: &batch, Manifest: e.Hash})
}

func (l *ledger) floor(ctx context.Context, number int64, data []byte) error {
	if err := l.put(ctx, schemas.FloorName(number), bytes.NewReader(data), int64(len(data))); err != nil {
		return err
	}
	return l.write(sending{Floor: number})
}

func (l *ledger) put(ctx context.Context, name string, body io.Reader, size int64) error {
	err := l.store.Put(ctx, name, size, body)
	if errors.Is(err, exchange.ErrExists) { // it was not taken away yet
		return nil
	}
	return err
}

// clear does nothing: the other side empties its store by the floors.
func (*ledger) clear(context.Context, *schemas.Floor, *Summary) error { return nil }
