package connect_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A machine that loses its power holds its locks until the server asks after it.
func TestTheServerNoticesADeadMachine(t *testing.T) {
	url := pgtest.Database(t, nil, "")
	for query, want := range map[string]string{
		url:                              "30 10",
		url + "&tcp_keepalives_idle=240": "240 10",
	} {
		conn, err := connect.To(t.Context(), query, "database", map[string]string{"application_name": "waybill"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		var got string
		err = conn.QueryRow(t.Context(), `SELECT current_setting('tcp_keepalives_idle') || ' ' || current_setting('tcp_keepalives_interval')`).Scan(&got)
		if err != nil || got != want {
			t.Errorf("keepalives are %q, %v; want %q", got, err, want)
		}
	}
}

// A pooler silently drops settings if configured to, and gives transactions of one session to
// several backends. Each way the URL is wrong, and nothing is made in another schema.
func TestAPoolerIsRefused(t *testing.T) {
	const startup = "search_path, timezone, row_security, tcp_keepalives_idle, tcp_keepalives_interval, application_name"
	for name, tc := range map[string]struct {
		mode, ignored string
		defaults      map[string]string // of the database, so that nothing is lost
	}{
		"in session mode":                        {"session", "", nil},
		"in transaction mode":                    {"transaction", "", nil},
		"in session mode, dropping settings":     {"session", startup, nil},
		"in transaction mode, dropping settings": {"transaction", startup, nil},
		"with all settings":                      {"session", startup, map[string]string{"search_path": "morgue", "row_security": "off"}},
	} {
		t.Run(name, func(t *testing.T) {
			direct := pgtest.Database(t, nil, "")
			setDefaults(t, direct, tc.defaults)
			pooler, url, err := servers.StartPgBouncer(t.Context(), serverDir(t), direct, tc.mode, tc.ignored)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pooler.Kill)
			conn, err := connect.To(t.Context(), url, "morgue database", map[string]string{"search_path": "morgue"})
			if err == nil {
				conn.Close(context.Background())
			}
			if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "PostgreSQL's own host and port") {
				t.Errorf("error is %v (%v), hint %q; want a usage error that names the remedy", err, fault.ClassOf(err), fault.HintOf(err))
			}
		})
	}
}

// Where a setting is lost on the way, even without a pooler's mark, the session is not used.
func TestALostSettingIsNoticed(t *testing.T) {
	url := pgtest.Database(t, nil, "")
	config, err := connect.Config(url, map[string]string{"search_path": "morgue"})
	if err != nil {
		t.Fatal(err)
	}
	delete(config.RuntimeParams, "search_path")
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		conn.Close(context.Background())
	}
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "search_path") {
		t.Errorf("error is %v; want a usage error that names search_path", err)
	}
}

// A policy that a hardening script left would hide rows, deaths among them, and nobody would know.
func TestRowSecurityIsAnError(t *testing.T) {
	url := pgtest.Database(t, nil, "")
	conn, err := connect.To(t.Context(), url, "database", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `CREATE TABLE outbox AS SELECT 1 AS position; ALTER TABLE outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`); err != nil {
		t.Fatal(err)
	}
	var rows int
	err = fault.Database("count", "outbox", conn.QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&rows))
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "ROW LEVEL SECURITY") {
		t.Errorf("%d rows, error %v, hint %q; want a usage error about row-level security", rows, err, fault.HintOf(err))
	}
}

func setDefaults(t *testing.T, databaseURL string, defaults map[string]string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	database := pgx.Identifier{conn.Config().Database}.Sanitize()
	for name, value := range defaults {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s SET %s = %s", database, name, value)); err != nil {
			t.Fatal(err)
		}
	}
}

// serverDir returns a folder that a server's account may enter, as it may not enter t.TempDir.
func serverDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "waybill-pooler-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
