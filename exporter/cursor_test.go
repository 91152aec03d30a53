package exporter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exporter"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
)

// maxPosition is the cursor that people write first: everything above the highest position seen.
// It is here to show that the tests can tell.
type maxPosition struct {
	conn      *pgx.Conn
	position  int64
	batch     int64
	delivered []logtest.Event
}

func (m *maxPosition) run(ctx context.Context) error {
	m.batch++
	rows, err := m.conn.Query(ctx, `SELECT position, patient_id, version FROM patients.outbox WHERE position > $1 ORDER BY position`, m.position)
	if err != nil {
		return err
	}
	e := logtest.Event{Batch: m.batch}
	_, err = pgx.ForEachRow(rows, []any{&m.position, &e.Patient, &e.Version}, func() error {
		m.delivered = append(m.delivered, e)
		return nil
	})
	return err
}

func TestConcurrentWritersLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	// Cut into batches of a few events, transactions that overtake each other are parted if at all.
	for _, size := range []int{0, 4} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			writeConcurrently(t, size)
		})
	}
}

func writeConcurrently(t *testing.T, batchEvents int) {
	s := newSite(t)
	s.config.BatchEvents = batchEvents
	const writers, transactions, shared = 8, 60, 6
	var ids []uuid.UUID
	for range shared {
		ids = append(ids, s.register(1))
	}
	// One transaction that is open all the while, here, and one in another database.
	open := s.connect()
	mustExec(t, open, `BEGIN`)
	mustExec(t, open, `INSERT INTO patients.patient (family_name) VALUES ('Open')`)
	elsewhere := siteAt(t, pgtest.Database(t, nil, "bare"), hosttest.New(t)).conn
	mustExec(t, elsewhere, `BEGIN; CREATE TABLE held (id int)`)

	naive := &maxPosition{conn: s.connect()}
	done := make(chan struct{})
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() { write(t, s, w, transactions, ids) })
	}
	go func() { group.Wait(); close(done) }()
	other := exportUntil(t, s.exporter(), done)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s.export()
		if err := naive.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-other
	// Prepared transactions end now, the open one is still open: all committed events are published.
	s.commitPrepared()
	s.export()
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error("with transactions still open:", err)
	}
	mustExec(t, open, `COMMIT`)
	s.export()
	if err := naive.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
	if err := exactlyOnce(s.outbox(), naive.delivered); err == nil {
		t.Error("a max(position) cursor passed: this test cannot tell")
	}
}

// exportUntil runs an exporter, in addition to the test's own, until done is closed, and closes what it
// returns when it is through.
func exportUntil(t *testing.T, e *exporter.Exporter, done <-chan struct{}) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := e.Run(t.Context()); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	return ended
}

// write is one writer's life: its own patients and, colliding with the others, shared ones;
// savepoints, rollbacks, and now and then a prepared transaction.
func write(t *testing.T, s *site, writer, transactions int, shared []uuid.UUID) {
	conn, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	random := rand.New(rand.NewPCG(uint64(writer), 1))
	for i := range transactions {
		first := `INSERT INTO patients.patient (family_name) VALUES ('New')`
		second := fmt.Sprintf(`UPDATE patients.patient SET address_line = '%d %d' WHERE id = '%s'`, writer, i, shared[random.IntN(len(shared))])
		script := "BEGIN; " + first + "; SAVEPOINT a; " + second + "; "
		switch end := random.IntN(10); {
		case i == 20 && writer%2 == 0: // a few, for the server has room for ten; it must not hold a shared patient's row, which nobody would get past
			script = fmt.Sprintf("BEGIN; %s; PREPARE TRANSACTION 'w%d-%d-%s'", first, writer, i, uuid.New())
		case end == 0:
			script += "ROLLBACK"
		case end == 1:
			script += "ROLLBACK TO a; " + first + "; COMMIT"
		default:
			script += "RELEASE a; COMMIT"
		}
		if _, err := conn.Exec(t.Context(), script); err != nil {
			t.Errorf("writer %d: %v", writer, err)
			return
		}
	}
}

func (s *site) commitPrepared() {
	s.Helper()
	rows, err := s.conn.Query(s.Context(), `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`)
	if err != nil {
		s.Fatal(err)
	}
	prepared, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(prepared) == 0 {
		s.Fatal("no transaction was prepared", err)
	}
	for _, gid := range prepared {
		s.exec(`COMMIT PREPARED '` + gid + `'`)
	}
}

func mustExec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestABacklogIsCutBetweenTransactions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.BatchEvents = 10
	for range 5 {
		s.register(7)
	}
	s.exec(`INSERT INTO patients.patient (family_name) SELECT 'Many' FROM generate_series(1, 25)`) // one transaction
	s.register(3)
	total := int64(len(s.outbox()))
	summary := s.export()
	sizes := map[int64]int{}
	for _, b := range summary.Batches {
		sizes[b.Events]++
	}
	if sizes[25] != 1 {
		t.Errorf("batches of %v events: the transaction of 25 is not one of them", sizes)
	}
	for _, b := range summary.Batches {
		if b.Events > 10 && b.Events != 25 {
			t.Errorf("batch %d has %d events", b.Batch, b.Events)
		}
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
	for _, b := range summary.Batches[1:] { // each says what waits behind it, but for the genesis
		total -= b.Events
		if waiting := s.entry(b.Batch).Manifest.Waiting; waiting.Events != total || (waiting.OldestRecordedAt == nil) != (total == 0) {
			t.Errorf("behind batch %d wait %d (since %v), want %d", b.Batch, waiting.Events, waiting.OldestRecordedAt, total)
		}
	}
}

// A transaction that began early and committed late may hold a newer version of a patient than one with a higher id: cutting
// between the two ids would deliver the newer version first. So it is left for later, and with it a transaction that has the
// next version of another of its patients. So is one that changes a patient whom a later one has registered.
func TestACutDoesNotPartOvertakingTransactions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.BatchEvents = 4
	s.export()
	patient, other := s.register(1), s.register(1)
	early, next, second := s.connect(), s.connect(), s.connect()
	for _, conn := range []*pgx.Conn{early, next, second} {
		mustExec(t, conn, `BEGIN; INSERT INTO patients.patient (family_name) VALUES ('Early')`) // takes its id now
	}
	s.register(6)
	s.exec(`UPDATE patients.patient SET address_city = 'older' WHERE id = $1`, patient)
	s.register(6)
	registered := s.register(1)
	update := `UPDATE patients.patient SET address_city = '%s' WHERE id = '%s'; `
	mustExec(t, early, fmt.Sprintf(update+update+"COMMIT", "newer", patient, "older", other))
	mustExec(t, next, fmt.Sprintf(update+"COMMIT", "newer", other))
	mustExec(t, second, fmt.Sprintf(update+"COMMIT", "newer", registered))
	s.register(6)
	if summary := s.export(); len(summary.Batches) < 3 {
		t.Fatalf("the back-log was not cut: %+v", summary.Batches)
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
}
