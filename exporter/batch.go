package exporter

import (
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
	"strings"
	"time"

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

// query returns the SELECT of a plan's events, with the contract's columns in order. Generation
// and revision are the batch's, so the outbox does not hold them.
func (s *session) query(p *plan) string {
	kind, before, after := p.content()
	columns := make([]string, len(s.contract.Columns))
	for i, c := range s.contract.Columns {
		columns[i] = c.Name
		switch {
		case c.Name == "generation":
			columns[i] = fmt.Sprintf("%d::integer AS generation", p.generation)
		case c.Name == "revision":
			columns[i] = fmt.Sprintf("%d::integer AS revision", p.revision)
		case kind == schemas.Snapshot && c.Name == "baseline":
			columns[i] = p.found() + " AS baseline"
		case kind == schemas.Snapshot && c.Name == "event":
			columns[i] = stateEvent + " AS event"
		}
	}
	list := strings.Join(columns, ", ")
	if kind == schemas.Snapshot {
		return fmt.Sprintf(`SELECT %s FROM (SELECT DISTINCT ON (patient_id) * FROM patients.outbox
			WHERE pg_visible_in_snapshot(tx, %s) ORDER BY patient_id, version DESC) o WHERE %s ORDER BY patient_id`,
			list, literal(after), p.stated())
	}
	return fmt.Sprintf(`SELECT %s FROM patients.outbox o WHERE %s AND %s ORDER BY position`, list, between(before, after), p.stated())
}

// found is the SQL condition for what a snapshot states of events o as found: all, but the deaths that
// were seen and that no batch told, as the first of a generation may have them between its cursors.
func (p *plan) found() string {
	_, before, after := p.content()
	if before == after {
		return "true"
	}
	return `NOT (o.death_status IN ('informal', 'formal') AND EXISTS (SELECT FROM patients.outbox d
		WHERE d.patient_id = o.patient_id AND d.event = 'died' AND d.death_no = o.death_no AND NOT d.baseline AND NOT ` +
		fmt.Sprintf("pg_visible_in_snapshot(d.tx, %s)))", literal(before))
}

// content returns whose events the batch has: as changes or as states, between which cursors.
func (p *plan) content() (kind, before, after string) {
	if p.covers == nil {
		return p.kind, p.cursorBefore, p.cursorAfter
	}
	return *p.coveredKind, *p.coveredBefore, *p.coveredAfter
}

// forgotten reports whether the plans are gone that say what a correction states again.
func (p *plan) forgotten() bool {
	return p.covers != nil && (p.coveredKind == nil || p.coveredBefore == nil || p.coveredAfter == nil)
}

// stated is the SQL condition for what the batch states of events o. A correction states nothing
// again of a patient who was erased since.
func (p *plan) stated() string {
	if p.covers == nil {
		return "true"
	}
	return "NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = o.patient_id AND o.version < e.version)"
}

// stateEvent types a snapshot's event by the state it reports, so that a consumer of deaths
// alone learns from a snapshot about everybody who was ever dead (schemas/SPEC.md).
const stateEvent = `CASE
	WHEN event = 'erased' THEN event
	WHEN merged_into IS NOT NULL THEN 'merged'
	WHEN death_status IN ('formal', 'informal') THEN 'died'
	WHEN death_no > 0 OR death_status = 'void' THEN 'death_retracted'
	ELSE 'registered' END`

// keeper does with a part what it was made for, and returns its name. The file is gone afterwards.
type keeper func(ctx context.Context, event string, file *os.File, size int64, sha256hex string) (name string, err error)

// upload returns the keeper that puts parts of the plan's batch on the store.
func (s *session) upload(p *plan) keeper {
	return func(ctx context.Context, event string, file *os.File, size int64, sum string) (string, error) {
		return s.writer.Part(ctx, event, p.date(), p.batch, file, size, sum)
	}
}

// batchWriter sorts a batch's tuples into parts and has those that are full kept.
type batchWriter struct {
	*session
	ctx  context.Context
	plan *plan
	keep keeper

	head  [][]byte             // the first tuples, until there are too many for one mixed part
	open  map[string]*openPart // by event type or Mixed
	parts []schemas.Part
	rows  int
	bytes int // of all tuples
}

// writeParts streams the plan's events from PostgreSQL into parts.
func (s *session) writeParts(ctx context.Context, p *plan, keep keeper) ([]schemas.Part, error) {
	b := &batchWriter{session: s, ctx: ctx, plan: p, keep: keep, open: map[string]*openPart{}}
	defer b.discard()
	splitter := part.NewTupleSplitter(b.add)
	if _, err := s.conn.PgConn().CopyTo(ctx, splitter, "COPY ("+s.query(p)+") TO STDOUT (FORMAT binary)"); err != nil {
		return nil, fault.Database("read", "outbox of "+batchName(p.batch), err)
	}
	if err := splitter.Close(); err != nil {
		return nil, fault.New(fault.Transient, "read", "outbox of "+batchName(p.batch), err, "")
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	return b.parts, nil
}

// add takes one tuple, valid during the call.
func (b *batchWriter) add(tuple []byte) error {
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
func (b *batchWriter) flushHead(name func(tuple []byte) []byte) error {
	for _, tuple := range b.head {
		if err := b.write(name(tuple), tuple); err != nil {
			return err
		}
	}
	b.head = nil
	return nil
}

func (b *batchWriter) write(event, tuple []byte) error {
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
	if o.encoder.Rows() >= int64(b.config.PartRows) || o.bytes >= partBytes {
		return b.end(o)
	}
	return nil
}

func (b *batchWriter) notWritten(o *openPart, err error) error {
	if bad, ok := errors.AsType[*part.BadRow](err); ok {
		return fault.New(fault.Poison, "encode", batchName(b.plan.batch), err,
			"the outbox holds what the contract forbids; mend the row of patient "+bad.PatientID)
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

func (b *batchWriter) finish() error {
	if b.head != nil {
		mixed := []byte(schemas.Mixed)
		if err := b.flushHead(func([]byte) []byte { return mixed }); err != nil {
			return err
		}
	}
	for _, event := range append([]string{schemas.Mixed}, b.contract.Events()...) {
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

func (b *batchWriter) begin(event string) (*openPart, error) {
	file, err := os.Create(filepath.Join(b.spool.Dir, event+".parquet"))
	if err != nil {
		return nil, fault.New(fault.Transient, "spool", event, err, "")
	}
	o := &openPart{event: event, file: file, hash: sha256.New()}
	o.encoder = part.NewWriter(io.MultiWriter(file, o.hash), b.contract, part.WriterOptions{})
	return o, nil
}

// end completes a part, has it kept and notes it for the manifest.
func (b *batchWriter) end(o *openPart) (err error) {
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
	b.progress(stats.Rows)
	return nil
}

// date is the folder of the batch's parts: the UTC day on which its window ends.
func (p *plan) date() time.Time { return p.windowTo.UTC() }

func (b *batchWriter) discard() {
	for _, o := range b.open {
		o.discard()
	}
}

func (o *openPart) discard() {
	_ = o.file.Close()
	_ = os.Remove(o.file.Name())
}
