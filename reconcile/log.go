package reconcile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// maxBad bounds the rows of a batch that may break the contract before it counts as unreadable.
const maxBad = 10_000

// log reads batches from the store.
type log struct {
	reader   *exchange.Parts
	contract *schemas.Contract
	slim     bool // it reads slim parts
	spool    string
	scanner  *scanner
}

// read passes on the rows of the given events (nil: all) as stored, with one part in the spool at a
// time. It leaves out rows that break the contract, and returns them.
func (l *log) read(ctx context.Context, m *schemas.Manifest, events []string, add func(row) error) (bad []part.BadRow, err error) {
	for _, p := range m.PartsOf(events, l.slim) {
		found, err := l.readPart(ctx, p, events, add)
		if err != nil {
			return nil, err
		}
		bad = append(bad, found...)
	}
	return bad, nil
}

func (l *log) readPart(ctx context.Context, p schemas.Part, events []string, add func(row) error) ([]part.BadRow, error) {
	file, err := os.Create(filepath.Join(l.spool, "part"))
	if err != nil {
		return nil, spoolFault(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := l.reader.Fetch(ctx, p, file); err != nil {
		return nil, err
	}
	opened, err := l.reader.Opened(p, file)
	if err != nil {
		return nil, err
	}
	stream := part.NewStream(l.contract, part.Options{Events: events, Quarantine: maxBad}, opened)
	defer stream.Close()
	splitter := part.NewTupleSplitter(func(tuple []byte) error {
		r, err := l.scanner.scan(tuple)
		if err != nil {
			return err
		}
		return add(r)
	})
	if _, err := io.Copy(splitter, stream); err != nil {
		if _, classed := errors.AsType[*fault.Error](err); classed {
			return nil, err
		}
		return nil, fault.New(fault.Poison, "read", p.Name, err, "")
	}
	return stream.Bad(), nil
}

// onlySlim reports whether slim parts are enough: nothing is compared but slim consumers, who may not be able to open others.
func (r *run) onlySlim() bool {
	return r.Source == nil && len(r.Consumers) > 0 && (r.Against == nil || len(r.Against.Source) == 0) &&
		!slices.ContainsFunc(r.Consumers, func(c *Consumer) bool { return !c.Slim })
}
