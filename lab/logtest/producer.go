package logtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/schemas"
	"waybill/schemas/part"
)

// State is one event as a test writes it. Zero fields are NULL, or the least the contract allows.
type State struct {
	Event      string
	Baseline   bool
	Patient    uuid.UUID
	Version    int64
	Generation int32
	Revision   int32
	DeathNo    int32
	Status     string // default: none
	Earliest   time.Time
	Latest     time.Time
	Precision  string
	MergedInto uuid.UUID
	Family     string
	Given      string
	BirthDate  string
	Recorded   time.Time // default: the end of the batch's window
}

// Producer writes a log batch by batch, as an exporter would, without a database.
type Producer struct {
	testing.TB
	Store     exchange.Store
	Heartbeat time.Duration
	Now       time.Time // the end of the next window
	// Contract, if set, is the contract for writing rows, instead of the one that consumers know.
	Contract *schemas.Contract
	// Seal, if set, is the key that parts are sealed to.
	Seal age.Recipient
	// Manifest, if set, may spoil a manifest before it is encoded; Text, its text, which is then
	// sealed again; Part, a part's bytes after they were hashed.
	Manifest func(*schemas.Manifest)
	Text     func(string) string
	Part     func([]byte) []byte

	forges   bool
	last     *schemas.Manifest
	lastHash string
	snapshot *int64
	covers   *schemas.BatchRange
	log      string
}

// NewProducer returns a producer whose log has its genesis.
func NewProducer(t testing.TB, store exchange.Store, now time.Time) *Producer {
	return NewProducerAs(t, store, now, nil)
}

// NewProducerAs is NewProducer with a function that changes each manifest, the genesis' too: its ids, for one.
func NewProducerAs(t testing.TB, store exchange.Store, now time.Time, manifest func(*schemas.Manifest)) *Producer {
	p := &Producer{TB: t, Store: store, Heartbeat: time.Hour, Now: now, Manifest: manifest, log: uuid.NewString()}
	p.publish(schemas.Genesis, 1, nil)
	return p
}

// Fork returns another producer that continues the log from here, in the same places as the first.
func (p *Producer) Fork() *Producer {
	other := *p
	other.forges = true
	return &other
}

// Behind returns another producer that continues after a log's last batch.
func Behind(t testing.TB, store exchange.Store, last *exchange.Entry) *Producer {
	m := last.Manifest
	return &Producer{
		TB: t, Store: store, Now: m.Window.To.Time, Heartbeat: time.Duration(m.HeartbeatSeconds) * time.Second, forges: true,
		last: m, lastHash: last.Hash, snapshot: m.Snapshot, log: m.Log,
	}
}

// Hash returns the hash of the last batch's manifest.
func (p *Producer) Hash() string { return p.lastHash }

// Changes publishes a batch of one mixed part and returns its manifest.
func (p *Producer) Changes(states ...State) *schemas.Manifest {
	p.Helper()
	return p.publish(schemas.Changes, p.last.Generation, states)
}

// Snapshot publishes the states as a snapshot of the given generation.
func (p *Producer) Snapshot(generation int64, states ...State) *schemas.Manifest {
	p.Helper()
	return p.publish(schemas.Snapshot, generation, states)
}

// Correction publishes the states as a correction of batches from to to.
func (p *Producer) Correction(from, to int64, states ...State) *schemas.Manifest {
	p.Helper()
	p.covers = &schemas.BatchRange{From: from, To: to}
	defer func() { p.covers = nil }()
	return p.publish(schemas.Correction, p.last.Generation, states)
}

func (p *Producer) publish(kind string, generation int64, states []State) *schemas.Manifest {
	p.Helper()
	m := &schemas.Manifest{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: p.log,
		Contract: schemas.ContractRef{
			Name: schemas.PatientEvents().Name, Version: schemas.PatientEvents().Version, SHA256: schemas.PatientEvents().SHA256,
		},
		Generation: generation, Kind: kind, Plan: uuid.NewString(),
		Window:           schemas.Window{From: schemas.At(p.Now), To: schemas.At(p.Now)},
		Cursor:           schemas.Cursor{Before: "1:1:", After: "1:1:"},
		HeartbeatSeconds: int64(p.Heartbeat.Seconds()), Previous: p.lastHash,
		Producer: schemas.Software{Software: "waybill", Version: "test"},
		Covers:   p.covers,
		Parts:    []schemas.Part{},
	}
	if p.last != nil {
		m.Batch, m.Window.From = p.last.Batch+1, p.last.Window.To
	}
	if kind == schemas.Snapshot {
		p.snapshot = &m.Batch
	}
	m.Snapshot = p.snapshot
	if len(states) > 0 {
		m.Parts = append(m.Parts, p.part(m, states))
	}
	m.Totalled()
	if p.Manifest != nil {
		p.Manifest(m)
	}
	data, err := m.Encode()
	if err != nil {
		p.Fatal(err)
	}
	if p.Text != nil {
		data = sealed(p.Text(unsealed(string(data))))
	}
	if p.forges {
		if err := p.Store.(exchange.Deleter).Delete(context.Background(), schemas.ManifestName(m.Batch, 0)); err != nil && !errors.Is(err, exchange.ErrNotFound) {
			p.Fatal(err)
		}
	}
	if err := p.Store.Publish(context.Background(), schemas.ManifestName(m.Batch, 0), data); err != nil {
		p.Fatal(err)
	}
	p.last, p.lastHash = m, schemas.Hash(data)
	return m
}

