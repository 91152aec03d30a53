package migrate_test

import (
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func migrations(text string) fstest.MapFS {
	return fstest.MapFS{"migrations/00001_first.sql": {Data: []byte(text)}}
}

func TestSeveralAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	steps := []migrate.Step{
		migrate.Files(migrations("-- +goose Up\nCREATE TABLE counted (n int); INSERT INTO counted VALUES (1);"), "migration"),
		migrate.Statement(`CREATE TABLE IF NOT EXISTS again (n int)`),
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := migrate.Up(t.Context(), url, "order", steps...); err != nil { // a word of SQL's own
				t.Error(err)
			}
		})
	}
	group.Wait()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM "order".counted, (SELECT count(*) FROM "order".again) made`).Scan(&n); err != nil || n != 1 {
		t.Errorf("migrated %d times: %v", n, err)
	}
}

// A migration that waits for a table holds up everybody who comes after it.
func TestAMigrationWaitsForNoLockForLong(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{`CREATE SCHEMA busy; CREATE TABLE busy.seen (n int)`, `BEGIN; SELECT FROM busy.seen`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	step := migrate.Files(migrations("-- +goose Up\nALTER TABLE seen ADD m int;"), "migration")
	if err := migrate.Up(t.Context(), url, "busy", step); fault.ClassOf(err) != fault.Transient || fault.HintOf(err) == "" {
		t.Errorf("while a reader holds the table: %v (%v)", err, fault.ClassOf(err))
	}
	if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := migrate.Up(t.Context(), url, "busy", step); err != nil {
		t.Error(err)
	}
}

func TestASchemaThatIsThereNeedsNoRightToMakeOne(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA morgue; DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM %I', current_database(), current_user); END $$`); err != nil {
		t.Fatal(err)
	}
	if err := migrate.Up(t.Context(), url, "morgue"); err != nil {
		t.Error(err)
	}
	if err := migrate.Up(t.Context(), url, "other"); fault.ClassOf(err) != fault.Usage {
		t.Errorf("a schema that may not be made: %v (%s)", err, fault.ClassOf(err))
	}
}

func TestWhatIsWrongIsClassed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	for name, test := range map[string]struct {
		url   string
		files fstest.MapFS
		class fault.Class
	}{
		"no URL":        {"postgres://u:secret@/%zz", nil, fault.Usage},
		"no migrations": {url, fstest.MapFS{}, fault.Usage},
		"bad SQL":       {url, migrations("-- +goose Up\nCREATE TALBE t ();"), fault.Poison},
	} {
		err := migrate.Up(t.Context(), test.url, "morgue", migrate.Files(test.files, "migration"))
		if err == nil || fault.ClassOf(err) != test.class {
			t.Errorf("%s: %v (%s), want %s", name, err, fault.ClassOf(err), test.class)
		}
	}
}
