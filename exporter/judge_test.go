package exporter_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/schemas"
)

func (s *site) status() exporter.Status {
	s.Helper()
	found, err := exporter.ReadStatus(s.Context(), s.url, schemas.Stream)
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// judged returns the judgement of a status, where last is the log's end.
func (s *site) judged(status exporter.Status, last *exchange.Entry, patience time.Duration) (health.Report, []exporter.Receipt) {
	s.Helper()
	report, receipts, err := status.Judge(s.Context(), s.url, exchange.NewReader(s.store), last, patience)
	if err != nil {
		s.Fatal(err)
	}
	return report, receipts
}

// wantState compares a judgement's state, and looks for a word in its detail and one in its hint.
func (s *site) wantState(what string, got health.Report, state health.State, class fault.Class, detail, hint string) {
	s.Helper()
	if got.State != state || got.Class != class || !strings.Contains(got.Detail, detail) || !strings.Contains(got.Hint, hint) {
		s.Errorf("%s: %+v; want %v, %q, %q", what, got, state, detail, hint)
	}
}

// Each state of a producer, in the order in which one hides another.
func TestEachStateOfAProducerIsJudged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	report, _ := s.judged(s.status(), nil, time.Hour)
	s.wantState("nothing was exported", report, health.OK, 0, "", "")
	s.batches(2) // 0 to 2
	early, end := s.status(), s.last()
	report, _ = s.judged(early, end, time.Hour)
	s.wantState("all is published", report, health.OK, 0, "", "")

	// Silence, to its bound; and a batch that was planned, or waits.
	for _, c := range []struct {
		what    string
		since   time.Duration // since the last window's end
		oldest  time.Duration // of what waits; 0: nothing does
		planned bool
		state   health.State
		class   fault.Class
		detail  string
	}{
		{"silent for as long as is allowed", time.Hour, 0, false, health.OK, 0, ""},
		{"silent for a moment longer", time.Hour + time.Microsecond, 0, false, health.Late, fault.NotYet, "nothing was published for"},
		{"an event waits", time.Minute, time.Hour, false, health.Behind, 0, "1 event waits"},
		{"it waits for too long", time.Minute, time.Hour + time.Microsecond, false, health.Late, fault.NotYet, "1 event waits"},
		{"a batch is planned", time.Minute, 0, true, health.Behind, 0, "batch 3 is planned"},
		{"a batch is planned, and an event waits for too long", time.Minute, 2 * time.Hour, true, health.Late, fault.NotYet, "1 event waits"},
		{"both are late", 2 * time.Hour, 3 * time.Hour, true, health.Late, fault.NotYet, "nothing was published for"},
	} {
		status := early
		status.Now = status.WindowTo.Add(c.since)
		if c.oldest > 0 {
			status.Waiting, status.Oldest = 1, new(status.Now.Add(-c.oldest))
		}
		if c.planned {
			status.Planned = new(int64(3))
		}
		report, _ = s.judged(status, end, time.Hour)
		s.wantState(c.what, report, c.state, c.class, c.detail, map[bool]string{true: "schedule"}[c.state == health.Late])
		if c.state == health.Late && (report.Since == nil || report.Since.After(status.Now)) {
			t.Errorf("%s: since %v", c.what, report.Since)
		}
	}
	none := early
	none.Batch, none.Now = -1, none.WindowTo.Add(time.Hour*2)
	report, _ = s.judged(none, nil, time.Hour)
	s.wantState("an empty log is never silent", report, health.OK, 0, "", "")

	// The store has another end than the database.
	forged := *end
	forged.Hash = schemas.Hash(nil)
	report, _ = s.judged(early, &forged, time.Hour)
	s.wantState("another manifest", report, health.Forked, fault.Poison, "batch 2 on the store is not the one", "waybill export")
	s.register(1)
	s.export()
	report, _ = s.judged(early, s.last(), time.Hour)
	s.wantState("published since the status was read", report, health.OK, 0, "", "")
	s.exec(`UPDATE exporter.plan SET published_at = NULL WHERE batch = 3`)
	report, _ = s.judged(s.status(), s.last(), time.Hour)
	s.wantState("on the store, and not yet marked", report, health.Behind, 0, "batch 3 is planned", "")
	report, _ = s.judged(s.status(), end, time.Hour)
	s.wantState("planned, and not on the store", report, health.Behind, 0, "batch 3 is planned", "")
	s.exec(`DELETE FROM exporter.plan WHERE batch = 3`)
	s.exec(`DELETE FROM patients.outbox WHERE position = (SELECT max(position) FROM patients.outbox)`)
	report, _ = s.judged(s.status(), s.last(), time.Hour)
	s.wantState("the store knows more", report, health.Broken, fault.Poison, "the store holds batch 3", "waybill export")
	s.remove(schemas.ManifestName(3, 0))
	whole := s.read(schemas.ManifestName(2, 0))
	s.spoil(schemas.ManifestName(2, 0), func(data []byte) []byte { return data[:len(data)/2] })
	if report, _ = s.judged(s.status(), end, time.Hour); report.Class == fault.Poison {
		t.Errorf("a torn manifest, which the next run repairs: %+v", report)
	}
	s.remove(schemas.ManifestName(2, 0))
	report, _ = s.judged(s.status(), s.last(), time.Hour)
	s.wantState("the store lost the end", report, health.Broken, fault.Poison, "batch 2 was published and is not on the store", "waybill repair 2..2")
	if err := s.store.Put(t.Context(), schemas.ManifestName(2, 0), int64(len(whole)), bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}

	// Somebody else's floor, true or false; the database's own is none.
	floor := &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: end.Manifest.Log, Floor: 1, Batch: 1, Previous: s.entry(1).Manifest.Previous,
		Snapshot: 2, Manifest: end.Hash, PublishedAt: schemas.At(time.Now()), Producer: schemas.Software{Software: "waybill", Version: "test"},
	}
	publish := func() {
		if err := exchange.NewWriter(s.store).Floor(t.Context(), floor); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	report, _ = s.judged(s.status(), end, time.Hour)
	s.wantState("a floor of which it knows nothing", report, health.Forked, fault.Poison, "a floor at batch 1", "floors/")
	s.exec(`INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ($1, 1, 2)`, schemas.Stream)
	report, _ = s.judged(s.status(), end, time.Hour)
	s.wantState("its own floor", report, health.OK, 0, "", "")
	floor.Floor, floor.Manifest = 2, schemas.Hash(nil)
	publish()
	report, _ = s.judged(s.status(), end, time.Hour)
	s.wantState("a false floor", report, health.Forked, fault.Poison, "floor 2", "floors/")
	s.remove(schemas.FloorName(2))

	// A consumer is silent, unless the producer is worse.
	s.receipt("morgue@east", 1, s.entry(1).Hash, nil)
	late := s.status()
	late.Now = end.Manifest.Window.To.Add(time.Hour + time.Microsecond)
	report, receipts := s.judged(late, end, time.Hour)
	if report.State != health.Late || !strings.Contains(report.Detail, "morgue@east has not been heard of since batch 1") || receipts[0].SilentSince == nil {
		t.Errorf("both are silent: %+v, %+v", report, receipts[0])
	}
	late.Now = end.Manifest.Window.To.Add(time.Hour)
	if report, receipts = s.judged(late, end, time.Hour); report.Class != 0 || receipts[0].SilentSince != nil || receipts[0].Behind != 1 {
		t.Errorf("within patience: %+v, %+v", report, receipts[0])
	}
	if report, _ = s.judged(late, end, time.Minute); report.State != health.Late {
		t.Errorf("%+v", report)
	}
	late.WindowTo = late.Now
	report, _ = s.judged(late, end, time.Minute)
	s.wantState("the consumer alone", report, health.Silent, fault.NotYet, "morgue@east", "--forget")
	if report.Since == nil || !report.Since.Equal(end.Manifest.Window.To.Time) {
		t.Errorf("silent since %v", report.Since)
	}
	report, _ = s.judged(late, &forged, time.Minute)
	if s.wantState("and the log is forked", report, health.Forked, fault.Poison, "batch 2", ""); strings.Contains(report.Detail, "morgue") {
		t.Errorf("%+v", report)
	}
	s.receiptsOfUnknownBatches(end)
	published, err := exporter.ReadPublished(t.Context(), s.url, schemas.Stream, 1)
	if err != nil || len(published) != 1 || published[0].Batch != 2 || published[0].PublishedAt == nil || *published[0].Events != 2 {
		t.Errorf("published from 1 on: %+v, %v", published, err)
	}
	if err := exporter.Decide(t.Context(), s.url, decision.Decision{Kind: "check", Subject: "a", Reason: "b", Person: "c"}); err != nil || s.count(`SELECT count(*) FROM exporter.decision WHERE kind = 'check'`) != 1 {
		t.Errorf("a decision was not kept: %v", err)
	}
}

