package reconcile

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"waybill/schemas"
	"waybill/schemas/part"
)

// snapshot is a snapshot that the consumer has loaded.
type snapshot struct {
	batch      int64
	generation int64
	bad        map[string]bool // patients of rows in it that break the contract
}

// note remembers a snapshot. The importer takes back patients of an earlier generation who are not
// in it (docs/import.md).
func (c *Consumer) note(m *schemas.Manifest, bad []part.BadRow) {
	if m.Kind != schemas.Snapshot || c.Append {
		return
	}
	s := snapshot{batch: m.Batch, generation: m.Generation, bad: map[string]bool{}}
	for _, row := range bad {
		s.bad[row.PatientID] = true
	}
	c.snapshots = append(c.snapshots, s)
}

// vanished reports whether a later snapshot of a new generation lacks the patient.
func (c *Consumer) vanished(s state) bool {
	return slices.ContainsFunc(c.snapshots, func(n snapshot) bool {
		return n.batch > s.batch && n.generation > int64(s.order.generation) && !n.bad[s.patient.String()]
	})
}

// checkLedgers compares a batch with the ledgers of the consumers that have applied it.
func (r *run) checkLedgers(b *Batch) {
	for _, c := range r.Consumers {
		if b.Batch < c.From || b.Batch > c.Checkpoint {
			continue
		}
		entry := c.entry(b.Batch)
		find := func(kind, text string) { r.find(Finding{Batch: &b.Batch, Side: c.Name, Kind: kind, Text: text}) }
		switch {
		case entry == nil && !c.skipped(b.Batch):
			find(Unknown, "its ledger has no row of it, and the checkpoint is behind it")
		case b.Batch == c.Checkpoint && c.Manifest != "" && c.Manifest != b.Manifest && (entry == nil || entry.Passed || entry.Manifest == b.Manifest):
			find(Manifest, "its checkpoint names another one")
		case entry == nil || entry.Passed:
		case entry.Manifest != b.Manifest:
			find(Manifest, "the manifest that it applied is another one")
		case b.Uncountable == "" && b.Erased == 0 && entry.Rows != b.rowsOf(c.Events):
			find(Ledger, fmt.Sprintf("it loaded %d rows of %d", entry.Rows, b.rowsOf(c.Events)))
		}
	}
}

func (b *Batch) rowsOf(events []string) (n int64) {
	for _, event := range events {
		n += b.Events[event].orNone().Rows
	}
	return n
}

// consumer compares a consumer's state with the result of the batches that it has loaded, and
// reports the findings of its own checks.
func (r *run) consumer(c *Consumer) error {
	s := &stateRun{
		run: r, c: c, wanted: newTally(), found: newTally(), findings: map[string]map[int64]*Finding{}, at: map[string]int64{},
		report: ConsumerReport{Consumer: c.Name, Append: c.Append, Checkpoint: c.Checkpoint, Lag: max(0, r.To-c.Checkpoint), Checks: c.Checks, Observed: c.Observed, File: c.Have == nil},
	}
	for _, a := range c.Ledger {
		if r.within(a.Batch) && !a.Passed {
			s.report.Loaded++
			s.report.Rows += a.Rows
		}
	}
	for _, check := range c.Checks {
		for _, patient := range check.Patients {
			s.at[patient] = -1
		}
	}
	if c.want != nil {
		if err := s.states(); err != nil {
			return err
		}
	}
	s.checks()
	r.report.Consumers = append(r.report.Consumers, s.report)
	return nil
}

// stateRun compares the states of one consumer.
type stateRun struct {
	*run
	c        *Consumer
	wanted   *Tally // the states according to the log
	found    *Tally // the states that the consumer has
	findings map[string]map[int64]*Finding
	at       map[string]int64 // the batch of the newest state of each patient that a check names; -1: not known
	erased   map[uuid.UUID]bool
	report   ConsumerReport
}

func (s *stateRun) states() error {
	have, named := s.have()
	for i := range shares {
		want, err := s.c.want.load(i)
		if err != nil {
			return err
		}
		is, err := have(i)
		if err != nil {
			return err
		}
		s.erased = erasedIn(want, is)
		if s.c.Append {
			merge(distinct(want), distinct(is), state.compare, s.pair)
		} else {
			merge(newest(want), is, byPatient, s.pair)
		}
	}
	s.found.fold()
	s.wanted.fold()
	if s.c.Have != nil {
		s.c.State, s.c.Dead = s.found, s.report.Dead
	}
	s.report.Patients, s.report.Dead = s.c.State.orNone().Rows, s.c.Dead
	if s.c.unsure { // already reported as a finding
		return nil
	}
	if !named {
		return s.suspect(s.wanted.compare(s.c.State))
	}
	for _, kind := range []string{Missing, Extra, Stale, Ahead, Altered, OlderRevision} {
		s.findAll(s.findings[kind])
	}
	return nil
}

func byPatient(a, b state) int { return bytes.Compare(a.patient[:], b.patient[:]) }