// unsealed returns a manifest without its last line, and sealed puts a right one to it.
func unsealed(manifest string) string {
	return manifest[:strings.LastIndex(strings.TrimSuffix(manifest, "\n"), "\n")+1]
}

func sealed(body string) []byte {
	return []byte(body + `"sha256":"` + schemas.Hash([]byte(body)) + `"}` + "\n")
}

// Restore puts back a batch's part, of these states, which its publication had left out.
func (p *Producer) Restore(m *schemas.Manifest, states ...State) {
	p.Helper()
	now := p.Now
	defer func() { p.Now = now }()
	p.Now = m.Window.To.Time
	if made := p.part(m, states); made.Name != m.Parts[0].Name {
		p.Fatalf("restored %s, not %s", made.Name, m.Parts[0].Name)
	}
}

func (p *Producer) part(m *schemas.Manifest, states []State) schemas.Part {
	p.Helper()
	var file bytes.Buffer
	contract := schemas.PatientEvents()
	if p.Contract != nil {
		contract = p.Contract
	}
	w := part.NewWriter(&file, contract, part.WriterOptions{})
	for _, s := range states {
		if s.Generation == 0 {
			s.Generation = int32(m.Generation)
		}
		if err := w.WriteTuple(s.tuple(p.Now)); err != nil {
			p.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		p.Fatal(err)
	}
	described := schemas.Part{
		Events: w.Stats().Events, Rows: w.Stats().Rows, RecordedFrom: w.Stats().RecordedFrom, RecordedTo: w.Stats().RecordedTo,
	}
	data, suffix := file.Bytes(), ""
	if p.Seal != nil {
		data, suffix = p.sealed(data), schemas.SealedSuffix
		described.Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{}}
		m.Format, m.MinReader = schemas.FormatSealed, schemas.FormatSealed
	}
	sum := sha256.Sum256(data)
	described.SHA256, described.Bytes = hex.EncodeToString(sum[:]), int64(len(data))
	described.Name = schemas.PartName(schemas.Mixed, m.Window.To.Time, m.Batch, described.SHA256, 0) + suffix
	if p.Part != nil {
		data = p.Part(bytes.Clone(data))
	}
	if data != nil {
		if err := p.Store.Put(context.Background(), described.Name, int64(len(data)), bytes.NewReader(data)); err != nil {
			p.Fatal(err)
		}
	}
	return described
}

func (p *Producer) sealed(part []byte) []byte {
	p.Helper()
	var file bytes.Buffer
	w, err := age.Encrypt(&file, p.Seal)
	if err == nil {
		_, err = w.Write(part)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		p.Fatal(err)
	}
	return file.Bytes()
}

// tuple encodes the state as PostgreSQL's binary COPY does.
func (s State) tuple(recorded time.Time) []byte {
	columns := schemas.PatientEvents().Columns
	tuple := binary.BigEndian.AppendUint16(nil, uint16(len(columns)))
	for _, c := range columns {
		value := s.value(c.Name, recorded)
		if value == nil {
			tuple = binary.BigEndian.AppendUint32(tuple, 0xffffffff)
			continue
		}
		tuple = binary.BigEndian.AppendUint32(tuple, uint32(len(value)))
		tuple = append(tuple, value...)
	}
	return tuple
}

func (s State) value(column string, recorded time.Time) []byte {
	switch column {
	case "event":
		return []byte(s.Event)
	case "baseline":
		if s.Baseline {
			return []byte{1}
		}
		return []byte{0}
	case "patient_id":
		return s.Patient[:]
	case "generation":
		return int32Value(s.Generation)
	case "version":
		return binary.BigEndian.AppendUint64(nil, uint64(max(s.Version, 1)))
	case "revision":
		return int32Value(s.Revision)
	case "recorded_at":
		if !s.Recorded.IsZero() {
			recorded = s.Recorded
		}
		return timeValue(recorded)
	case "death_no":
		return int32Value(s.DeathNo)
	case "death_status":
		if s.Status == "" {
			return []byte("none")
		}
		return []byte(s.Status)
	case "death_earliest":
		return timeValue(s.Earliest)
	case "death_latest":
		return timeValue(s.Latest)
	case "death_precision":
		return textValue(s.Precision)
	case "merged_into":
		if s.MergedInto == uuid.Nil {
			return nil
		}
		return s.MergedInto[:]
	case "identifiers":
		return []byte("\x01[]")
	case "family_name":
		return textValue(s.Family)
	case "given_name":
		return textValue(s.Given)
	case "birth_date":
		return textValue(s.BirthDate)
	default:
		return nil
	}
}

func int32Value(v int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

func textValue(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// timeValue counts microseconds from 2000-01-01, PostgreSQL's epoch.
func timeValue(t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return binary.BigEndian.AppendUint64(nil, uint64(t.Sub(epoch).Microseconds()))
}

// Patient returns the n-th of a fixed set of ids.
func Patient(n int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "patient %d", n))
}