// receiptsOfUnknownBatches compares receipts with the store where the database no longer knows the batch.
func (s *site) receiptsOfUnknownBatches(end *exchange.Entry) {
	s.Helper()
	s.exec(`DELETE FROM exporter.plan WHERE batch = 1`)
	s.receipt("tills@east", 1, s.entry(1).Hash, nil)
	s.receipt("tills@north", 1, schemas.Hash(nil), nil)
	s.receipt("tills@west", 9, schemas.Hash(nil), nil)
	forked := func(want map[string]string) {
		s.Helper()
		_, receipts := s.judged(s.status(), end, time.Hour)
		for _, r := range receipts {
			if said := want[r.Instance]; (r.Forked == "") != (said == "") || !strings.Contains(r.Forked, said) {
				s.Errorf("%s is forked: %q, want %q", r.Instance, r.Forked, said)
			}
		}
	}
	ahead := "batch 9, which this log does not have"
	forked(map[string]string{"tills@north": "the batch 1 that it has applied is not", "tills@west": ahead})
	s.spoil(schemas.ManifestName(1, 0), func(data []byte) []byte { return data[:100] })
	forked(map[string]string{"tills@west": ahead}) // a damaged manifest says nothing
	s.remove(schemas.ManifestName(1, 0))
	forked(map[string]string{"tills@west": ahead}) // nor does one that was pruned
}