// have returns the consumer's states by share, and whether they are known one by one.
func (s *stateRun) have() (load func(i int) ([]state, error), named bool) {
	if s.c.Have != nil {
		return s.c.Have.load, true
	}
	t := s.c.State.orNone()
	if int64(len(t.Listed)) != t.Rows {
		return func(int) ([]state, error) { return nil, nil }, false
	}
	var byShare [shares][]state
	for _, l := range t.Listed {
		i := share(l.patient)
		byShare[i] = append(byShare[i], state{patient: l.patient, order: l.order, sum: l.sum, batch: -1})
	}
	return func(i int) ([]state, error) {
		slices.SortFunc(byShare[i], state.compare)
		return byShare[i], nil
	}, true
}

// pair compares a patient's state according to the log with the consumer's; either may be nil. An
// importer that took a patient back has left version 0.
func (s *stateRun) pair(want, is *state) {
	if s.pairErased(want, is) {
		return
	}
	if want != nil {
		if s.noteCheck(want); s.c.vanished(*want) {
			if is != nil && is.order.version != 0 {
				s.differs(Stale, "still known here, and no longer at the source", want.batch, want.patient)
			}
			return
		}
		s.wanted.add(want.patient, want.sum)
		if want.dead {
			s.report.LogDead++
		}
	}
	if is == nil {
		s.differs(Missing, "in the log and not here", want.batch, want.patient)
		return
	}
	if want == nil && (!s.c.Whole || is.order.version == 0) {
		return
	}
	s.count(is)
	switch {
	case want == nil:
		s.differs(Extra, "here and not in the log", -1, is.patient)
	case is.order.compare(want.order) < 0:
		s.differs(Stale, "older here than in the log", want.batch, want.patient)
	case is.order.compare(want.order) > 0:
		s.differs(Ahead, "newer here than in the log", want.batch, want.patient)
	case is.sum != want.sum && is.lacks(*want):
		s.differs(OlderRevision, "of an older revision of the contract: it lacks columns that the log fills", want.batch, want.patient)
	case is.sum != want.sum:
		s.differs(Altered, "not the same here as in the log", want.batch, want.patient)
	}
}

// pairErased compares an erased patient's states: there may be one more event or state, without data.
func (s *stateRun) pairErased(want, is *state) bool {
	switch {
	case want != nil && !s.erased[want.patient], want == nil && !s.erased[is.patient]:
		return false
	case is == nil:
		s.differs(Missing, "in the log and not here", want.batch, want.patient)
	case want != nil && want.erased && !is.erased:
		s.differs(Stale, "still known here, and erased at the source", want.batch, want.patient)
	}
	return true
}

func (s *stateRun) count(is *state) {
	s.found.add(is.patient, is.sum)
	if s.List {
		s.found.Listed = append(s.found.Listed, listed{is.patient, is.order, is.sum})
	}
	if is.dead {
		s.report.Dead++
	}
}

func (s *stateRun) noteCheck(want *state) {
	if len(s.at) == 0 {
		return
	}
	if at, named := s.at[want.patient.String()]; named {
		s.at[want.patient.String()] = max(at, want.batch)
	}
}

func (s *stateRun) differs(kind, text string, batch int64, patient uuid.UUID) {
	s.finding(kind, text, batch).add(patient)
}

// finding returns the finding of a kind and batch.
func (s *stateRun) finding(kind, text string, batch int64) *Finding {
	byBatch := s.findings[kind]
	if byBatch == nil {
		byBatch = map[int64]*Finding{}
		s.findings[kind] = byBatch
	}
	f := byBatch[batch]
	if f == nil {
		f = &Finding{Side: s.c.Name, Kind: kind, Text: text}
		if batch >= 0 {
			f.Batch = &batch
		}
		byBatch[batch] = f
	}
	return f
}

func (s *stateRun) findAll(byBatch map[int64]*Finding) {
	for _, f := range byBatch {
		s.find(*f)
	}
}

// suspect names patients who may be affected, if the consumer gave only hashes.
func (s *stateRun) suspect(suspected suspects) error {
	if suspected == nil {
		return nil
	}
	f := Finding{
		Side: s.c.Name, Kind: Altered, Suspects: true,
		Text: fmt.Sprintf("%d states follow from the log and it has %d: the hashes differ among these patients, or others that are there only", s.wanted.Rows, s.c.State.orNone().Rows),
	}
	for i := range shares {
		want, err := s.c.want.load(i)
		if err != nil {
			return err
		}
		for _, w := range newest(want) {
			if suspected.has(w.patient) && !w.erased && !s.c.vanished(w) {
				f.add(w.patient)
			}
		}
	}
	s.find(f)
	return nil
}

// checks makes a finding of each patient that the consumer's own checks name.
func (s *stateRun) checks() {
	s.findings = map[string]map[int64]*Finding{}
	for _, check := range s.c.Checks {
		unnamed := check.Count - int64(len(check.Patients))
		for _, patient := range check.Patients {
			f := s.finding(check.Kind, check.Description, s.at[patient])
			f.Count++
			f.name(patient)
		}
		if unnamed > 0 {
			s.finding(check.Kind, check.Description, -1).Count += unnamed
		}
		s.findAll(s.findings[check.Kind])
	}
}
