package oracle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange/dir"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	. "waybill/lab/oracle"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

// base is minute 0 of every history.
var base = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// began is where histories begin: on a morning.
const began = 10 * Hour

func at(m Minute) time.Time { return base.Add(time.Duration(m) * time.Minute) }

// hospital is what all histories share: a patients service's empty database to copy, and the
// consumers', which each history empties.
type hospital struct {
	testing.TB
	templates map[string]string
	super     *pgx.Conn
	made      int
}

func newHospital(t testing.TB) *hospital {
	h := &hospital{TB: t, templates: map[string]string{}}
	conn, err := pgx.Connect(t.Context(), pgtest.Server(t).SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	h.super = conn
	h.templates["patients"] = pgtest.Database(t, func(ctx context.Context, url string) error {
		return errors.Join(patients.Migrate(ctx, url), exporter.Migrate(ctx, url))
	}, "patients")
	for name, consumer := range consumers(t) {
		h.templates[name] = pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, name)
	}
	return h
}

func consumers(t testing.TB) map[string]*importer.Consumer {
	loaded := map[string]*importer.Consumer{}
	dead, err := importer.LoadConsumer(morgue.Files())
	if err != nil {
		t.Fatal(err)
	}
	calendar, err := importer.LoadConsumer(appointments.Files())
	if err != nil {
		t.Fatal(err)
	}
	loaded["morgue"], loaded["appointments"] = dead, calendar
	return loaded
}

// copy copies the URL's database and returns the copy's URL. Nobody may be connected to the original.
func (h *hospital) copy(url string) string {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		h.Fatal(err)
	}
	h.made++
	name := fmt.Sprintf("history_%d", h.made)
	if _, err := h.super.Exec(h.Context(), fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE %s", name, config.User, config.Database)); err != nil {
		h.Fatal(err)
	}
	return strings.Replace(url, "/"+config.Database, "/"+name, 1)
}

