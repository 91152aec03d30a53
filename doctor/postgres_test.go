package doctor_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/doctor"
	"waybill/internal/fact"
	"waybill/lab/await"
	"waybill/lab/child"
	"waybill/lab/pg"
	"waybill/lab/servers"
)

// encrypted is a server with TLS, and with a socket in dir.
func encrypted(t *testing.T) (server *pg.Server, ca *servers.CA, dir string) {
	t.Helper()
	account, err := child.ServerAccount()
	must(t, err)
	dir, err = os.MkdirTemp("", "tls-") // which the server's account can enter
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	ca, err = servers.NewCA(dir)
	must(t, err)
	certificate, err := ca.Issue("127.0.0.1")
	must(t, err)
	must(t, account.Own(dir, certificate.Cert, certificate.Key))
	server, err = pg.Start(t.Context(), pg.Options{Settings: map[string]string{
		"fsync": "off", "ssl": "on", "ssl_cert_file": certificate.Cert, "ssl_key_file": certificate.Key, "unix_socket_directories": dir,
	}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Stop(context.Background())) })
	return server, ca, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// elsewhere is a connection to a server that is not on this machine, as far as its address says.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5432} }

func TestEncryptionToTheServer(t *testing.T) {
	t.Parallel()
	server, ca, dir := encrypted(t)
	url := server.SuperURL("postgres")
	with := func(mode string) string { return strings.Replace(url, "sslmode=disable", mode, 1) }
	full := with("sslmode=verify-full&sslrootcert=" + ca.File)
	config, err := pgx.ParseConfig(url)
	must(t, err)
	port := fmt.Sprint(config.Port)
	socket := strings.Replace(url, "127.0.0.1:"+port, "", 1) + "&host=" + dir + "&port=" + port
	for _, c := range []struct {
		name, url string
		remote    bool
		want      string
		advised   bool
	}{
		{"a socket", socket, false, "the server is on this machine", false},
		{"this machine", url, false, "the server is on this machine", false},
		{"this machine, unverified", with("sslmode=require"), false, "the server is on this machine", false},
		{"this machine, verified", full, false, "name are verified", false},
		{"verified", full, true, "name are verified", false},
		{"certificate only", with("sslmode=verify-ca&sslrootcert=" + ca.File), true, "could be another", true},
		{"unverified", with("sslmode=require"), true, "could be another", true},
		{"where the server has it", with("sslmode=prefer"), true, "could be another", true},
		{"where the server wants it", with("sslmode=allow"), true, "in the clear", true},
		{"none", url, true, "in the clear", true},
	} {
		if f := encryption(t, c.url, c.remote); !strings.Contains(f.Value, c.want) || strings.Contains(f.Advice, "verify-full") != c.advised || f.Fails {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

// encryption is what is found of a connection.
func encryption(t *testing.T, url string, remote bool) fact.Fact {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	must(t, err)
	if remote {
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return elsewhere{conn}, err
		}
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	must(t, err)
	defer conn.Close(t.Context())
	facts, err := doctor.Server(t.Context(), conn, time.Now)
	must(t, err)
	for _, f := range facts {
		if f.Name == "encryption" {
			return f
		}
	}
	t.Fatalf("nothing is said of encryption: %+v", facts)
	return fact.Fact{}
}

// What keeps the horizon back is the oldest transaction, of a session, of nobody's any more, or of the server's own.
func TestTheOldestTransactionIsNamed(t *testing.T) {
	t.Parallel()
	server, err := pg.Start(t.Context(), pg.Options{Settings: map[string]string{
		"fsync": "off", "max_prepared_transactions": "2", "autovacuum_naptime": "1s",
	}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Stop(context.Background())) })
	open := func(statements string) *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), server.SuperURL("postgres"))
		must(t, err)
		t.Cleanup(func() { conn.Close(context.Background()) })
		_, err = conn.Exec(t.Context(), statements)
		must(t, err)
		return conn
	}
	doctors := open(`SELECT`)
	oldest := func(want string) {
		t.Helper()
		if what, err := doctor.OldestTransaction(t.Context(), doctors); err != nil || !strings.Contains(what, want) {
			t.Errorf("the oldest is %q (%v), want %q", what, err, want)
		}
	}
	first := open(`BEGIN; SELECT 1`)
	second := open(`BEGIN; SELECT 1`)
	oldest(fmt.Sprintf("(pid %d)", first.PgConn().PID()))
	_, err = first.Exec(t.Context(), `PREPARE TRANSACTION 'forgotten'`)
	must(t, err)
	oldest("a transaction of postgres")
	_, err = second.Exec(t.Context(), `ROLLBACK`)
	must(t, err)
	oldest("a prepared transaction of")
	_, err = first.Exec(t.Context(), `COMMIT PREPARED 'forgotten'`)
	must(t, err)
	_, err = first.Exec(t.Context(), `CREATE TABLE vacuumed WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
		AS SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n`)
	must(t, err)
	_, err = first.Exec(t.Context(), `DELETE FROM vacuumed`)
	must(t, err)
	await.SQL(t, doctors, `EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 'vacuumed'::regclass)`)
	oldest("autovacuum worker")
}
