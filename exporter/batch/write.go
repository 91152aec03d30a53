// Package batch converts between the rows of the patients service's database and a batch's parts.
package batch

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"waybill/exchange"
	"waybill/exchange/seal"
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

// chunk is how many bytes of tuples are read ahead.
const chunk = 256 << 10

// Converter reads and writes parts.
type Converter struct {
	DB       plan.DB
	Contract *schemas.Contract
	Reader   *exchange.Parts
	Dir      string                                // for parts that are being written or were fetched
	PartRows int                                   // bounds the rows of one part
	Secrets  seal.Secrets                          // that parts are sealed with
	Progress func(ctx context.Context, rows int64) // is called for each part that is written, but slim ones
}

// Keep stores a finished part and returns its name. The file is removed afterwards.
type Keep func(ctx context.Context, event string, file *os.File, size int64, sha256hex string) (name string, err error)

// Write streams the plan's events from PostgreSQL into parts, which are sealed if the plan says so.
func (c *Converter) Write(ctx context.Context, p *plan.Plan, keep Keep) ([]schemas.Part, error) {
	if err := c.checkSecret(p); err != nil {
		return nil, err
	}
	b := &writer{Converter: c, ctx: ctx, plan: p, keep: keep}
	b.sorted = b.shapes(false)
	defer b.discard()
	if err := CopyTuples(ctx, c.DB, p, c.Contract, b.add); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	return b.parts, nil
}

// CopyTuples calls add with each of the plan's events, as a tuple of PostgreSQL's binary COPY. It does so in a
// goroutine of its own, so that the next chunk is read while one is added.
func CopyTuples(ctx context.Context, db plan.DB, p *plan.Plan, contract *schemas.Contract, add func(tuple []byte) error) error {
	read, write := io.Pipe()
	var adder errgroup.Group
	adder.Go(func() error {
		splitter := part.NewTupleSplitter(add)
		_, err := io.CopyBuffer(splitter, read, make([]byte, chunk))
		if err == nil {
			err = splitter.Close()
		}
		_ = read.CloseWithError(err) // ends the COPY
		return err
	})
	chunks := bufio.NewWriterSize(write, chunk)
	err := p.Copy(ctx, db, contract, chunks)
	if err == nil {
		err = chunks.Flush()
	}
	_ = write.CloseWithError(err)
	return fault.Database("read", "outbox of "+p.Name(), cmp.Or(adder.Wait(), err))
}

// writer sorts a batch's tuples into parts, and hands over each part that is full.
type writer struct {
	*Converter
	ctx  context.Context
	plan *plan.Plan
	keep Keep

	head   [][]byte // the first tuples, until there are too many for one mixed part
	sorted shapes   // of the parts
	parts  []schemas.Part
	rows   int
	bytes  int // of all tuples
	begun  int // parts
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
		if err := b.flushHead(); err != nil {
			return err
		}
	}
	return b.write(tuple)
}

// flushHead writes the tuples held in memory.
func (b *writer) flushHead() error {
	for _, tuple := range b.head {
		if err := b.write(tuple); err != nil {
			return err
		}
	}
	b.head = nil
	return nil
}

func (b *writer) write(tuple []byte) error {
	for _, s := range b.sorted.taking(tuple) {
		if s.open == nil {
			if err := b.begin(s); err != nil {
				return err
			}
		}
		narrow := tuple
		if s.slim != nil {
			narrow = s.slim.Narrow(tuple)
		}
		o := s.open
		if err := o.encoder.WriteTuple(narrow); err != nil {
			return b.notWritten(o, err)
		}
		o.bytes += len(narrow)
		if o.encoder.Rows() < int64(b.PartRows) && o.bytes < partBytes {
			continue
		}
		if err := b.end(o); err != nil {
			return err
		}
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
		b.sorted = b.shapes(true)
		if err := b.flushHead(); err != nil {
			return err
		}
	}
	for _, s := range b.sorted.all {
		if s.open != nil {
			if err := b.end(s.open); err != nil {
				return err
			}
		}
	}
	return nil
}

// openPart is a part being written into the spool.
type openPart struct {
	*shape
	file    *os.File
	hash    hash.Hash
	encoder *part.Writer
	bytes   int // of its tuples
}

func (b *writer) begin(s *shape) error {
	b.begun++
	file, err := os.Create(filepath.Join(b.Dir, fmt.Sprintf("%s-%d.parquet", s.event, b.begun)))
	if err != nil {
		return fault.New(fault.Transient, "spool", s.event, err, "")
	}
	s.open = &openPart{shape: s, file: file, hash: sha256.New()}
	s.open.encoder = part.NewWriter(io.MultiWriter(file, s.open.hash), s.contract, part.WriterOptions{})
	return nil
}

// end completes a part, calls keep with it and adds it to the batch's list of parts.
func (b *writer) end(o *openPart) (err error) {
	ctx, part := span.Start(b.ctx, "part", span.Event.String(o.event))
	defer func() { span.End(part, err) }()
	o.open = nil
	defer o.discard()
	if err := o.encoder.Close(); err != nil {
		return b.notWritten(o, err)
	}
	stats := o.encoder.Stats()
	sealed, err := b.seal(o)
	if err != nil {
		return fault.New(fault.Transient, "seal", o.event, err, spoolHint)
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
	part.SetAttributes(span.Events.Int64(stats.Rows), span.Bytes.Int64(size))
	b.parts = append(b.parts, schemas.Part{
		Name: name, Events: stats.Events, Rows: stats.Rows, Bytes: size, SHA256: sum,
		RecordedFrom: stats.RecordedFrom, RecordedTo: stats.RecordedTo,
		Seal: sealed,
	})
	if o.slim == nil {
		b.Progress(ctx, stats.Rows)
	}
	return nil
}

func (b *writer) discard() {
	for _, s := range b.sorted.all {
		if s.open != nil {
			s.open.discard()
		}
	}
}

func (o *openPart) discard() {
	_ = o.file.Close()
	_ = os.Remove(o.file.Name())
}
