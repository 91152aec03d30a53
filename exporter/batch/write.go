// Package batch converts between the rows of the patients service's database and a batch's parts.
package batch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
	"waybill/schemas/part"
)

// A batch of fewer rows and bytes than mixed is one part of all event types. A part also ends
// where its tuples have as many bytes as partBytes.
const (
	mixedRows  = 1000
	mixedBytes = 4 << 20 // they are held in memory
	partBytes  = 512 << 20
)

// Converter reads and writes parts.
type Converter struct {
	DB       plan.DB
	Contract *schemas.Contract
	Reader   *exchange.Reader
	Dir      string           // for parts that are being written or were fetched
	PartRows int              // bounds the rows of one part
	Progress func(rows int64) // is called for each part that is written
}

// Keep stores a finished part and returns its name. The file is removed afterwards.
type Keep func(ctx context.Context, event string, file *os.File, size int64, sha256hex string) (name string, err error)

// Write streams the plan's events from PostgreSQL into parts.
func (c *Converter) Write(ctx context.Context, p *plan.Plan, keep Keep) ([]schemas.Part, error) {
	b := &writer{Converter: c, ctx: ctx, plan: p, keep: keep, open: map[string]*openPart{}}
	defer b.discard()
	if err := CopyTuples(ctx, c.DB, p, c.Contract, b.add); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	return b.parts, nil
}

// CopyTuples calls add with each of the plan's events, as a tuple of PostgreSQL's binary COPY.
func CopyTuples(ctx context.Context, db plan.DB, p *plan.Plan, contract *schemas.Contract, add func(tuple []byte) error) error {
	splitter := part.NewTupleSplitter(add)
	_, err := db.PgConn().CopyTo(ctx, splitter, "COPY ("+p.Query(contract)+") TO STDOUT (FORMAT binary)")
	if err == nil {
		err = splitter.Close()
	}
	return fault.Database("read", "outbox of "+p.Name(), err)
}

// writer sorts a batch's tuples into parts, and keeps those that are full.
type writer struct {
	*Converter
	ctx  context.Context
	plan *plan.Plan
	keep Keep

	head  [][]byte             // the first tuples, until there are too many for one mixed part
	open  map[string]*openPart // by event type or Mixed
	parts []schemas.Part
	rows  int
	bytes int // of all tuples
}

// add takes one tuple, valid during the call.
func (b *writer) add(tuple []byte) error {
	b.rows++
	b.bytes += len(tuple)
	if b.rows < mixedRows && b.bytes < mixedBytes {
		b.head = append(b.head, append([]byte(nil), tuple...))
		return nil
	}
	if b.head != nil {
		if err := b.flushHead(eventOf); err != nil {
			return err
		}
	}
	return b.write(eventOf(tuple), tuple)
}

// flushHead writes the held tuples, each to the part that name says.
func (b *writer) flushHead(name func(tuple []byte) []byte) error {
	for _, tuple := range b.head {
		if err := b.write(name(tuple), tuple); err != nil {
			return err
		}
	}
	b.head = nil
	return nil
}

func (b *writer) write(event, tuple []byte) error {
	o := b.open[string(event)] // does not allocate
	if o == nil {
		var err error
		if o, err = b.begin(string(event)); err != nil {
			return err
		}
		b.open[o.event] = o
	}
	if err := o.encoder.WriteTuple(tuple); err != nil {
		return b.notWritten(o, err)
	}
	o.bytes += len(tuple)
	if o.encoder.Rows() >= int64(b.PartRows) || o.bytes >= partBytes {
		return b.end(o)
	}
	return nil
}

func (b *writer) notWritten(o *openPart, err error) error {
	if bad, ok := errors.AsType[*part.BadRow](err); ok {
		return fault.New(fault.Poison, "encode", b.plan.Name(), err,
			"the outbox holds what the contract forbids; correct the row of patient "+bad.PatientID)
	}
	return fault.New(fault.Transient, "spool", o.event, err, spoolHint)
}

const spoolHint = "is the spool's disk full?"

// eventOf returns the first column of a tuple, which in the contract is the event's type.
func eventOf(tuple []byte) []byte {
	const head = 2 + 4 // the number of fields, the length of the first
	if len(tuple) < head {
		return nil
	}
	end := head + int(binary.BigEndian.Uint32(tuple[2:head]))
	return tuple[head:min(end, len(tuple))]
}

func (b *writer) finish() error {
	if b.head != nil {
		mixed := []byte(schemas.Mixed)
		if err := b.flushHead(func([]byte) []byte { return mixed }); err != nil {
			return err
		}
	}
	for _, event := range append([]string{schemas.Mixed}, b.Contract.Events()...) {
		if o := b.open[event]; o != nil {
			if err := b.end(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// openPart is a part being written into the spool.
type openPart struct {
	event   string
	file    *os.File
	hash    hash.Hash
	encoder *part.Writer
	bytes   int // of its tuples
}

func (b *writer) begin(event string) (*openPart, error) {
	file, err := os.Create(filepath.Join(b.Dir, event+".parquet"))
	if err != nil {
		return nil, fault.New(fault.Transient, "spool", event, err, "")
	}
	o := &openPart{event: event, file: file, hash: sha256.New()}
	o.encoder = part.NewWriter(io.MultiWriter(file, o.hash), b.Contract, part.WriterOptions{})
	return o, nil
}

// end completes a part, keeps it and adds it to the batch's.
func (b *writer) end(o *openPart) (err error) {
	ctx, part := span.Start(b.ctx, "part", span.Event.String(o.event))
	defer func() { span.End(part, err) }()
	delete(b.open, o.event)
	defer o.discard()
	if err := o.encoder.Close(); err != nil {
		return fault.New(fault.Transient, "spool", o.event, err, spoolHint)
	}
	size, err := o.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fault.New(fault.Transient, "spool", o.event, err, "")
	}
	sum := hex.EncodeToString(o.hash.Sum(nil))
	name, err := b.keep(ctx, o.event, o.file, size, sum)
	if err != nil {
		return err
	}
	stats := o.encoder.Stats()
	part.SetAttributes(span.Events.Int64(stats.Rows), span.Bytes.Int64(size))
	b.parts = append(b.parts, schemas.Part{
		Name: name, Events: stats.Events, Rows: stats.Rows, Bytes: size, SHA256: sum,
		RecordedFrom: stats.RecordedFrom, RecordedTo: stats.RecordedTo,
	})
	b.Progress(stats.Rows)
	return nil
}

func (b *writer) discard() {
	for _, o := range b.open {
		o.discard()
	}
}

func (o *openPart) discard() {
	_ = o.file.Close()
	_ = os.Remove(o.file.Name())
}
