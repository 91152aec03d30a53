package pgtest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var prepared atomic.Int64

func prepare(ctx context.Context, url string) error {
	prepared.Add(1)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
	return err
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestDatabasesAreApartAndDropped(t *testing.T) {
	t.Run("parallel", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				conn := connect(t, pgtest.Database(t, prepare, "one")) // left open: the drop is forced
				if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES (2)"); err != nil {
					t.Fatal(err)
				}
				var rows int
				if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil {
					t.Fatal(err)
				}
				if rows != 2 {
					t.Errorf("%d rows, want the template's and this test's", rows)
				}
			})
		}
	})
	if n := prepared.Load(); n != 1 {
		t.Errorf("the template was prepared %d times", n)
	}
	conn := connect(t, pgtest.Server(t).SuperURL("postgres"))
	defer conn.Close(t.Context())
	var left int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'test%'").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d databases are left", left)
	}
}

func TestKeysHaveTemplatesOfTheirOwn(t *testing.T) {
	conn := connect(t, pgtest.Database(t, nil, "empty"))
	var found, super bool
	err := conn.QueryRow(t.Context(), `SELECT to_regclass('t') IS NOT NULL,
		(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)`).Scan(&found, &super)
	if err != nil {
		t.Fatal(err)
	}
	if found {
		t.Error("another key's template was used")
	}
	if super {
		t.Error("tests run as a superuser")
	}
}
