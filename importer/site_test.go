package importer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

func TestMain(m *testing.M) { pgtest.Main(m, hosttest.Stop) }

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// site is a morgue that follows a log.
type site struct {
	*logtest.Producer
	conn   *pgx.Conn
	config importer.Config
	now    time.Time // the consumer's clock
}

func morgueConsumer(t testing.TB) *importer.Consumer {
	t.Helper()
	c, err := importer.LoadConsumer(morgue.Files())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSite(t testing.TB) *site {
	t.Helper()
	return follow(t, logtest.NewProducer(t, hosttest.New(t).Open(t), start))
}

// follow returns a morgue with an empty database for an existing log.
func follow(t testing.TB, p *logtest.Producer) *site {
	t.Helper()
	consumer := morgueConsumer(t)
	url := pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, "morgue")
	s := &site{Producer: p, now: start}
	s.config = importer.Config{
		DatabaseURL: url, Store: p.Store, Consumer: consumer, Instance: "east", Spool: t.TempDir(),
		Grace: 10 * time.Minute, Now: func() time.Time { return s.now },
	}
	s.connect(url)
	return s
}

func (s *site) connect(url string) { s.conn = s.connection(url) }

func (s *site) connection(url string) *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), url)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (s *site) run(options importer.Options) (importer.Summary, error) {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	return i.Run(s.Context(), options)
}

func (s *site) load() importer.Summary {
	s.Helper()
	summary, err := s.run(importer.Options{})
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

func (s *site) rerun(options importer.RerunOptions) importer.Summary {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	summary, err := i.Rerun(s.Context(), options)
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// span lists batches, both ends included.
func span(from, to int64) (batches []int64) {
	for batch := from; batch <= to; batch++ {
		batches = append(batches, batch)
	}
	return batches
}

// value returns one value as text.
func (s *site) value(sql string) string {
	s.Helper()
	var v *string
	if err := s.conn.QueryRow(s.Context(), `SELECT (`+sql+`)::text`).Scan(&v); err != nil {
		s.Fatal(err)
	}
	if v == nil {
		return "null"
	}
	return *v
}

func (s *site) cases() string {
	s.Helper()
	return s.value(`SELECT string_agg(state || ' ' || n, ', ') FROM (SELECT state, count(*) AS n FROM morgue.case_file GROUP BY state ORDER BY state) t`)
}

// refused runs an import that must fail and leave everything as it was.
func (s *site) refused(class fault.Class, is error) error {
	s.Helper()
	const state = `SELECT jsonb_build_object('batch', (SELECT batch FROM morgue.checkpoint), 'patients', (SELECT count(*) FROM morgue.patient),
		'cases', (SELECT count(*) FROM morgue.case_file), 'ledger', (SELECT count(*) FROM morgue.ledger))`
	before := s.value(state)
	_, err := s.run(importer.Options{})
	if fault.ClassOf(err) != class || err == nil || is != nil && !errors.Is(err, is) {
		s.Errorf("got %v (%s), want %v (%s)", err, fault.ClassOf(err), is, class)
	}
	if fault.HintOf(err) == "" {
		s.Errorf("%v names no next step", err)
	}
	if after := s.value(state); after != before {
		s.Errorf("refused, but the state went from %s to %s", before, after)
	}
	return err
}

func died(n int) logtest.State {
	return logtest.State{
		Event: schemas.Died, Patient: logtest.Patient(n), Version: 2, DeathNo: 1, Status: "formal",
		Earliest: start.Add(-time.Hour), Latest: start, Precision: "minute", Family: fmt.Sprintf("Family%d", n), Given: "Given",
	}
}

func found(n int, latest time.Time) logtest.State {
	s := died(n)
	s.Baseline, s.Earliest, s.Latest = true, latest.Add(-time.Hour), latest
	return s
}

func retracted(n int) logtest.State {
	return logtest.State{Event: schemas.DeathRetracted, Patient: logtest.Patient(n), Version: 3, DeathNo: 1}
}

func replace(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func (s *site) remove(name string) {
	s.Helper()
	if err := s.Store.(exchange.Deleter).Delete(s.Context(), name); err != nil {
		s.Fatal(err)
	}
}

func (s *site) read(from exchange.Getter, name string) []byte {
	s.Helper()
	file, err := from.Get(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	data, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		s.Fatal(err)
	}
	return data
}

// write puts data in the place of a file.
func (s *site) write(name string, data []byte) {
	s.Helper()
	s.remove(name) // FTP servers overwrite nothing
	if err := s.Store.Put(s.Context(), name, int64(len(data)), bytes.NewReader(data)); err != nil {
		s.Fatal(err)
	}
}

func (s *site) truncate(name string) {
	s.Helper()
	s.write(name, s.read(s.Store, name)[:200])
}

// replaceOwn puts another valid manifest in the place of the one applied last.
func (s *site) replaceOwn() {
	s.Helper()
	place, err := dir.Open(s.TempDir())
	if err != nil {
		s.Fatal(err)
	}
	logtest.NewProducer(s, place, start).Changes(died(9))
	s.write(schemas.ManifestName(1, 0), s.read(place, schemas.ManifestName(1, 0)))
}

// misplace puts a manifest under the number before its own.
func (s *site) misplace() {
	s.Helper()
	place, err := dir.Open(s.TempDir())
	if err != nil {
		s.Fatal(err)
	}
	p := logtest.NewProducer(s, place, start)
	p.Changes(died(9))
	p.Changes(died(8))
	p.Changes(died(7))
	s.write(schemas.ManifestName(2, 0), s.read(place, schemas.ManifestName(3, 0)))
}

func (s *site) move(from, to string) {
	s.Helper()
	s.write(to, s.read(s.Store, from))
	s.remove(from)
}

// lookAgain lets five minutes pass since the last run that looked closely at the log's end.
func (s *site) lookAgain() {
	s.exec(`UPDATE morgue.checkpoint SET looked_at = looked_at - interval '5 minutes', applied_at = applied_at - interval '5 minutes'`)
}
