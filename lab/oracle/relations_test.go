package oracle_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	. "waybill/lab/oracle"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

// Two ways to the same end need no model: what one of them leaves must be what the other leaves.

// Random logs are loaded in two orders, and random histories in three ways.
func TestProofRelations(t *testing.T) {
	const logs = 40
	h := newHospital(t)
	followers := newFollowers(h)
	t.Run("in any order", func(t *testing.T) { checks(t, logs, func(t *rapid.T) { h.inAnyOrder(t, followers) }) })
	t.Run("in any way", func(t *testing.T) { checks(t, logs/2, func(t *rapid.T) { h.inAnyWay(t, followers) }) })
}

// checks runs a property a number of times.
func checks(t *testing.T, times int, property func(*rapid.T)) {
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set(strconv.Itoa(times)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Value.Set(before) }()
	rapid.Check(t, property)
}

func (w *world) same(what string, want, got []string) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("%s:\n%s", what, diff)
	}
}

// follow are the consumers that are compared; the journal appends events.
var follow = []string{"morgue", "appointments", "journal"}

// follower is a consumer's database and the way in which it follows.
type follower struct {
	*world
	way, name string
	consumer  *importer.Consumer
	url       string
	conn      *pgx.Conn
}

func of(followers []*follower, way, name string) *follower {
	return followers[slices.IndexFunc(followers, func(f *follower) bool { return f.way == way && f.name == name })]
}

func ofWay(followers []*follower, way string) (those []*follower) {
	for _, f := range followers {
		if f.way == way {
			those = append(those, f)
		}
	}
	return those
}

func newFollowers(h *hospital) (followers []*follower) {
	loaded := map[string]*importer.Consumer{}
	journal := fstest.MapFS{
		"consumer.yaml": {Data: []byte("name: journal\ndescription: x\nevents: [died, death_retracted, death_corrected, merged]\nappend: event\n")},
		"migrations/00001_first.sql": {Data: []byte("-- +goose Up\nCREATE TABLE event (" + pg.Columns(schemas.PatientEvents()) +
			", UNIQUE (patient_id, generation, version, revision));")},
	}
	var err error
	for name, load := range map[string]func() (*importer.Consumer, error){
		"morgue":       func() (*importer.Consumer, error) { return importer.LoadConsumer(morgue.Files()) },
		"appointments": func() (*importer.Consumer, error) { return importer.LoadConsumer(appointments.Files()) },
		"journal":      func() (*importer.Consumer, error) { return importer.LoadConsumer(journal) },
	} {
		if loaded[name], err = load(); err != nil {
			h.Fatal(err)
		}
	}
	h.templates["journal"] = pgtest.Database(h, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, loaded["journal"]) }, "journal")
	for _, way := range []string{"one", "other", "late"} {
		for _, name := range follow {
			f := &follower{way: way, name: name, consumer: loaded[name], url: h.copy(h.templates[name])}
			config, err := pgx.ParseConfig(f.url)
			if err != nil {
				h.Fatal(err)
			}
			config.RuntimeParams["search_path"], config.RuntimeParams["timezone"] = name, "UTC"
			if f.conn, err = pgx.ConnectConfig(h.Context(), config); err != nil {
				h.Fatal(err)
			}
			h.Cleanup(func() {
				f.conn.Close(context.Background())
				h.drop(f.url)
			})
			followers = append(followers, f)
		}
	}
	delete(h.templates, "journal")
	return followers
}

