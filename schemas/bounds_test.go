package schemas_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/schemas"
)

// slimManifest returns a sealed batch of two types in two parts, of which slim repeats those named.
func slimManifest(slim map[string]int64) *schemas.Manifest {
	m := goodManifest()
	m.Format, m.MinReader = schemas.FormatSealed, schemas.FormatSealed
	m.Parts = []schemas.Part{m.Parts[0], m.Parts[0], m.Parts[0]}
	for i, events := range []map[string]int64{{schemas.Died: 2}, {schemas.Merged: 3}, slim} {
		p := &m.Parts[i]
		p.Name = schemas.PartName(schemas.Mixed, planned, 42, p.SHA256, i+1) + schemas.SealedSuffix
		p.Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{"morgue"}, Slim: i == 2}
		p.Events, p.Rows = events, 0
		for _, n := range events {
			p.Rows += n
		}
	}
	m.Totalled()
	return m
}

// A slim reader takes the slim parts with its types, and other parts for those that none has; a reader of all columns takes no
// slim part.
func TestWhichPartsAReaderNeeds(t *testing.T) {
	t.Parallel()
	m := slimManifest(map[string]int64{schemas.Merged: 3})
	for _, c := range []struct {
		events []string
		slim   bool
		want   string
	}{
		{nil, false, "0 1"},
		{nil, true, "0 2"},
		{[]string{schemas.Died}, false, "0"},
		{[]string{schemas.Died}, true, "0"},
		{[]string{schemas.Merged}, false, "1"},
		{[]string{schemas.Merged}, true, "2"},
		{[]string{schemas.Died, schemas.Merged}, true, "0 2"},
		{[]string{schemas.Erased}, true, ""},
	} {
		var got []string
		for _, p := range m.PartsOf(c.events, c.slim) {
			got = append(got, fmt.Sprint(slices.IndexFunc(m.Parts, func(q schemas.Part) bool { return q.Name == p.Name })))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v, slim %v: parts %v, want %s", c.events, c.slim, got, c.want)
		}
	}
}

