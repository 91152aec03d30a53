package exporter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/schemas"
)

func (s *site) rerun(options rerun.Options) (rerun.Summary, error) {
	s.Helper()
	if options.Reason == "" {
		options.Reason, options.Person = "a test", "ann"
	}
	return s.exporter().Rerun(s.Context(), options)
}

// found runs a re-run that must succeed, and returns its result for each batch.
func (s *site) found(options rerun.Options) string {
	s.Helper()
	summary, err := s.rerun(options)
	if err != nil {
		s.Fatal(err)
	}
	return told(summary)
}

func told(summary rerun.Summary) string {
	var lines []string
	for _, c := range summary.Batches {
		line := fmt.Sprintf("%d %s", c.Batch, c.Outbox)
		if c.CorrectedBy != nil {
			line += fmt.Sprintf(" by %d", *c.CorrectedBy)
		}
		if c.Repaired {
			line += fmt.Sprintf(", %d repaired", len(c.Lost))
		}
		lines = append(lines, line)
	}
	for _, c := range summary.Corrections {
		lines = append(lines, fmt.Sprintf("batch %d corrects %d..%d in revision %d with %d", c.Batch, c.From, c.To, c.Revision, c.Events))
	}
	return strings.Join(lines, "; ")
}

// refuses runs a re-run that must fail, and returns its result for each batch.
func (s *site) refuses(class fault.Class, says string, options rerun.Options) string {
	s.Helper()
	summary, err := s.rerun(options)
	if err == nil || fault.ClassOf(err) != class || !strings.Contains(err.Error(), says) || fault.HintOf(err) == "" {
		s.Errorf("re-run %+v: %v (%s), next: %s; want %s: %s", options, err, fault.ClassOf(err), fault.HintOf(err), class, says)
	}
	return told(summary)
}

func span(from, to int64) (batches []int64) {
	for batch := from; batch <= to; batch++ {
		batches = append(batches, batch)
	}
	return batches
}

// files is the hash of every file of the stream, by name.
func (s *site) files() map[string]string {
	s.Helper()
	found := map[string]string{}
	folders := []string{""}
	for len(folders) > 0 {
		folder := folders[0]
		folders = folders[1:]
		for name, err := range s.store.List(s.Context(), folder) {
			if err != nil {
				s.Fatal(err)
			}
			if at := path.Join(folder, name); strings.HasSuffix(name, "/") {
				folders = append(folders, at)
			} else {
				found[at] = schemas.Hash(s.read(at))
			}
		}
	}
	return found
}

func (s *site) read(name string) []byte {
	s.Helper()
	file, err := s.store.Get(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	data, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		s.Fatal(err)
	}
	return data
}

// part returns the name of the one part of a batch.
func (s *site) part(batch int64) string {
	s.Helper()
	entry, err := exchange.NewReader(s.store).Open(s.Context(), batch)
	if err != nil {
		s.Fatal(err)
	}
	return entry.Manifest.Parts[0].Name
}

func (s *site) spoil(name string, change func([]byte) []byte) {
	s.Helper()
	data := change(s.read(name))
	s.remove(name) // FTP servers overwrite nothing
	if err := s.store.Put(s.Context(), name, int64(len(data)), bytes.NewReader(data)); err != nil {
		s.Fatal(err)
	}
}

// batches exports n batches of two new patients each, and returns the patients.
func (s *site) batches(n int) (patients []uuid.UUID) {
	s.Helper()
	for range n {
		patients = append(patients, s.register(1), s.register(1))
		s.export()
	}
	return patients
}

func (s *site) reruns() (n int) {
	s.Helper()
	if err := s.conn.QueryRow(s.Context(), `SELECT count(*) FROM exporter.decision WHERE kind = 'rerun'`).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

func TestARerunFindsWhatIsLostAndPutsItBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(4)
	before := s.files()
	const same = "0 same; 1 same; 2 same; 3 same; 4 same"
	if got := s.found(rerun.Options{Batches: span(0, 4)}); got != same || s.reruns() != 0 {
		t.Errorf("found %s, and noted %d re-runs", got, s.reruns())
	}
	s.remove(s.part(1))
	s.spoil(s.part(2), func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
	s.remove(schemas.ManifestName(3, 0))
	s.spoil(s.part(4), func(data []byte) []byte { return data[:len(data)-1] })
	const repaired = "0 same; 1 same, 1 repaired; 2 same, 1 repaired; 3 same, 1 repaired; 4 same, 1 repaired"
	spoiled := s.files()
	if got := s.found(rerun.Options{Batches: span(0, 4), DryRun: true}); got != repaired {
		t.Errorf("dry run: %s", got)
	}
	if diff := cmp.Diff(spoiled, s.files()); diff != "" || s.reruns() != 0 {
		t.Errorf("a dry run changed:\n%s", diff)
	}
	if got := s.found(rerun.Options{Batches: span(0, 4)}); got != repaired {
		t.Errorf("re-run: %s", got)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		t.Errorf("put back otherwise than it was:\n%s", diff)
	}
	if got := s.found(rerun.Options{Batches: span(0, 4)}); got != same {
		t.Errorf("afterwards: %s", got)
	}
	var noted string
	if err := s.conn.QueryRow(t.Context(), `SELECT concat_ws('; ', reason, person, subject) FROM exporter.decision`).Scan(&noted); err != nil || noted != "a test; ann; batches 0..4, repair [1 2 3 4]" {
		t.Errorf("noted %q %v", noted, err)
	}
	s.refuses(fault.Usage, "has not published", rerun.Options{Batches: span(4, 5)})
	s.refuses(fault.Usage, "no batches", rerun.Options{})
	if _, err := s.exporter().Rerun(t.Context(), rerun.Options{Batches: span(1, 1)}); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "no reason") {
		t.Errorf("without a reason: %v", err)
	}
}

