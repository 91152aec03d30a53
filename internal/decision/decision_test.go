package decision_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/decision"
	"waybill/internal/migrate"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// desk is a database with a table of decisions, in a schema whose name must be quoted.
func desk(t *testing.T) (url string) {
	url = pgtest.Database(t, nil, "bare")
	if err := migrate.Up(t.Context(), url, "order", decision.Migrate); err != nil {
		t.Fatal(err)
	}
	return url
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func note(t *testing.T, db decision.DB, subject string) {
	t.Helper()
	if err := decision.Note(t.Context(), db, "order", decision.Decision{Kind: "approve", Subject: subject, Reason: `a "test"`, Person: "Änn"}); err != nil {
		t.Error(err)
	}
}

// Many at once make one chain.
func TestDecisionsFollowEachOther(t *testing.T) {
	t.Parallel()
	url := desk(t)
	var group sync.WaitGroup
	for range 4 {
		conn := connect(t, url)
		group.Go(func() {
			for range 5 {
				note(t, conn, "batch 1")
			}
		})
	}
	group.Wait()
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), `SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'`); err != nil {
		t.Fatal(err)
	}
	if got := decision.Examine(t.Context(), conn, "order"); got.Fails || !strings.HasPrefix(got.Value, "20, chain whole, the last is ") {
		t.Errorf("%+v", got)
	}
}

// The database sets what a client must not choose, and overwrites what a client supplies.
func TestAClientChoosesNeitherTimeNorHash(t *testing.T) {
	t.Parallel()
	conn := connect(t, desk(t))
	if _, err := conn.Exec(t.Context(), `
		CREATE TEMP TABLE decision (id bigint, hash text);
		SET search_path = pg_temp, "order";
		INSERT INTO "order".decision (id, at, kind, subject, seen, reason, person, login, role, previous, hash)
		VALUES (7, '2020-01-01', 'approve', 'batch 1', '', 'a test', 'ann', 'ann', 'nobody', 'x', 'y')`); err != nil {
		t.Fatal(err)
	}
	if got := decision.Examine(t.Context(), conn, "order"); got.Fails || !strings.HasPrefix(got.Value, "1, chain whole") {
		t.Errorf("%+v", got)
	}
	var honest bool
	if err := conn.QueryRow(t.Context(), `SELECT role = session_user AND now() - at < interval '1 hour' FROM "order".decision`).Scan(&honest); err != nil || !honest {
		t.Errorf("role and time are the client's: %v", err)
	}
}

func TestDecisionsStay(t *testing.T) {
	t.Parallel()
	conn := connect(t, desk(t))
	note(t, conn, "batch 1")
	super := connect(t, pgtest.Server(t).SuperURL(conn.Config().Database))
	for _, statement := range []string{
		`UPDATE "order".decision SET reason = 'another'`, `DELETE FROM "order".decision`, `TRUNCATE "order".decision`,
		`SET session_replication_role = replica; DELETE FROM "order".decision`,
	} {
		_, err := super.Exec(t.Context(), statement)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "23001" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// An owner can switch the triggers off; the chain then says where.
func TestATamperedChainShows(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]string{
		"altered":   `UPDATE "order".decision SET person = 'bob' WHERE id = 2`,
		"left out":  `DELETE FROM "order".decision WHERE id = 2`,
		"rewritten": `UPDATE "order".decision d SET person = 'bob', hash = "order".decision_hash(ROW(d.id, d.at, d.kind, d.subject, d.seen, d.reason, 'bob', d.login, d.role, d.previous, '')::"order".decision) WHERE id = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, desk(t))
			for _, subject := range []string{"batch 1", "batch 2", "batch 3"} {
				note(t, conn, subject)
			}
			if _, err := conn.Exec(t.Context(), `ALTER TABLE "order".decision DISABLE TRIGGER USER; `+tamper); err != nil {
				t.Fatal(err)
			}
			want := "breaks at number 2"
			if name == "rewritten" {
				want = "breaks at number 3"
			}
			if got := decision.Examine(t.Context(), conn, "order"); !got.Fails || !strings.Contains(got.Value, want) {
				t.Errorf("%+v, want %q", got, want)
			}
		})
	}
}

// The hash covers every column, also the hash of the decision before: rewriting one changes the hash of the last, which receipts hold.
func TestTheHashCoversEveryColumn(t *testing.T) {
	t.Parallel()
	conn := connect(t, desk(t))
	note(t, conn, "batch 1")
	note(t, conn, "batch 2")
	rows, _ := conn.Query(t.Context(), `
		SELECT key FROM "order".decision d, jsonb_each(to_jsonb(d)) AS of
		CROSS JOIN LATERAL (SELECT CASE key WHEN 'id' THEN '7' WHEN 'at' THEN '"2020-01-01T00:00:00Z"' ELSE '"other"' END::jsonb AS other) AS c
		WHERE id = 2 AND "order".decision_hash(jsonb_populate_record(d, jsonb_build_object(key, other))) = hash`)
	alike, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if diff := cmp.Diff([]string{"hash"}, alike); err != nil || diff != "" {
		t.Errorf("columns that the hash does not cover: %v, %v", alike, err)
	}
}
