package exporter_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

// cluster is a server of the test's own, whose data folder can be copied.
type cluster struct {
	testing.TB
	server *pg.Server
	dir    string
}

// startCluster starts a server on the cluster in dir, or on a new one if there is none.
func startCluster(t testing.TB, dir string) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := pg.Start(ctx, pg.Options{Dir: dir, Settings: pgtest.Fast()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &cluster{TB: t, server: server, dir: dir}
}

// service returns the patients service of that name, made if it is not there, that writes to the
// exchange.
func (c *cluster) service(name string, exchange hosttest.Exchange) *site {
	c.Helper()
	url, err := c.server.CreateService(c.Context(), name)
	if err != nil {
		c.Fatal(err)
	}
	if err := migrate(c.Context(), url); err != nil {
		c.Fatal(err)
	}
	return siteAt(c.TB, url, exchange)
}

// serverDir returns the name of a folder that the server's account can reach, unlike t.TempDir
// when root tests.
func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "generation-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "server")
}

// copyTo makes a physical copy of the server's folder while it is stopped.
func (c *cluster) copyTo(dir string) { c.whileStopped(func() { copyDir(c, c.dir, dir) }) }

// restore puts a copy in the place of the server's folder.
func (c *cluster) restore(backup string) {
	c.whileStopped(func() {
		if err := os.RemoveAll(c.dir); err != nil {
			c.Fatal(err)
		}
		copyDir(c, backup, c.dir)
	})
}

func (c *cluster) whileStopped(work func()) {
	c.Helper()
	if err := c.server.Stop(c.Context()); err != nil {
		c.Fatal(err)
	}
	work()
	if err := c.server.Restart(c.Context()); err != nil {
		c.Fatal(err)
	}
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// die has the patients die now. An undated death would be historic to a consumer that finds it in a snapshot.
func (s *site) die(patients ...uuid.UUID) {
	s.Helper()
	s.exec(`UPDATE patients.patient SET death_status = 'formal', death_precision = 'minute',
		death_earliest = date_trunc('minute', now()), death_latest = date_trunc('minute', now()) + interval '1 minute' WHERE id = ANY ($1)`, patients)
}

func (s *site) live(patient uuid.UUID) {
	s.Helper()
	s.exec(`UPDATE patients.patient SET death_status = 'none', death_precision = NULL, death_earliest = NULL, death_latest = NULL WHERE id = $1`, patient)
}

// refused runs an export that must name the reason and the way out, and leave the log alone.
func (s *site) refused(reason string) {
	s.Helper()
	before := s.files()
	_, err := s.exporter().Run(s.Context())
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), "--new-generation") {
		s.Fatalf("got %v (%s, next: %s), want poison and --new-generation", err, fault.ClassOf(err), fault.HintOf(err))
	}
	if !strings.Contains(err.Error(), reason) {
		s.Errorf("%q does not say %q", err, reason)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		s.Errorf("refused, but the store has changed:\n%s", diff)
	}
}