// Each field of a manifest at its bounds: the last value that is allowed, and the first that is not.
func TestAManifestAtItsBounds(t *testing.T) {
	t.Parallel()
	type change = func(*schemas.Manifest)
	continues := func(stream string, batch int64) change {
		return func(m *schemas.Manifest) {
			*m = schemas.Manifest{
				Format: m.Format, MinReader: 1, Stream: m.Stream, Log: m.Log, Contract: m.Contract, Generation: 1, Kind: schemas.Genesis, Plan: m.Plan,
				Window: m.Window, Cursor: schemas.Cursor{Before: "1:1:", After: "1:1:"}, HeartbeatSeconds: 1, Producer: m.Producer,
				Continues: &schemas.Continued{Stream: stream, Log: m.Log, Batch: batch},
			}
			m.Totalled()
		}
	}
	covers := func(from, to int64) change {
		return func(m *schemas.Manifest) {
			m.Kind, m.Cursor.After, m.Covers = schemas.Correction, m.Cursor.Before, &schemas.BatchRange{From: from, To: to}
		}
	}
	cursor := func(text string) change { return func(m *schemas.Manifest) { m.Cursor.After = text } }
	slim := func(events map[string]int64) change {
		return func(m *schemas.Manifest) { *m = *slimManifest(events) }
	}
	readers := func(n int, name string) change {
		return func(m *schemas.Manifest) {
			*m = *slimManifest(map[string]int64{schemas.Died: 2})
			m.Parts[0].Seal.Readers = slices.Repeat([]string{name}, n)
		}
	}
	bytes := func(n int64) change { return func(m *schemas.Manifest) { m.Parts[0].Bytes = n; m.Totalled() } }
	producer := func(software, version int) change {
		return func(m *schemas.Manifest) {
			m.Producer = schemas.Software{Software: strings.Repeat("x", software), Version: strings.Repeat("x", version)}
		}
	}
	for name, c := range map[string]struct{ allowed, refused change }{
		"bytes":                {bytes(1), bytes(0)},
		"bytes, most":          {bytes(schemas.MaxPartBytes), bytes(schemas.MaxPartBytes + 1)},
		"software":             {producer(1, 1), producer(0, 1)},
		"software, longest":    {producer(100, 1), producer(100+1, 1)},
		"version":              {producer(1, 1), producer(1, 0)},
		"version, longest":     {producer(1, 100), producer(1, 100+1)},
		"generation":           {func(m *schemas.Manifest) { m.Generation = 1 }, func(m *schemas.Manifest) { m.Generation = 0 }},
		"generation, highest":  {func(m *schemas.Manifest) { m.Generation = 1<<31 - 1 }, func(m *schemas.Manifest) { m.Generation = 1 << 31 }},
		"snapshot, first":      {func(m *schemas.Manifest) { m.Snapshot = new(int64(1)) }, func(m *schemas.Manifest) { m.Snapshot = new(int64(0)) }},
		"snapshot, last":       {func(m *schemas.Manifest) { m.Snapshot = new(int64(42)) }, func(m *schemas.Manifest) { m.Snapshot = new(int64(43)) }},
		"heartbeat":            {func(m *schemas.Manifest) { m.HeartbeatSeconds = 1 }, func(m *schemas.Manifest) { m.HeartbeatSeconds = 0 }},
		"heartbeat, longest":   {func(m *schemas.Manifest) { m.HeartbeatSeconds = 31_622_400 }, func(m *schemas.Manifest) { m.HeartbeatSeconds = 31_622_401 }},
		"waiting":              {func(m *schemas.Manifest) { m.Waiting.Events = 0 }, func(m *schemas.Manifest) { m.Waiting.Events = -1 }},
		"window":               {func(m *schemas.Manifest) { m.Window.From = m.Window.To }, func(m *schemas.Manifest) { m.Window.From.Time = m.Window.To.Add(time.Microsecond) }},
		"year":                 {func(m *schemas.Manifest) { m.Parts[0].RecordedFrom.Time = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC) }, func(m *schemas.Manifest) { m.Parts[0].RecordedFrom.Time = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) }},
		"covers, first":        {covers(1, 1), covers(0, 1)},
		"covers, order":        {covers(7, 7), covers(7, 6)},
		"covers, last":         {covers(1, 41), covers(1, 42)},
		"continues, stream":    {continues("patient-events-0", 0), continues(schemas.Stream, 0)},
		"continues, batch":     {continues("patient-events-0", 0), continues("patient-events-0", -1)},
		"cursor, none":         {cursor("1:1:"), cursor("0:1:")},
		"cursor, order":        {cursor("5:5:"), cursor("6:5:")},
		"cursor, first in it":  {cursor("5:7:5"), cursor("5:7:4")},
		"cursor, last in it":   {cursor("5:7:6"), cursor("5:7:7")},
		"cursor, order in it":  {cursor("5:9:6,7"), cursor("5:9:7,6")},
		"cursor, twice in it":  {cursor("5:9:6,7"), cursor("5:9:6,6")},
		"slim, fewer":          {slim(map[string]int64{schemas.Merged: 3}), slim(map[string]int64{schemas.Merged: 2})},
		"slim, more":           {slim(map[string]int64{schemas.Died: 2}), slim(map[string]int64{schemas.Died: 3})},
		"slim, another type":   {slim(map[string]int64{schemas.Died: 2, schemas.Merged: 3}), slim(map[string]int64{schemas.Erased: 1})},
		"readers":              {readers(100, "morgue"), readers(101, "morgue")},
		"reader's name":        {readers(1, "morgue-2"), readers(1, "Morgue")},
		"sealed, for a reader": {slim(map[string]int64{schemas.Died: 2}), func(m *schemas.Manifest) { *m = *slimManifest(map[string]int64{schemas.Died: 2}); m.MinReader = 1 }},
	} {
		m := goodManifest()
		c.allowed(m)
		if _, err := m.Encode(); err != nil {
			t.Errorf("%s: allowed, and %v", name, err)
		}
		m = goodManifest()
		c.refused(m)
		if _, err := m.Encode(); !errors.Is(err, schemas.ErrInvalid) {
			t.Errorf("%s: refused, and %v", name, err)
		}
	}
}

