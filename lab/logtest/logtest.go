// Package logtest reads whole logs back for tests, to compare what consumers were sent.
package logtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/schemas"
	"waybill/schemas/part"
)

// Event is what identifies a row of a part.
type Event struct {
	Batch      int64
	Event      string
	Baseline   bool
	Patient    uuid.UUID
	Generation int32
	Version    int64
	Revision   int32
	DeathNo    int32
}

// Events returns every event of the log, from its floor on, in the order of batches and, within each,
// of parts. Sealed ones need keys.
func Events(ctx context.Context, store exchange.ReadStore, keys ...*age.X25519Identity) ([]Event, error) {
	reader := exchange.NewReader(store).Opening(keys)
	begins, err := reader.Begins(ctx)
	if err != nil {
		return nil, err
	}
	var events []Event
	for entry, err := range reader.Entries(ctx, begins, -1) {
		if err != nil {
			return nil, err
		}
		for _, p := range entry.Manifest.PartsOf(nil, false) {
			found, err := PartEvents(ctx, reader, p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			for _, e := range found {
				e.Batch = entry.Manifest.Batch
				events = append(events, e)
			}
		}
	}
	return events, nil
}

// PartEvents returns the events of one part.
func PartEvents(ctx context.Context, reader *exchange.Parts, p schemas.Part) ([]Event, error) {
	var file bytes.Buffer
	if err := reader.Fetch(ctx, p, &file); err != nil {
		return nil, err
	}
	contract := schemas.PatientEvents()
	opened, err := reader.Opened(p, bytes.NewReader(file.Bytes()))
	if err != nil {
		return nil, err
	}
	stream := part.NewStream(contract, part.Options{}, opened)
	defer stream.Close()
	var events []Event
	splitter := part.NewTupleSplitter(func(tuple []byte) error {
		f := fields(tuple)
		events = append(events, Event{
			Event:      string(f[contract.Index("event")]),
			Baseline:   f[contract.Index("baseline")][0] == 1,
			Patient:    uuid.UUID(f[contract.Index("patient_id")]),
			Generation: int32(binary.BigEndian.Uint32(f[contract.Index("generation")])),
			Version:    int64(binary.BigEndian.Uint64(f[contract.Index("version")])),
			Revision:   int32(binary.BigEndian.Uint32(f[contract.Index("revision")])),
			DeathNo:    int32(binary.BigEndian.Uint32(f[contract.Index("death_no")])),
		})
		return nil
	})
	if _, err := io.Copy(splitter, stream); err != nil {
		return nil, err
	}
	return events, splitter.Close()
}

// fields splits a tuple of PostgreSQL's binary COPY format; NULL is nil.
func fields(tuple []byte) [][]byte {
	split := make([][]byte, binary.BigEndian.Uint16(tuple))
	rest := tuple[2:]
	for i := range split {
		size := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if size >= 0 {
			split[i], rest = rest[:size], rest[size:]
		}
	}
	return split
}
