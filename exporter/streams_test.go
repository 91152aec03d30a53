package exporter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/plan"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

// another puts plans of a second stream of the same outbox into the database: an earlier one whose events were corrected
// three times, and that was retired.
const another = `
	INSERT INTO exporter.plan (stream, batch, plan_id, log_id, kind, generation, cursor_before, cursor_after, window_from, window_to,
		previous, system_identifier, database_oid, manifest, manifest_sha256, published_at, covers_from, covers_to, revision)
	SELECT 'another', b.batch, gen_random_uuid(), log_id, b.kind, 1, cursor_after, cursor_after, window_to, window_to,
		'p', system_identifier, database_oid, 'm', 'h', now(), b.covers, b.covers, b.revision
	FROM exporter.plan, (VALUES (2, 'correction', 1, 3), (3, 'retired', NULL, 0)) b (batch, kind, covers, revision)
	WHERE plan.batch = 0`

// A consumer that has moved from another stream may have an event in a revision of that one's corrections.
func TestACorrectionIsAboveThoseOfOtherStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(2)
	s.exec(another)
	for i, want := range []string{
		"1 differs; batch 3 corrects 1..1 in revision 4 with 2",
		"1 corrected by 3; 3 differs; batch 4 corrects 1..1 in revision 5 with 2",
		"1 corrected by 4; 4 differs; batch 5 corrects 1..1 in revision 10 with 2", // the other was corrected, too
	} {
		s.exec(`UPDATE exporter.plan SET revision = 9 WHERE stream = 'another' AND kind = 'correction' AND $1 = 2`, i)
		s.fix(`family_name = family_name || 'x'`, patients[0])
		if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); got != want {
			t.Errorf("correction %d: %s, want %s", i+1, got, want)
		}
	}
}

// Each stream's log is adopted by its own end.
func TestAnotherStreamsPlansAreNotAdopted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	s.exec(another + `; UPDATE exporter.plan SET system_identifier = 1`)
	a, err := s.exporter().Adopt(t.Context(), "a test", "ann")
	if err != nil || a.Stream != "patient-events" {
		t.Fatalf("%+v, %v", a, err)
	}
	var left string
	if err := s.conn.QueryRow(t.Context(), `SELECT string_agg(DISTINCT stream, ', ') FROM exporter.plan WHERE system_identifier = 1`).Scan(&left); err != nil || left != "another" {
		t.Errorf("plans of the earlier identity are left of %s, %v, want another", left, err)
	}
}

// A release that lacks a published stream's contract does not migrate: its migrations may drop columns of that stream.
func TestAStreamThatIsUnknownHereKeepsTheTables(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.export()
	s.exec(another)
	if err := exporter.Migrate(t.Context(), s.url); err != nil {
		t.Errorf("a stream that was retired: %v", err)
	}
	s.exec(`DELETE FROM exporter.plan WHERE kind = 'retired'`)
	if err := exporter.Migrate(t.Context(), s.url); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "waybill retire") {
		t.Errorf("%v, next: %s", err, fault.HintOf(err))
	}
}

// What was pruned of one stream is still in the batches of another.
func TestATraceIsOfOneStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patient := s.batches(2)[0]
	s.exec(another)
	s.exec(`UPDATE exporter.plan SET cursor_before = (SELECT cursor_after FROM exporter.plan WHERE stream = $1 ORDER BY batch DESC LIMIT 1) WHERE stream = 'another'`, schemas.Stream)
	s.exec(`INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ('another', 2, 3), ('another', 3, 3)`)
	for stream, floor := range map[string]int64{schemas.Stream: 0, "another": 3} { // the newest
		events, err := exporter.ReadTrace(t.Context(), s.url, stream, patient.String())
		if err != nil || len(events) != 1 || (events[0].Pruned != nil) != (floor > 0) || floor > 0 && *events[0].Pruned != floor {
			t.Errorf("%s: %+v, %v; want pruned below %d", stream, events, err, floor)
		}
	}
}

