package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/lab/logtest"
	"waybill/schemas"
)

// outbox is a source that has newer versions of some patients.
type outbox struct {
	Source
	newest map[uuid.UUID]int64
}

func (o outbox) Newest(context.Context, []uuid.UUID) (map[uuid.UUID]int64, error) {
	return o.newest, nil
}

// died is a death of a patient's, whose hash stands for all that it says.
func died(patient int, version int64, hash byte) row {
	return row{event: schemas.Died, patient: logtest.Patient(patient), order: order{1, version, 0}, whole: uint64(hash)}
}

func sideOf(name, manifest string, list, again bool, rows ...row) side {
	b := &Batch{Batch: 7, Manifest: manifest, Events: map[string]*Tally{}}
	for _, r := range rows {
		b.add(r, list)
	}
	b.fold()
	s := side{name: name, Batch: b}
	if again {
		s.again = func(_ context.Context, add func(row) error) error {
			for _, r := range rows {
				if err := add(r); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return s
}

// Each way in which a batch may differ is found, with the side that it is found at; and what a prune, an erasure or a file
// leaves open is said to be open.
func TestBatchesAreCompared(t *testing.T) {
	one, two, three := died(1, 2, 1), died(2, 1, 2), died(3, 1, 3)
	altered := died(1, 2, 9)
	log := func(rows ...row) side { return sideOf("log", "m", false, true, rows...) }
	source := func(rows ...row) side { return sideOf("source", "m", false, true, rows...) }
	file := func(list bool, rows ...row) side { return sideOf("source", "m", list, false, rows...) }
	with := func(s side, change func(*Batch)) side { change(s.Batch); return s }
	for name, c := range map[string]struct {
		here, other side
		newest      map[int]int64
		erased      map[int]int64
		want        string
	}{
		"the same":                              {here: log(one, two), other: source(two, one)},
		"the same in a file":                    {here: log(one, two), other: file(false, two, one)},
		"an event that was deleted":             {here: log(one, two), other: source(two), newest: map[int]int64{2: 1}, want: "missing at source: 1"},
		"an event that was the last":            {here: log(one, two), other: source(two), newest: map[int]int64{1: 2}, want: "missing at source: 1"},
		"an event with a newer one":             {here: log(one, two), other: source(two), newest: map[int]int64{1: 3}, want: "open: no longer has 1"},
		"one of two with a newer one":           {here: log(one, two, three), other: source(two), newest: map[int]int64{1: 3}, want: "missing at source: 3, open: no longer has 1"},
		"one that the log lacks":                {here: log(two), other: source(one, two), newest: map[int]int64{1: 3}, want: "missing at log: 1"},
		"an altered one":                        {here: log(one, two), other: source(altered, two), want: "altered at source: 1"},
		"one blank since":                       {here: log(one, two), other: source(altered, two), erased: map[int]int64{1: 3}},
		"an erasure that was altered":           {here: log(one, two), other: source(altered, two), erased: map[int]int64{1: 2}, want: "altered at source: 1"},
		"another manifest":                      {here: log(one), other: sideOf("source", "other", false, true, one), want: "manifest at log"},
		"no manifest":                           {here: log(one), other: sideOf("source", "", false, true, one)},
		"another manifest and an altered event": {here: log(one), other: sideOf("source", "other", false, true, altered), want: "manifest at log, altered at log: 1"},
		"uncountable":                           {here: log(one), other: with(source(), func(b *Batch) { b.Uncountable = "why" }), want: "open: why"},
		"types that are not counted":            {here: with(log(), func(b *Batch) { b.types = []string{schemas.Merged} }), other: source(one)},
		"a file that lists its rows":            {here: log(one, two), other: file(true, altered, two), want: "altered at source: 1"},
		"a file that lists none":                {here: log(one), other: file(false, altered), want: "altered at source, perhaps: 1"},
		"a file of one who pruned":              {here: log(one, two), other: with(file(false, two), func(b *Batch) { b.Lacking = 1 }), want: "open: no longer has 1"},
		"a file of one who erased":              {here: log(one), other: with(file(false, altered), func(b *Batch) { b.Erased = 1 }), want: "open: has erased the patients of 1"},
		"a source that pruned, read again":      {here: log(one, two), other: with(source(two), func(b *Batch) { b.Lacking = 1 }), newest: map[int]int64{1: 2}, want: "missing at source: 1"},
	} {
		of := func(versions map[int]int64) map[uuid.UUID]int64 {
			patients := map[uuid.UUID]int64{}
			for n, version := range versions {
				patients[logtest.Patient(n)] = version
			}
			return patients
		}
		r := &run{Options: Options{Contract: schemas.PatientEvents(), Source: outbox{newest: of(c.newest)}}, report: &Report{}, erased: of(c.erased)}
		if err := r.compare(t.Context(), c.here, c.other); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, strings.Join(said(r.report), ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// said is what a report says, in short.
func said(report *Report) (said []string) {
	for _, f := range report.Findings {
		text := f.Kind + " at " + f.Side
		if f.Suspects {
			text += ", perhaps"
		}
		for n := range 4 {
			if slices.Contains(f.Patients, logtest.Patient(n).String()) {
				text += fmt.Sprint(": ", n)
			}
		}
		said = append(said, text)
	}
	for _, u := range report.Uncounted {
		text := u.Reason
		for _, part := range []string{"no longer has 1", "has erased the patients of 1"} {
			if strings.Contains(text, part) {
				text = part
			}
		}
		said = append(said, "open: "+text)
	}
	return said
}
