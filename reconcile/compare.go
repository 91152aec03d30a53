package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// side is a batch as stored on one side.
type side struct {
	name string
	*Batch
	// again reads its rows once more; nil if this side is only a file.
	again func(ctx context.Context, add func(row) error) error
}

func (s side) counted(event string) bool { return s.types == nil || slices.Contains(s.types, event) }

// compare compares the other side's batch with the one here, by type. Only if they differ, it reads
// again to name the rows.
func (r *run) compare(ctx context.Context, here, other side) error {
	if other.Manifest != "" && here.Manifest != other.Manifest {
		r.find(Finding{
			Batch: &here.Batch.Batch, Side: here.name, Kind: Manifest,
			Text: fmt.Sprintf("its manifest is not the one that the %s published", other.name),
		})
	}
	if other.Uncountable != "" {
		r.uncounted(other.Batch, other.Uncountable)
		return nil
	}
	differing := map[string]suspects{}
	for _, event := range r.Contract.Events() {
		if !here.counted(event) || !other.counted(event) {
			continue
		}
		if found := here.Events[event].compare(other.Events[event]); found != nil {
			differing[event] = found
		}
	}
	if len(differing) == 0 {
		return nil
	}
	if other.Lacking > 0 && other.again == nil {
		r.uncounted(other.Batch, fmt.Sprintf("the source no longer has %d of its events, by its own account", other.Lacking))
		return nil
	}
	if other.Erased > 0 && other.again == nil {
		r.uncounted(other.Batch, fmt.Sprintf("the source has erased the patients of %d of its events since", other.Erased))
		return nil
	}
	mine, exact, err := here.rows(ctx, differing)
	if err != nil {
		return err
	}
	theirs, alsoExact, err := other.rows(ctx, differing)
	if err != nil {
		return err
	}
	if !exact || !alsoExact {
		r.suspect(here, other, mine, theirs)
		return nil
	}
	return r.differences(ctx, here, other, mine, theirs)
}

func (r *run) uncounted(b *Batch, reason string) {
	r.report.Uncounted = append(r.report.Uncounted, Uncounted{Batch: b.Batch, Reason: reason})
}

// rows returns the rows in buckets that differ, sorted, and whether they are known at all.
func (s side) rows(ctx context.Context, differing map[string]suspects) (rows []state, exact bool, err error) {
	if s.again != nil {
		err := s.again(ctx, func(r row) error {
			if differing[r.event].has(r.patient) {
				rows = append(rows, state{patient: r.patient, order: r.order, sum: r.whole})
			}
			return nil
		})
		slices.SortFunc(rows, state.compare)
		return rows, true, err
	}
	for event, suspected := range differing {
		t := s.Events[event].orNone()
		if int64(len(t.Listed)) != t.Rows {
			return nil, false, nil
		}
		for _, l := range t.Listed {
			if suspected.has(l.patient) {
				rows = append(rows, state{patient: l.patient, order: l.order, sum: l.sum})
			}
		}
	}
	slices.SortFunc(rows, state.compare)
	return rows, true, nil
}

// altered returns a finding about rows that differ. If the store has a batch as it was published,
// the other side was altered.
func altered(here, other side, text string) Finding {
	f := Finding{Batch: &here.Batch.Batch, Side: other.name, Kind: Altered, Text: text}
	if here.Manifest != other.Manifest {
		f.Side = here.name
	}
	return f
}

// suspect names patients who may be affected: those in the buckets that differ.
func (r *run) suspect(here, other side, mine, theirs []state) {
	f := altered(here, other, "the hashes differ among these patients, or others that are on one side only")
	f.Suspects = true
	known := slices.Concat(mine, theirs)
	slices.SortFunc(known, state.compare)
	for _, s := range slices.CompactFunc(known, func(a, b state) bool { return a.patient == b.patient }) {
		f.add(s.patient)
	}
	r.find(f)
}

// differences names the rows that are on one side only, or that differ.
func (r *run) differences(ctx context.Context, here, other side, mine, theirs []state) error {
	batch := &here.Batch.Batch
	onlyHere := Finding{Batch: batch, Side: other.name, Kind: Missing, Text: fmt.Sprintf("in the %s and not in the %s", here.name, other.name)}
	onlyThere := Finding{Batch: batch, Side: here.name, Kind: Missing, Text: fmt.Sprintf("in the %s and not in the %s", other.name, here.name)}
	unequal := altered(here, other, fmt.Sprintf("not the same in %s and %s", here.name, other.name))
	var lacking []state
	merge(mine, theirs, state.compare, func(a, b *state) {
		switch {
		case b == nil:
			lacking = append(lacking, *a)
		case a == nil:
			onlyThere.add(b.patient)
		case a.sum != b.sum && a.order.version < r.erased[a.patient]: // it was published before the patient was erased
		case a.sum != b.sum:
			unequal.add(a.patient)
		}
	})
	lost, err := r.notPruned(ctx, here.Batch, other, lacking)
	if err != nil {
		return err
	}
	for _, s := range lost {
		onlyHere.add(s.patient)
	}
	for _, f := range []Finding{onlyHere, onlyThere, unequal} {
		if f.Count > 0 {
			r.find(f)
		}
	}
	return nil
}

func (f *Finding) add(patient uuid.UUID) {
	f.Count++
	f.name(patient.String())
}

// notPruned leaves out events if the source has newer ones of the same patient: pruning an outbox
// keeps only each patient's last.
func (r *run) notPruned(ctx context.Context, b *Batch, other side, lacking []state) ([]state, error) {
	if other.name != "source" || other.again == nil || len(lacking) == 0 {
		return lacking, nil
	}
	patients := make([]uuid.UUID, len(lacking))
	for i, s := range lacking {
		patients[i] = s.patient
	}
	newest, err := r.Source.Newest(ctx, patients)
	if err != nil {
		return nil, err
	}
	lost := slices.DeleteFunc(slices.Clone(lacking), func(s state) bool { return newest[s.patient] > s.order.version })
	if pruned := len(lacking) - len(lost); pruned > 0 {
		r.uncounted(b, fmt.Sprintf("the outbox no longer has %d of its events, and has newer ones of the same patients: pruned, or deleted by hand", pruned))
	}
	return lost, nil
}

// merge walks two sorted lists. It calls f with two states of the same key, or with one and nil.
func merge(a, b []state, compare func(a, b state) int, f func(a, b *state)) {
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = compare(a[0], b[0])
		}
		switch {
		case order < 0:
			f(&a[0], nil)
			a = a[1:]
		case order > 0:
			f(nil, &b[0])
			b = b[1:]
		default:
			f(&a[0], &b[0])
			a, b = a[1:], b[1:]
		}
	}
}