// Receipts and floors in the same way.
func TestReceiptsAndFloorsAtTheirBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ allowed, refused func(*schemas.Receipt) }{
		"batch":             {func(r *schemas.Receipt) { r.Batch = 0 }, func(r *schemas.Receipt) { r.Batch = -1 }},
		"batch, last":       {func(r *schemas.Receipt) { r.Batch = schemas.MaxBatch }, func(r *schemas.Receipt) { r.Batch = schemas.MaxBatch + 1 }},
		"generation":        {func(r *schemas.Receipt) { r.Generation = 1 }, func(r *schemas.Receipt) { r.Generation = 0 }},
		"batches":           {func(r *schemas.Receipt) { r.Batches = 0 }, func(r *schemas.Receipt) { r.Batches = -1 }},
		"rows":              {func(r *schemas.Receipt) { r.Rows = 0 }, func(r *schemas.Receipt) { r.Rows = -1 }},
		"effects":           {func(r *schemas.Receipt) { r.Effects["opened"] = 0 }, func(r *schemas.Receipt) { r.Effects["opened"] = -1 }},
		"effect's name":     {func(r *schemas.Receipt) { r.Effects["x_y"] = 1 }, func(r *schemas.Receipt) { r.Effects["x y"] = 1 }},
		"events":            {func(r *schemas.Receipt) { r.Events = []string{"later"} }, func(r *schemas.Receipt) { r.Events = []string{"Later"} }},
		"decisions":         {func(r *schemas.Receipt) { r.Decisions = &schemas.Decisions{} }, func(r *schemas.Receipt) { r.Decisions = &schemas.Decisions{Count: 1} }},
		"decisions, fewest": {func(r *schemas.Receipt) { r.Decisions.Count = 0 }, func(r *schemas.Receipt) { r.Decisions.Count = -1 }},
	} {
		r := goodReceipt()
		c.allowed(r)
		if _, err := r.Encode(); err != nil {
			t.Errorf("receipt, %s: allowed, and %v", name, err)
		}
		r = goodReceipt()
		c.refused(r)
		if _, err := r.Encode(); !errors.Is(err, schemas.ErrInvalid) {
			t.Errorf("receipt, %s: refused, and %v", name, err)
		}
	}
	for name, c := range map[string]struct{ allowed, refused func(*schemas.Floor) }{
		"number":         {func(f *schemas.Floor) { f.Floor = 1 }, func(f *schemas.Floor) { f.Floor = 0 }},
		"batch":          {func(f *schemas.Floor) { f.Batch = 1 }, func(f *schemas.Floor) { f.Batch = 0 }},
		"snapshot":       {func(f *schemas.Floor) { f.Snapshot = f.Batch }, func(f *schemas.Floor) { f.Snapshot = f.Batch - 1 }},
		"snapshot, last": {func(f *schemas.Floor) { f.Snapshot = schemas.MaxBatch }, func(f *schemas.Floor) { f.Snapshot = schemas.MaxBatch + 1 }},
	} {
		f := goodFloor()
		c.allowed(f)
		if _, err := f.Encode(); err != nil {
			t.Errorf("floor, %s: allowed, and %v", name, err)
		}
		f = goodFloor()
		c.refused(f)
		if _, err := f.Encode(); !errors.Is(err, schemas.ErrInvalid) {
			t.Errorf("floor, %s: refused, and %v", name, err)
		}
	}
}

// A batch may have events of a time if one of its parts spans a moment of it: since counts, until does not.
func TestWhichTimesABatchHasEventsOf(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return planned.Add(time.Duration(minute) * time.Minute) }
	m := &schemas.Manifest{Parts: []schemas.Part{
		{RecordedFrom: schemas.Time{Time: at(10)}, RecordedTo: schemas.Time{Time: at(20)}},
		{RecordedFrom: schemas.Time{Time: at(30)}, RecordedTo: schemas.Time{Time: at(30)}},
	}}
	for _, c := range []struct {
		since, until int
		want         bool
	}{
		{0, 10, false}, {0, 11, true}, {12, 15, true}, {20, 21, true}, {21, 30, false}, {30, 31, true}, {31, 99, false},
	} {
		if got := m.Recorded(at(c.since), at(c.until)); got != c.want {
			t.Errorf("from minute %d to %d: %v", c.since, c.until, got)
		}
	}
}