func (s *site) newGeneration() {
	s.Helper()
	summary, err := s.exporter().NewGeneration(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if len(summary.Batches) != 1 || summary.Batches[0].Kind != schemas.Snapshot {
		s.Errorf("the generation begins with %+v, want one snapshot", summary.Batches)
	}
}

// follower is a consumer that follows the exchange: a morgue, if nothing else is said.
type follower struct {
	testing.TB
	source   *site
	conn     *pgx.Conn
	importer *importer.Importer
}

func (s *site) follower() *follower { return s.followerOf(morgue.Files()) }

func (s *site) followerOf(folder fs.FS) *follower {
	s.Helper()
	consumer, err := importer.LoadConsumer(folder)
	if err != nil {
		s.Fatal(err)
	}
	url := pgtest.Database(s.TB, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, consumer.Name)
	f := &follower{TB: s.TB, source: s}
	if f.importer, err = importer.New(importer.Config{DatabaseURL: url, Store: s.store, Consumer: consumer, Spool: s.TempDir()}); err != nil {
		s.Fatal(err)
	}
	f.conn = connectTo(s, url)
	return f
}

func (f *follower) load() {
	f.Helper()
	if _, err := f.importer.Run(f.Context(), importer.Options{}); err != nil {
		f.Fatal(err)
	}
}

func (f *follower) exec(sql string, args ...any) {
	f.Helper()
	if _, err := f.conn.Exec(f.Context(), sql, args...); err != nil {
		f.Fatal(err)
	}
}

// equalsSource loads new batches and compares the morgue with the source's tables.
func (f *follower) equalsSource() {
	f.Helper()
	f.load()
	const dead = `death_status IN ('informal', 'formal')`
	want := ids(f, f.source.conn, `SELECT id FROM patients.patient WHERE `+dead)
	if diff := cmp.Diff(want, ids(f, f.conn, `SELECT patient_id FROM morgue.case_file WHERE state IN ('expected', 'received')`)); diff != "" {
		f.Errorf("open cases (-dead at the source +morgue):\n%s", diff)
	}
	if diff := cmp.Diff(want, ids(f, f.conn, `SELECT patient_id FROM morgue.patient WHERE `+dead)); diff != "" {
		f.Errorf("projection (-dead at the source +morgue):\n%s", diff)
	}
}

func ids(t testing.TB, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT id::text FROM (`+sql+`) AS found (id) ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAProducerRolledBackToYesterday(t *testing.T) {
	t.Parallel()
	c := startCluster(t, serverDir(t))
	s := c.service("patients", hosttest.New(t))
	morgue := s.follower()
	dead, retracted, living, later := s.register(1), s.register(1), s.register(1), s.register(1)
	s.die(dead, retracted)
	s.export()
	morgue.equalsSource()
	backup := serverDir(t)
	c.copyTo(backup)
	s.conn = s.connect()

	// Today, which will be lost.
	s.live(retracted)
	s.die(living, s.register(1))
	s.export()
	s.register(1)
	s.export()
	morgue.equalsSource()

	c.restore(backup)
	s.conn = s.connect()
	s.refused("of which this database knows nothing")
	s.die(later)
	s.refused("of which this database knows nothing")
	s.newGeneration()
	morgue.equalsSource()
	s.follower().equalsSource() // one that never knew the first generation

	s.die(living)
	s.live(dead)
	if summary := s.export(); len(summary.Batches) != 1 || summary.Batches[0].Events != 2 {
		t.Errorf("after the snapshot: %+v, want one batch of 2", summary.Batches)
	}
	morgue.equalsSource()
}

// copyRows is a logical restore: the rows of the service and of its exporter, into tables that
// are there and empty.
func copyRows(t testing.TB, from, to *pgx.Conn) {
	t.Helper()
	mustExec(t, to, `DELETE FROM patients.merge_turn`)
	for _, table := range []string{"patients.patient", "patients.identifier", "patients.alias", "patients.merge_turn", "patients.lost_death", "patients.erasure", "patients.outbox", "exporter.plan"} {
		var rows strings.Builder
		if _, err := from.PgConn().CopyTo(t.Context(), &rows, `COPY `+table+` TO STDOUT`); err != nil {
			t.Fatal(err)
		}
		mustExec(t, to, `ALTER TABLE `+table+` DISABLE TRIGGER USER`)
		if _, err := to.PgConn().CopyFrom(t.Context(), strings.NewReader(rows.String()), `COPY `+table+` FROM STDIN`); err != nil {
			t.Fatal(err)
		}
		mustExec(t, to, `ALTER TABLE `+table+` ENABLE TRIGGER USER`)
	}
	mustExec(t, to, `SELECT patients.arm()`)
	mustExec(t, to, `SELECT setval(pg_get_serial_sequence('patients.outbox', 'position'), max(position)) FROM patients.outbox`)
}

func TestAProducerRestoredIntoANewCluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		loss   string // what the restore left out
		reason string
	}{
		"whole":                        {``, "was planned in cluster"},
		"without the exporter's plans": {`DELETE FROM exporter.plan`, "a log that this database did not write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := hosttest.New(t)
			old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
			morgue := old.follower()
			dead, living, lost := old.register(1), old.register(1), old.register(1)
			old.export()
			// The new cluster's transaction ids are to be far behind.
			old.exec(`DO $$ BEGIN FOR i IN 1 .. 3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
			old.die(dead)
			old.export()
			s := startCluster(t, serverDir(t)).service("patients", place)
			copyRows(t, old.conn, s.conn)
			s.exec(test.loss)
			old.die(lost) // after the backup
			old.export()
			morgue.equalsSource()

			s.refused(test.reason)
			s.die(living, s.register(1)) // the service is live before its export is
			s.newGeneration()
			morgue.source = s
			morgue.equalsSource()
			s.live(dead)
			s.die(s.register(1))
			s.export()
			morgue.equalsSource()
			if summary := s.export(); len(summary.Batches) != 0 {
				t.Errorf("nothing is new, and it published %+v", summary.Batches)
			}
			old.refused("of which this database knows nothing")
		})
	}
}

// A database whose backup was taken in the middle of an ordinary snapshot has that batch planned;
// the log has gone on since.
func TestANewGenerationIsNotMistakenForAnUnfinishedSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(1)
	if _, err := s.exporter().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.exec(`UPDATE exporter.plan SET published_at = NULL, manifest = NULL, manifest_sha256 = NULL WHERE kind = 'snapshot'`)
	s.config.Release = "another" // whose manifests differ
	s.newGeneration()
	if got := s.last().Manifest; got.Generation != 2 || got.Batch != 3 {
		t.Errorf("batch %d of generation %d, want 3 of 2", got.Batch, got.Generation)
	}
}

// The plan of a generation's snapshot outlives a failure, and is the one that is published.
func TestANewGenerationIsResumed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(1)
	s.export()
	s.exec(`UPDATE exporter.plan SET system_identifier = 1`)
	whole := s.config.Store
	s.config.Store = failing(whole, "parts/")
	if _, err := s.exporter().NewGeneration(t.Context()); err == nil {
		t.Fatal("the store failed, and nobody noticed")
	}
	var plan string
	if err := s.conn.QueryRow(t.Context(), `SELECT plan_id FROM exporter.plan WHERE published_at IS NULL`).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	s.config.Store = whole
	s.newGeneration()
	if got := s.last().Manifest; got.Generation != 2 || got.Batch != 2 || got.Plan != plan {
		t.Errorf("batch %d of generation %d by plan %s, want 2 of 2 by %s", got.Batch, got.Generation, got.Plan, plan)
	}
}