// A batch that is planned for another stream is none of this one's, and neither is its floor.
func TestAStatusIsOfOneStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	s.exec(another)
	s.exec(`UPDATE exporter.plan SET published_at = NULL, manifest = NULL, manifest_sha256 = NULL WHERE stream = 'another' AND batch = 3`)
	s.exec(`INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ('another', 2, 3), ('another', 3, 3), ($1, 1, 1)`, schemas.Stream)
	for stream, want := range map[string]struct {
		planned bool
		floor   int64
	}{schemas.Stream: {false, 1}, "another": {true, 3}} {
		if got, err := exporter.ReadStatus(t.Context(), s.url, stream); err != nil || (got.Planned != nil) != want.planned || got.Floor != want.floor {
			t.Errorf("%s: %+v, %v; want %+v", stream, got, err, want)
		}
	}
}

// A stream that was retired is never late.
func TestARetiredStreamIsWell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	status := func() health.Report {
		found, err := exporter.ReadStatus(t.Context(), s.url, schemas.Stream)
		if err != nil {
			t.Fatal(err)
		}
		found.Now = found.Now.Add(24 * time.Hour)
		report, _, err := found.Judge(t.Context(), s.url, exchange.NewReader(s.store), s.last(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if got := status(); got.State != health.Late {
		t.Errorf("a day after the last batch: %+v", got)
	}
	s.exec(`UPDATE exporter.plan SET kind = 'retired' WHERE batch = (SELECT max(batch) FROM exporter.plan)`)
	if got := status(); got.Class != 0 || got.Detail != "retired" {
		t.Errorf("a day after it was retired: %+v", got)
	}
}

// A retirement that broke off is published by the next export, and is the last batch.
func TestARetirementThatBrokeOffIsFinished(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	db := plan.DB{Conn: s.conn, Stream: schemas.Stream}
	last, err := db.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Insert(t.Context(), last.Following(schemas.Retired)); err != nil {
		t.Fatal(err)
	}
	s.register(1)
	for range 2 {
		if _, err := s.exporter().Run(t.Context()); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "retired with batch 2") {
			t.Errorf("%v (%v)", err, fault.ClassOf(err))
		}
		if m := s.last().Manifest; m.Kind != schemas.Retired || m.Batch != 2 {
			t.Errorf("the last is batch %d, of kind %s", m.Batch, m.Kind)
		}
	}
}

// A generation has the same number and cursors in all streams of a database: the first to begin decides. A generation that
// another database began, or one that the log has already, decides nothing.
func TestStreamsBeginAGenerationTogether(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		elsewhere string // of the other stream's plans
		number    int64
		joins     bool
	}{
		"begun nowhere":                     {`generation = 1`, 2, false},
		"begun in the other stream":         {`generation = 2`, 2, true},
		"begun there, and before that, too": {`generation = batch`, 3, true},
		"begun by another database":         {`generation = 3, system_identifier = 1`, 4, false},
		"begun by a copy":                   {`generation = 3, database_oid = 1`, 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.batches(1)
			s.exec(another)
			s.exec(`UPDATE exporter.plan SET cursor_before = format('1:%s:', batch + 1)::pg_snapshot, ` + c.elsewhere + ` WHERE stream = 'another'`)
			s.newGeneration()
			if got := s.count(`SELECT count(*) FROM exporter.plan WHERE stream = 'another'`); got != 2 {
				t.Errorf("%d plans of the other stream are left, want both", got)
			}
			m := s.last().Manifest
			if joins := m.Cursor.Before == fmt.Sprintf("1:%d:", c.number+1); m.Generation != c.number || joins != c.joins {
				t.Errorf("generation %d from cursor %s; want %d, that of the other stream: %v", m.Generation, m.Cursor.Before, c.number, c.joins)
			}
		})
	}
}

