package migrate_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/lab/pg/pgtest"
)

// release is one of a program whose tables have had so many migrations.
func release(migrations int, contract string) []migrate.Step {
	files := fstest.MapFS{}
	for n := range migrations {
		files[fmt.Sprintf("migrations/%05d_t.sql", n+1)] = &fstest.MapFile{Data: fmt.Appendf(nil, "-- +goose Up\nCREATE TABLE t%d (n int);", n)}
	}
	return []migrate.Step{migrate.Files(files, "migration"), migrate.Contract(contract)}
}

func TestTablesOfAnotherRelease(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	check := func(release []migrate.Step) error { return migrate.Check(t.Context(), conn, "morgue", release...) }
	refused := func(what string, err error, hint string) {
		t.Helper()
		if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%s: error %v, hint %q; want one of class usage that says %q", what, err, fault.HintOf(err), hint)
		}
	}
	refused("no tables", check(release(2, "1.0.0")), "waybill migrate")
	if err := migrate.Up(t.Context(), url, "morgue", release(2, "1.1.0")...); err != nil {
		t.Fatal(err)
	}
	for name, steps := range map[string][]migrate.Step{"the same": release(2, "1.1.0"), "other words in the contract": release(2, "1.1.7")} {
		if err := check(steps); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("a release with one migration more", check(release(3, "1.1.0")), "waybill migrate")
	refused("a release with a newer contract", check(release(2, "1.2.0")), "waybill migrate")
	for name, steps := range map[string][]migrate.Step{
		"an older release": release(1, "1.1.0"), "an older contract": release(2, "1.0.9"), "older here, newer there": release(3, "1.0.0"),
	} {
		refused(name, check(steps), "install that release")
		refused(name+" migrates", migrate.Up(t.Context(), url, "morgue", steps...), "install that release")
	}
	if err := migrate.Up(t.Context(), url, "morgue", release(3, "1.2.0")...); err != nil {
		t.Error(err)
	}
	if err := check(release(3, "1.2.0")); err != nil {
		t.Error(err)
	}
}