// bookEverywhere makes the same appointments at each, for every patient, with none that overlap.
func (w *world) bookEverywhere(t *rapid.T, followers []*follower) {
	for n := range 2 * records {
		kind := rapid.SampledFrom([]string{"imaging", "autopsy"}).Draw(t, "kind")
		start := w.now + rapid.SampledFrom([]Minute{Hour, Day, 32 * Day, -Hour}).Draw(t, "start")
		for _, f := range followers {
			if f.name == "appointments" {
				f.exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)`,
					id(n+1), uuid(Patient(n%records+1)), kind, strconv.Itoa(n), at(start), at(start+Hour))
			}
		}
	}
}

func (f *follower) exec(sql string, args ...any) {
	f.Helper()
	if _, err := f.conn.Exec(f.ctx, sql, args...); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
}

func (f *follower) importer(brake int) *importer.Importer {
	f.Helper()
	i, err := importer.New(importer.Config{
		DatabaseURL: f.url, Store: f.store, Consumer: f.consumer, Instance: f.way, Spool: f.folder, Grace: 100 * 365 * 24 * time.Hour,
		ActWithin: time.Duration(actWithin) * time.Minute, Brake: brake, Now: func() time.Time { return at(f.now) },
	})
	if err != nil {
		f.Fatal(err)
	}
	return i
}

func (f *follower) load(options importer.Options, brake int) (importer.Summary, fault.Class) {
	f.Helper()
	f.said("%s %s loads %+v, brake %d", f.way, f.name, options, brake)
	summary, err := f.importer(brake).Run(f.ctx, options)
	if err != nil && fault.ClassOf(err) != fault.Held {
		f.Fatal(err)
	}
	return summary, fault.ClassOf(err)
}

// loadAsForeseen loads what is new, after a dry run, which must change nothing and foresee every batch; a person approves
// what is held.
func (f *follower) loadAsForeseen(brake int) {
	f.Helper()
	before := f.dump()
	foreseen, _ := f.load(importer.Options{DryRun: true}, brake)
	f.same("before (-) and after (+) a dry run of "+f.name, before, f.dump())
	known := f.count()
	loaded, ended := f.load(importer.Options{}, brake)
	for ended == fault.Held {
		var held int64
		if err := f.conn.QueryRow(f.ctx, `SELECT held_batch FROM checkpoint`).Scan(&held); err != nil {
			f.Fatal(err)
		}
		var rest importer.Summary
		rest, ended = f.load(importer.Options{Approve: &importer.Decision{Batch: held, Reason: "a test", Person: "person"}}, brake)
		loaded.Batches = append(loaded.Batches, rest.Batches...)
	}
	inserted := int64(0)
	for _, b := range foreseen.Batches {
		inserted += b.Inserted
	}
	fields := cmpopts.IgnoreFields(importer.BatchSummary{}, "Inserted", "Unchanged", "Duration") // a load does not say the former two
	if diff := cmp.Diff(foreseen.Batches, loaded.Batches, fields, cmpopts.EquateEmpty()); diff != "" {
		f.Fatalf("%s: batches (-dry run +load):\n%s", f.name, diff)
	}
	if is := f.count(); is != known+inserted {
		f.Fatalf("%s: a dry run foresaw %d more, and there are %d after %d", f.name, inserted, is, known)
	}
}

func (f *follower) count() (n int64) {
	f.Helper()
	table := "patient"
	if f.consumer.Append != "" {
		table = f.consumer.Append
	}
	if err := f.conn.QueryRow(f.ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

func (f *follower) rows(query string) []string {
	f.Helper()
	rows, err := f.conn.Query(f.ctx, query)
	if err != nil {
		f.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// clocks are the columns by the database's clock, those of identities, which a rollback uses up, and what a run notes for the next.
const clocks = `'{id,case_id,worklist_id,started_at,applied_at,receipt,looked_at,seen_batch,seen_hash,held_batch,held_effects,touched_at,booked_at}'::text[]`

// dump returns all rows of all tables but some.
func (f *follower) dump(without ...string) (lines []string) {
	f.Helper()
	for _, table := range f.rows(`SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema AND tablename NOT LIKE '%migration%'
		AND tablename NOT IN ('decision', 'contract', 'lease', 'kind', 'last_run')`) {
		if !slices.Contains(without, table) {
			lines = append(lines, f.rows(fmt.Sprintf(`SELECT '%[1]s ' || regexp_replace((to_jsonb(t) - %[2]s)::text, '"case [0-9]+"', '"case"') FROM %[1]s t`, table, clocks))...)
		}
	}
	return lines
}
