package schemas

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a manifest: far above what occurs, and low enough to protect a reader.
const (
	MaxManifestBytes = 16 << 20
	MaxParts         = 10_000
	MaxPartRows      = 1 << 24
	MaxPartBytes     = 4 << 30
	maxHeartbeat     = 366 * 24 * 60 * 60
	maxCursor        = 1 << 20
	maxName          = 100
	maxReaders       = 100
)

var (
	uuidForm     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	hashForm     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	versionForm  = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}$`)
	snapshotForm = regexp.MustCompile(`^([0-9]{1,20}):([0-9]{1,20}):([0-9,]*)$`)
	eventForm    = regexp.MustCompile(`^[a-z_]{1,32}$`)
	instanceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}(@[a-z0-9][a-z0-9_-]{0,62})?$`)
)

// findings keeps the first mistake found.
type findings struct{ err error }

func (f *findings) want(ok bool, field, reason string, args ...any) {
	if !ok && f.err == nil {
		f.err = fmt.Errorf("%w: %s: %s", ErrInvalid, field, fmt.Sprintf(reason, args...))
	}
}

// notOurs refuses a file of a stream that this release does not know.
func notOurs(stream string) error {
	var f findings
	f.stream(stream)
	return f.err
}

func (f *findings) stream(name string) {
	f.want(ContractOf(name) != nil, "stream", "is %q, not one of %v", name, Streams())
}

func (m *Manifest) validate(ours *Contract) error {
	var f findings
	f.want(m.MinReader >= 1, "min_reader", "is out of range")
	f.want(uuidForm.MatchString(m.Log), "log", "is no UUID")
	f.contract(m.Contract, ours)
	f.want(m.Generation >= 1 && m.Generation < 1<<31, "generation", "is out of range")
	f.want(m.Batch >= 0 && m.Batch <= MaxBatch, "batch", "is out of range")
	f.want(slices.Contains([]string{Genesis, Changes, Snapshot, Correction, Retired}, m.Kind), "kind", "is unknown")
	f.want(uuidForm.MatchString(m.Plan), "plan", "is no UUID")
	f.want(!m.Window.To.Before(m.Window.From.Time), "window", "ends before it begins")
	f.snapshotText(m.Cursor.Before, "cursor.before")
	f.snapshotText(m.Cursor.After, "cursor.after")
	f.want(m.HeartbeatSeconds >= 1 && m.HeartbeatSeconds <= maxHeartbeat, "heartbeat_seconds", "is out of range")
	f.want(m.Waiting.Events >= 0, "waiting.events", "is negative")
	f.software(m.Producer, "producer")
	f.chain(m)
	f.parts(m, ours.Events())
	return f.err
}

func (f *findings) contract(c ContractRef, ours *Contract) {
	f.want(c.Name == ours.Name, "contract.name", "is %q, not %q", c.Name, ours.Name)
	f.want(versionForm.MatchString(c.Version), "contract.version", "is not major.minor.patch")
	f.want(hashForm.MatchString(c.SHA256), "contract.sha256", "is no SHA-256")
}

func (f *findings) software(s Software, field string) {
	f.want(s.Software != "" && len(s.Software) <= maxName, field+".software", "is empty or too long")
	f.want(s.Version != "" && len(s.Version) <= maxName, field+".version", "is empty or too long")
}

// chain checks the fields that say where in the log the batch is.
func (f *findings) chain(m *Manifest) {
	f.want((m.Kind == Genesis) == (m.Batch == 0), "kind", "batch %d is a %s batch", m.Batch, m.Kind)
	f.want(hashForm.MatchString(m.Previous) || m.Batch == 0 && m.Previous == "", "previous", "is no SHA-256")
	f.want(m.Batch > 0 || m.Previous == "", "previous", "nothing is before the genesis")
	f.want(m.Cursor.Before == m.Cursor.After || m.Kind == Changes || m.Kind == Snapshot && m.Generation > 1, "cursor", "a %s batch takes no events", m.Kind)
	f.want((m.Covers != nil) == (m.Kind == Correction), "covers", "belongs to corrections and no others")
	if c := m.Covers; c != nil {
		f.want(c.From >= 1 && c.From <= c.To && c.To < m.Batch, "covers", "%d to %d is no range of earlier batches", c.From, c.To)
	}
	if c := m.Continues; c != nil {
		f.want(m.Kind == Genesis, "continues", "belongs to a genesis")
		f.want(c.Stream != m.Stream && uuidForm.MatchString(c.Log) && c.Batch >= 0 && c.Batch <= MaxBatch, "continues", "is no batch of another stream")
	}
	if m.Kind == Snapshot {
		f.want(m.Snapshot != nil && *m.Snapshot == m.Batch, "snapshot", "a snapshot is the newest one itself")
	}
	if m.Snapshot != nil {
		f.want(*m.Snapshot >= 1 && *m.Snapshot <= m.Batch, "snapshot", "is no earlier batch")
	}
}