// A heartbeat is due by this stream's last batch, and no other's of the same number.
func TestAHeartbeatIsOfOneStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(2) // 0 to 2
	s.exec(another)
	for old, due := range map[string]bool{"another": false, schemas.Stream: true} {
		s.exec(`UPDATE exporter.plan SET planned_at = clock_timestamp() - CASE WHEN stream = $1 THEN interval '2 hours' ELSE '0' END`, old)
		if got := s.export(); (len(got.Batches) == 1) != due {
			t.Errorf("%s is two hours old: %+v, want a heartbeat: %v", old, got.Batches, due)
		}
		s.exec(`DELETE FROM exporter.plan WHERE stream = $1 AND batch > 2`, schemas.Stream)
		s.forget(schemas.ManifestName(3, 0))
	}
}

// forget removes a file that may be missing.
func (s *site) forget(name string) {
	s.Helper()
	if err := s.store.(exchange.Deleter).Delete(s.Context(), name); err != nil && !errors.Is(err, exchange.ErrNotFound) {
		s.Fatal(err)
	}
}

// A stream that has ended is not continued, one that is left out of the settings is missed, and one ends only after another has
// begun, which takes a contract that this release does not have.
func TestWhichStreamsArePublished(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	if _, err := s.exporter().Retire(t.Context(), nil, "a test", "ann"); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "no later stream has begun") {
		t.Errorf("retired with no later one: %v", err)
	}
	if got := s.count(`SELECT count(*) FROM exporter.decision`); got != 0 || s.last().Manifest.Batch != 1 {
		t.Errorf("refused, and %d decisions were kept, and batch %d published", got, s.last().Manifest.Batch)
	}
	s.exec(another)
	s.export() // the other was retired
	s.exec(`UPDATE exporter.plan SET published_at = NULL WHERE kind = 'retired'`)
	if _, err := s.exporter().Run(t.Context()); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "waybill retire another") {
		t.Errorf("another is left out: %v, next: %s", err, fault.HintOf(err))
	}
	s.config.Streams = []string{"another", schemas.Stream}
	s.export()
	s.exec(`UPDATE exporter.plan SET kind = 'retired' WHERE stream = $1 AND batch = 1`, schemas.Stream)
	s.register(1)
	if _, err := s.exporter().Run(t.Context()); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "retired with batch 1") || s.last().Manifest.Batch != 1 {
		t.Errorf("after its end: %v", err)
	}
}

// A stream that continues another one begins where that one is, in its generation, with everybody's state.
func TestAStreamContinuesItsPredecessor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(2)
	s.exec(`UPDATE exporter.plan SET stream = 'another', generation = 3`)
	before := s.count(`SELECT pg_snapshot_xmax(cursor_after)::text::bigint FROM exporter.plan WHERE batch = 2`)
	s.register(1)
	s = siteAt(t, s.url, hosttest.New(t))
	s.config.Streams = []string{"another", schemas.Stream}
	var kinds []string
	for _, b := range s.export().Batches {
		kinds = append(kinds, fmt.Sprint(b.Kind, " ", b.Events))
	}
	if got, want := strings.Join(kinds, ", "), "genesis 0, snapshot 4, changes 1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if m := s.entry(0).Manifest; m.Generation != 3 || m.Cursor.Before != m.Cursor.After || s.count(`SELECT pg_snapshot_xmax(cursor_after)::text::bigint FROM exporter.plan WHERE batch = 0 AND stream <> 'another'`) != before {
		t.Errorf("begins with %+v", m)
	}
}

// One that has planned its genesis and published nothing has reported nobody: the stream after it begins anew.
func TestAPredecessorThatPublishedNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.export()
	s.exec(`UPDATE exporter.plan SET stream = 'another', generation = 3, published_at = NULL`)
	s = siteAt(t, s.url, hosttest.New(t))
	s.config.Streams = []string{"another", schemas.Stream}
	if s.export(); s.last().Manifest.Generation != 1 || s.last().Manifest.Continues != nil {
		t.Errorf("begins with %+v", s.last().Manifest)
	}
}
