package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// line is one way: a file in a hundred is lost, one in twenty comes twice, and each may be overtaken by up to forty others.
type line struct {
	exchange.Store // of the far side, unread
	random         *rand.Rand
	queue          []file
	lost, doubled  int
}

type file struct {
	name string
	data []byte
}

func (l *line) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	data, err := io.ReadAll(body)
	if err != nil || int64(len(data)) != size {
		return fmt.Errorf("%d of %d bytes: %w", len(data), size, err)
	}
	switch chance := l.random.IntN(100); {
	case chance < 1:
		l.lost++
		return nil
	case chance < 6:
		l.doubled++
		l.queue = append(l.queue, file{name, data})
	}
	l.queue = append(l.queue, file{name, data})
	for len(l.queue) > 40 {
		if err := l.deliver(ctx); err != nil {
			return err
		}
	}
	return nil
}

// deliver lets any of the files that are on their way arrive.
func (l *line) deliver(ctx context.Context) error {
	n, last := l.random.IntN(len(l.queue)), len(l.queue)-1
	f := l.queue[n]
	l.queue[n], l.queue = l.queue[last], l.queue[:last]
	return l.Store.Put(ctx, f.name, int64(len(f.data)), bytes.NewReader(f.data))
}

// drain lets all files arrive.
func (l *line) drain(t *testing.T) {
	t.Helper()
	for len(l.queue) > 0 {
		if err := l.deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A consumer behind a data diode has exactly what was published once what it reports missing was sent again.
func TestProofOfOneWayMirror(t *testing.T) {
	const batches, deaths, people = 10_000, 100, 20
	dir, err := os.MkdirTemp(os.Getenv("WAYBILL_PG_SCRATCH"), "mirror-") // in memory, where the Makefile found room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := newPairIn(t, dir)
	p.ledger = filepath.Join(dir, "ledger.jsonl")
	l := &line{random: rand.New(rand.NewPCG(1, 2))}
	p.wrap = func(s exchange.Store) exchange.Store {
		l.Store = s
		return unread{l}
	}
	for n := range batches {
		p.producer.Now = p.producer.Now.Add(time.Second)
		if n%(batches/deaths) == 0 {
			p.producer.Changes(death(n/(batches/deaths), people))
		} else {
			p.producer.Changes()
		}
		if n%400 == 399 { // the mirror is a job
			p.run()
		}
	}
	l.drain(t)
	consumer := newConsumer(t, p)
	var again int
	for consumer.at() < batches {
		missing := consumer.follow()
		if missing < 0 {
			continue
		}
		if again++; again > batches {
			t.Fatalf("batch %d stays missing", missing)
		}
		if _, err := p.mirror().Again(t.Context(), missing, missing); err != nil {
			t.Fatal(err)
		}
		l.drain(t)
	}
	if l.lost < batches/150 || l.doubled < batches/30 || again < l.lost/3 {
		t.Errorf("%d files were lost, %d came twice, %d batches were sent again", l.lost, l.doubled, again)
	}
	consumer.wants("batches, each once", fmt.Sprintf("%d %[1]d", batches+1), `SELECT count(*), count(DISTINCT batch) FROM morgue.ledger`)
	consumer.wants("rows", fmt.Sprint(deaths), `SELECT sum(rows) FROM morgue.ledger`)
	consumer.wants("cases in their last states", fmt.Sprint(people), fmt.Sprintf(`SELECT count(*) FROM morgue.case_file JOIN (
		SELECT %d + n AS n FROM generate_series(0, %d) AS n) AS last ON family_name = 'Name ' || n`, deaths-people, people-1))
	t.Logf("of %d batches the line lost %d files and doubled %d; %d batches were sent again", batches, l.lost, l.doubled, again)
}

// death is the n-th event about so many people: each of them dies, and then their name is corrected.
func death(n, people int) logtest.State {
	return logtest.State{
		Event: map[bool]string{true: schemas.Died, false: schemas.DeathCorrected}[n < people], Patient: logtest.Patient(n % people), Version: int64(n/people + 2), DeathNo: 1,
		Status: "formal", Earliest: epoch.Add(-time.Hour), Latest: epoch, Precision: "minute", Family: fmt.Sprint("Name ", n),
	}
}

// consumer is a morgue that reads the far side.
type consumer struct {
	*pair
	importer *importer.Importer
	conn     *pgx.Conn
}

func newConsumer(t *testing.T, p *pair) *consumer {
	t.Helper()
	files, err := importer.LoadConsumer(morgue.Files())
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, files) }, "morgue")
	i, err := importer.New(importer.Config{
		DatabaseURL: url, Store: p.to, Consumer: files, Instance: "far", Spool: t.TempDir(), Grace: time.Hour,
		Now: func() time.Time { return p.producer.Now.Add(24 * time.Hour) }, // so late that it lists the log
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return &consumer{p, i, conn}
}

// follow imports what it can, and returns the batch that is reported missing; -1: none is.
func (c *consumer) follow() int64 {
	c.Helper()
	_, err := c.importer.Run(c.Context(), importer.Options{})
	if err == nil {
		return -1
	}
	if fault.ClassOf(err) != fault.NotYet {
		c.Fatal(err)
	}
	if missing, ok := errors.AsType[*exchange.Pending](err); ok {
		return missing.Batch
	}
	return -1 // the log ended a while ago
}

func (c *consumer) at() (batch int64) {
	c.Helper()
	if err := c.conn.QueryRow(c.Context(), `SELECT coalesce(max(batch), -1) FROM morgue.checkpoint`).Scan(&batch); err != nil {
		c.Fatal(err)
	}
	return batch
}

func (c *consumer) wants(what, want, query string) {
	c.Helper()
	rows, err := c.conn.Query(c.Context(), query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		c.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var text []byte
		for i, value := range row.RawValues() {
			if i > 0 {
				text = append(text, ' ')
			}
			text = append(text, value...)
		}
		return string(text), nil
	})
	if err != nil || len(found) != 1 || found[0] != want {
		c.Errorf("%s: %v, want %s (%v)", what, found, want, err)
	}
}