func (f *findings) parts(m *Manifest, events []string) {
	f.want(len(m.Parts) <= MaxParts, "parts", "are more than %d", MaxParts)
	f.want(m.Kind != Genesis && m.Kind != Retired || len(m.Parts) == 0, "parts", "the genesis and a retirement have none")
	names := make(map[string]bool, len(m.Parts))
	for i := range m.Parts {
		p, field := &m.Parts[i], "parts["+strconv.Itoa(i)+"]"
		f.part(p, m, events, field)
		f.want(!names[p.Name], field+".name", "occurs twice")
		names[p.Name] = true
		if f.err != nil {
			return
		}
	}
	t := sum(m.Parts, false)
	f.want(t.Rows == m.Totals.Rows, "totals.rows", "is %d; the parts' sum is %d", m.Totals.Rows, t.Rows)
	f.want(t.Bytes == m.Totals.Bytes, "totals.bytes", "is %d; the parts' sum is %d", m.Totals.Bytes, t.Bytes)
	f.want(maps.Equal(t.Events, m.Totals.Events), "totals.events", "are not the parts' sums")
	for event, n := range sum(m.Parts, true).Events {
		f.want(n == t.Events[event], "parts", "the slim ones have %d of %d events of type %q", n, t.Events[event], event)
	}
}

func (f *findings) part(p *Part, m *Manifest, known []string, field string) {
	ref, ok := ParsePartName(p.Name)
	f.want(ok, field+".name", "is not the name of a part")
	f.want(ref.Batch == m.Batch, field+".name", "is a part of batch %d", ref.Batch)
	f.want(ref.Date.Equal(m.Window.To.Truncate(24*time.Hour)), field+".name", "is not of the day on which the window ends")
	f.want(hashForm.MatchString(p.SHA256), field+".sha256", "is no SHA-256")
	f.want(strings.HasPrefix(p.SHA256, ref.Hash), field+".name", "doesn't carry the part's hash")
	f.want(p.Rows >= 1 && p.Rows <= MaxPartRows, field+".rows", "is out of range")
	f.want(p.Bytes >= 1 && p.Bytes <= MaxPartBytes, field+".bytes", "is out of range")
	f.want(!p.RecordedTo.Before(p.RecordedFrom.Time), field+".recorded_to", "is before recorded_from")
	f.sealed(p, m, ref, field)
	rows := int64(0)
	for event, n := range p.Events {
		f.want(slices.Contains(known, event), field+".events", "%q is no event type", event)
		f.want(ref.Event == event || ref.Event == Mixed, field+".name", "is not one for %q", event)
		f.want(n >= 1 && n <= p.Rows, field+".events."+event, "is out of range")
		rows += n
	}
	f.want(rows == p.Rows, field+".rows", "is %d; the events' sum is %d", p.Rows, rows)
}

func (f *findings) sealed(p *Part, m *Manifest, ref PartRef, field string) {
	f.want(ref.Sealed == (p.Seal != nil), field+".name", "ends in %s exactly if the part is sealed", SealedSuffix)
	if p.Seal == nil {
		return
	}
	f.want(m.MinReader >= FormatSealed, "min_reader", "must be %d or more: a part is sealed", FormatSealed)
	f.want(p.Seal.Form == SealForm, field+".seal.form", "is not %s", SealForm)
	f.want(len(p.Seal.Readers) <= maxReaders, field+".seal.readers", "are more than %d", maxReaders)
	for _, name := range p.Seal.Readers {
		f.want(instanceForm.MatchString(name), field+".seal.readers", "is no name of a reader")
	}
}

// snapshotText checks PostgreSQL's text form of a snapshot: xmin:xmax:xip,xip,…, with the xip
// ascending from xmin and below xmax.
func (f *findings) snapshotText(s, field string) {
	const reason = "is no pg_snapshot"
	groups := snapshotForm.FindStringSubmatch(s)
	if groups == nil || len(s) > maxCursor {
		f.want(false, field, reason)
		return
	}
	xmin, err1 := strconv.ParseUint(groups[1], 10, 64)
	xmax, err2 := strconv.ParseUint(groups[2], 10, 64)
	f.want(err1 == nil && err2 == nil && xmin > 0 && xmin <= xmax, field, reason)
	if groups[3] == "" {
		return
	}
	least := xmin
	for text := range strings.SplitSeq(groups[3], ",") {
		xip, err := strconv.ParseUint(text, 10, 64)
		f.want(err == nil && xip >= least && xip < xmax, field, reason)
		least = xip + 1
	}
}

func (r *Receipt) validate() error {
	var f findings
	f.stream(r.Stream)
	f.want(uuidForm.MatchString(r.Log), "log", "is no UUID")
	f.want(instanceForm.MatchString(r.Instance), "instance", "is no name of an instance")
	f.want(r.Batch >= 0 && r.Batch <= MaxBatch, "batch", "is out of range")
	f.want(hashForm.MatchString(r.Manifest), "manifest", "is no SHA-256")
	f.want(r.Generation >= 1 && r.Generation < 1<<31, "generation", "is out of range")
	f.want(r.Batches >= 0, "batches", "is negative")
	f.want(r.Rows >= 0, "rows", "is negative")
	for kind, n := range r.Effects {
		f.want(fieldName.MatchString(kind) && n >= 0, "effects", "%q is out of range", kind)
	}
	if d := r.Decisions; d != nil {
		f.want(d.Count >= 0, "decisions.count", "is negative")
		f.want(hashForm.MatchString(d.Hash) || d.Count == 0 && d.Hash == "", "decisions.hash", "is no SHA-256")
	}
	for _, event := range r.Events { // a consumer of a later release may name types that this one does not know
		f.want(eventForm.MatchString(event), "events", "%q is no event type", event)
	}
	f.software(r.Consumer, "consumer")
	return f.err
}