func TestARerunWaitsForAnExport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	s.remove(s.part(1))
	other := s.connect()
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(0x77617962696c6c)); err != nil {
		t.Fatal(err)
	}
	options := rerun.Options{Batches: span(1, 1), Wait: 50 * time.Millisecond}
	s.refuses(fault.Transient, "another exporter is running", options)
	options.DryRun = true
	if got := s.found(options); got != "1 same, 1 repaired" {
		t.Errorf("a dry run during an export: %s", got)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.rerun(rerun.Options{Batches: span(1, 1)})
		done <- err
	}()
	await.SQL(t, other, `EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))`)
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBatchesOfATimeAreChosen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(3)
	s.exec(`UPDATE exporter.plan SET window_from = timestamptz '2026-11-20 00:00Z' + batch * interval '1 h', window_to = timestamptz '2026-11-20 01:00Z' + batch * interval '1 h'`)
	at := func(hour int) time.Time { return time.Date(2026, 11, 20, hour, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		from, to time.Time
		recorded bool
		want     []int64
	}{
		{at(1), at(2), false, []int64{1}},
		{at(2).Add(-time.Minute), at(3).Add(time.Minute), false, []int64{1, 2, 3}},
		{at(1), at(2), true, nil},
		{time.Now().Add(-time.Hour), time.Now().Add(time.Hour), true, []int64{1, 2, 3}},
		{at(7), at(9), false, nil},
	} {
		got, err := s.exporter().Choose(t.Context(), test.from, test.to, test.recorded)
		if !slices.Equal(got, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%v to %v: %v %v, want %v", test.from, test.to, got, err, test.want)
		}
		if err != nil && (fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "batches 0..3, of 2026-11-20T00:00:00Z to 2026-11-20T04:00:00Z")) {
			t.Error(err)
		}
	}
	// To the microsecond: since counts, until does not.
	part, tick := s.entry(2).Manifest.Parts[0], time.Microsecond
	for _, test := range []struct {
		from, to time.Time
		want     bool
	}{
		{part.RecordedTo.Time, part.RecordedTo.Add(tick), true},
		{part.RecordedTo.Add(tick), part.RecordedTo.Add(2 * tick), false},
		{part.RecordedFrom.Add(-tick), part.RecordedFrom.Time, false},
		{part.RecordedFrom.Add(-tick), part.RecordedFrom.Add(tick), true},
	} {
		if got, err := s.exporter().Choose(t.Context(), test.from, test.to, true); slices.Contains(got, 2) != test.want {
			t.Errorf("recorded from %v to %v: %v, %v; want batch 2: %v", test.from, test.to, got, err, test.want)
		}
	}
}

// stubborn is a store that overwrites nothing, as FTP is.
type stubborn struct {
	exchange.Store
	delete func(string) error
}

func (s stubborn) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if file, err := s.Get(ctx, name); err == nil {
		return errors.Join(exchange.ErrExists, file.Close())
	}
	return s.Store.Put(ctx, name, size, body)
}

func (s stubborn) Delete(_ context.Context, name string) error { return s.delete(name) }

func (stubborn) Tidy(context.Context, string) {}

func TestADamagedPartIsDeletedWhereItCannotBeOverwritten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	part, before := s.part(1), s.files()
	s.spoil(part, func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
	denied := fault.New(fault.Usage, "delete", part, errors.New("550 Permission denied"), "")
	place := stubborn{s.store, func(string) error { return denied }}
	s.config.Store = place
	for _, deleter := range []exchange.Deleter{nil, place} {
		s.config.Delete = deleter
		if _, err := s.exporter().Repair(t.Context(), 1, 1); fault.ClassOf(err) != fault.Usage ||
			!strings.Contains(err.Error(), "neither overwritten nor deleted") || !strings.Contains(fault.HintOf(err), "--snapshot") {
			t.Errorf("repair without the right to delete: %v, next: %s", err, fault.HintOf(err))
		}
	}
	s.config.Delete = stubborn{s.store, func(name string) error { return s.store.(exchange.Deleter).Delete(t.Context(), name) }}
	if _, err := s.exporter().Repair(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		t.Errorf("repaired otherwise:\n%s", diff)
	}
}