func (h *hospital) drop(url string) {
	config, err := pgx.ParseConfig(url)
	if err == nil {
		_, err = h.super.Exec(context.Background(), fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", config.Database))
	}
	if err != nil {
		h.Error(err)
	}
}

// tester is a test, or one of rapid's histories.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// world is one history: in the model, and in databases and files.
type world struct {
	tester
	h   *hospital
	ctx context.Context
	now Minute

	registry *Registry
	log      *Log
	model    map[string]*Consumer

	folder    string
	store     *dir.Store
	urls      map[string]string
	conns     map[string]*pgx.Conn
	consumers map[string]*importer.Consumer
	files     map[string]fs.FS

	backup                 *Registry // and its database
	open                   *opened
	blind                  bool // the model is not compared
	witness, backupWitness *witness
	backupURL              string
	bookings               int
	tags                   int
	strangers              []string // ids of bodies without a notice
	held                   int      // imports that a brake stopped
	acted                  int
	discarding             []string // databases
}

// newWorld returns a hospital without patients. Its log has begun.
func (h *hospital) newWorld(t tester) *world {
	w := &world{
		tester: t, h: h, ctx: h.Context(), now: began,
		registry: NewRegistry(), log: &Log{}, witness: newWitness(),
		model:     map[string]*Consumer{"morgue": NewConsumer(NewMorgue()), "appointments": NewConsumer(NewClinic())},
		urls:      map[string]string{},
		conns:     map[string]*pgx.Conn{},
		consumers: consumers(h),
		files:     map[string]fs.FS{"morgue": morgue.Files(), "appointments": appointments.Files()},
	}
	w.folder = h.TempDir()
	var err error
	if w.store, err = dir.Open(filepath.Join(w.folder, schemas.Stream)); err != nil {
		t.Fatal(err)
	}
	w.urls = maps.Clone(h.templates)
	w.urls["patients"] = w.adopt(h.copy(h.templates["patients"]))
	for name := range w.urls {
		w.connect(name)
	}
	for name := range w.model {
		w.empty(name)
	}
	w.exec("appointments", `INSERT INTO kind VALUES ('farewell', 'Farewell', NULL) ON CONFLICT (code) DO UPDATE SET post_mortem = NULL`)
	w.export()
	return w
}

// empty takes all rows from a consumer's database but those that its migrations put there.
func (w *world) empty(consumer string) { w.emptyAll(w.conns[consumer], consumer) }

func (w *world) emptyAll(conn *pgx.Conn, consumer string) {
	var tables string
	if err := conn.QueryRow(w.ctx, `SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables
		WHERE schemaname = $1 AND tablename NOT LIKE '%migration%' AND tablename NOT IN ('kind', 'decision', 'contract')`, consumer).Scan(&tables); err != nil {
		w.Fatal(err)
	}
	if _, err := conn.Exec(w.ctx, "TRUNCATE "+tables+" RESTART IDENTITY"); err != nil {
		w.Fatal(err)
	}
}

func (w *world) adopt(url string) string {
	w.discarding = append(w.discarding, url)
	return url
}

// end frees what a history held.
func (w *world) end() {
	if w.open != nil {
		w.open.conn.Close(context.Background())
	}
	for _, conn := range w.conns {
		conn.Close(context.Background())
	}
	for _, url := range w.discarding {
		w.h.drop(url)
	}
	os.RemoveAll(w.folder)
}

func (w *world) connect(name string) {
	w.Helper()
	config, err := pgx.ParseConfig(w.urls[name])
	if err != nil {
		w.Fatal(err)
	}
	config.RuntimeParams["search_path"] = name
	config.RuntimeParams["timezone"] = "UTC"
	if w.conns[name], err = pgx.ConnectConfig(w.ctx, config); err != nil {
		w.Fatal(err)
	}
}

// said logs a step as code, so that a history that fails can be written down as an example.
func (w *world) said(format string, args ...any) { w.Helper(); w.Logf(format, args...) }

func (w *world) exec(service, sql string, args ...any) {
	w.Helper()
	if _, err := w.conns[service].Exec(w.ctx, sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) morgue() *Morgue { return w.model["morgue"].Service.(*Morgue) }
func (w *world) clinic() *Clinic { return w.model["appointments"].Service.(*Clinic) }

// pass lets time pass.
func (w *world) pass(time Minute) {
	w.said("w.pass(%d)", time)
	w.now += time
}

// how an import is run.
type how struct {
	Brake                    int
	Observe, DryRun, Approve bool
}

const actWithin = 30 * Day

func (o how) bounds(now Minute) Bounds {
	return Bounds{Now: now, ActWithin: actWithin, Brake: o.Brake, Observe: o.Observe}
}

func (w *world) importer(consumer string, o how) *importer.Importer {
	w.Helper()
	i, err := importer.New(importer.Config{
		DatabaseURL: w.urls[consumer], Store: w.store, Consumer: w.consumers[consumer], Spool: w.folder,
		Grace: 100 * 365 * 24 * time.Hour, ActWithin: time.Duration(actWithin) * time.Minute,
		Brake: o.Brake, Observe: o.Observe, Now: func() time.Time { return at(w.now) },
	})
	if err != nil {
		w.Fatal(err)
	}
	return i
}

// load imports what is new and compares the consumer with its model.
func (w *world) load(consumer string, o how) {
	w.Helper()
	w.said("w.load(%q, %#v)", consumer, o)
	model := w.model[consumer]
	if !model.Started && !o.DryRun {
		w.witness.begin()
	}
	through := true
	options := importer.Options{DryRun: o.DryRun}
	if o.Approve {
		options.Approve = &importer.Decision{Batch: int64(model.Held), Reason: "a test", Person: "person"}
	}
	if !o.DryRun {
		through = model.Import(w.log, o.bounds(w.now), o.Approve)
	}
	_, err := w.importer(consumer, o).Run(w.ctx, options)
	w.ended(err, through)
	w.agree(consumer)
	if through && !o.DryRun && len(w.model[consumer].Observed) == 0 {
		w.reconciled(consumer)
	}
}

// exchange is an ordinary day's run; what is held is approved the next day.
func (w *world) exchange(brake int, consumers ...string) {
	w.Helper()
	w.export()
	for _, consumer := range consumers {
		w.load(consumer, how{Brake: brake, Approve: w.model[consumer].Held != 0})
	}
}

// rerun loads batches again.
func (w *world) rerun(consumer string, from, to int, reapply bool, o how) {
	w.Helper()
	w.said("w.rerun(%q, %d, %d, %t, %#v)", consumer, from, to, reapply, o)
	through := w.model[consumer].Rerun(w.log.Batches[from:to+1], o.bounds(w.now), reapply)
	_, err := w.importer(consumer, o).Rerun(w.ctx, importer.RerunOptions{Batches: span(from, to), Reapply: reapply, Reason: "a test"})
	w.ended(err, through)
	w.agree(consumer)
}

func span(from, to int) (batches []int64) {
	for batch := from; batch <= to; batch++ {
		batches = append(batches, int64(batch))
	}
	return batches
}

func (w *world) ended(err error, through bool) {
	w.Helper()
	if !through {
		w.held++
	}
	if !w.blind && (err == nil) != through || err != nil && fault.ClassOf(err) != fault.Held {
		w.Fatalf("the import ended with %v; the model got through: %t", err, through)
	}
}