// What is said of a consumer is the worst of it.
func TestWhatIsSaidOfAConsumer(t *testing.T) {
	t.Parallel()
	r := exporter.Receipt{Moved: "another", Forked: "x", Cut: "y", Gone: true, Pruned: true, SilentSince: new(time.Now()), Behind: 2}
	for _, step := range []struct {
		want  string
		clear func()
	}{
		{"has moved to another", func() { r.Moved = "" }},
		{"forked: x", func() { r.Forked = "" }},
		{"decisions are gone: y", func() { r.Cut = "" }},
		{"has no receipts any more", func() { r.Gone = false }},
		{"below the floor", func() { r.Pruned = false }},
		{"silent since ", func() { r.SilentSince = nil }},
		{"2 batches behind", func() { r.Behind = 1 }},
		{"1 batch behind", func() { r.Behind = 0 }},
		{"current", func() {}},
	} {
		if got := r.Text(time.UTC); !strings.HasPrefix(got, step.want) {
			t.Errorf("%q, want %q", got, step.want)
		}
		step.clear()
	}
}

// Numbers in the configuration are refused beyond their bounds.
func TestTheBoundsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config  exporter.Config
		allowed bool
	}{
		{exporter.Config{}, true},
		{exporter.Config{Heartbeat: time.Second, BatchEvents: 1, PartRows: 1}, true},
		{exporter.Config{Heartbeat: exporter.MaxHeartbeat}, true},
		{exporter.Config{Heartbeat: time.Second - 1}, false},
		{exporter.Config{Heartbeat: exporter.MaxHeartbeat + 1}, false},
		{exporter.Config{BatchEvents: -1}, false},
		{exporter.Config{PartRows: -1}, false},
	} {
		if _, err := exporter.New(c.config); (err == nil) != c.allowed || err != nil && fault.ClassOf(err) != fault.Usage {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}
