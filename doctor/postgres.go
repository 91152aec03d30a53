package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fact"
	"waybill/internal/fault"
)

const (
	oldestVersion = 140000 // server_version_num
	clockSkew     = 5 * time.Second
	oldHorizon    = time.Hour
)

// server is the first query's result.
type server struct {
	Version    string
	VersionNum int
	Database   string
	Role       string
	Encoding   string
	Recovery   bool
	Fsync      bool
	FullPages  bool
	Statement  string // statement_timeout for this role
	IdleTx     string // idle_in_transaction_session_timeout
	Used, Max  int
	Now        time.Time
	Oldest     time.Duration
	OldestWhat string
	Hidden     *string // tables whose rows a policy hides from this role
}

// Server returns the facts that every service's database has. clock is this machine's clock.
func Server(ctx context.Context, conn *pgx.Conn, clock func() time.Time) ([]fact.Fact, error) {
	var s server
	err := conn.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_database(), current_user,
		    pg_encoding_to_char(encoding), pg_is_in_recovery(), current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,
		    coalesce((SELECT reset_val FROM pg_settings WHERE name = 'statement_timeout'), '0'),
		    coalesce((SELECT reset_val FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'), '0'),
		    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int, current_setting('max_connections')::int,
		    clock_timestamp(),
		    (SELECT string_agg(oid::regclass::text, ', ' ORDER BY oid::regclass::text) FROM pg_class WHERE relrowsecurity AND row_security_active(oid))
		FROM pg_database WHERE datname = current_database()`).Scan(
		&s.Version, &s.VersionNum, &s.Database, &s.Role, &s.Encoding, &s.Recovery, &s.Fsync, &s.FullPages,
		&s.Statement, &s.IdleTx, &s.Used, &s.Max, &s.Now, &s.Hidden)
	if err != nil {
		return nil, fault.Database("examine", "server", err)
	}
	if err := s.readHorizon(ctx, conn); err != nil {
		return nil, err
	}
	return []fact.Fact{
		s.version(), s.role(), s.rowSecurity(), s.encoding(), s.durability(), s.timeouts(),
		encryption(conn), s.connections(), s.clock(clock()), s.horizon(),
	}, nil
}

// readHorizon finds what keeps old row versions alive: transactions, prepared transactions, and
// replication slots. Other roles' transactions show their age only to members of pg_read_all_stats.
func (s *server) readHorizon(ctx context.Context, conn *pgx.Conn) error {
	var seconds float64
	err := conn.QueryRow(ctx, `
		SELECT extract(epoch FROM age)::float8, what FROM (
		    SELECT clock_timestamp() - xact_start AS age, 'a transaction of ' || coalesce(usename, backend_type) || ' (pid ' || pid || ')' AS what
		    FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
		    UNION ALL
		    SELECT clock_timestamp() - prepared, 'a prepared transaction of ' || owner FROM pg_prepared_xacts
		) AS t ORDER BY age DESC LIMIT 1`).Scan(&seconds, &s.OldestWhat)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	s.Oldest = time.Duration(seconds * float64(time.Second)).Round(time.Second)
	return fault.Database("examine", "horizon", err)
}

func (s *server) version() fact.Fact {
	f := fact.Fact{Name: "version", Value: "PostgreSQL " + s.Version}
	if s.VersionNum < oldestVersion {
		f.Advice, f.Fails = "PostgreSQL 14 is the oldest that is supported", true
	}
	return f
}

func (s *server) role() fact.Fact {
	return fact.Fact{Name: "role", Value: fmt.Sprintf("%s in database %s", s.Role, s.Database)}
}

func (s *server) rowSecurity() fact.Fact {
	f := fact.Fact{Name: "row security", Value: "hides nothing from this role"}
	if s.Hidden != nil {
		f.Value = "hides rows of " + *s.Hidden
		f.Advice, f.Fails = "`ALTER TABLE … DISABLE ROW LEVEL SECURITY`, or `ALTER ROLE … BYPASSRLS`: Waybill refuses to work on a part of the rows", true
	}
	return f
}

func (s *server) encoding() fact.Fact {
	f := fact.Fact{Name: "encoding", Value: s.Encoding}
	if s.Encoding != "UTF8" {
		f.Advice, f.Fails = "the database must be made with ENCODING 'UTF8'", true
	}
	return f
}

func (s *server) durability() fact.Fact {
	switch {
	case s.Recovery:
		return fact.Fact{Name: "durability", Value: "this is a standby", Advice: "name the primary in the database URL", Fails: true}
	case !s.Fsync || !s.FullPages:
		return fact.Fact{Name: "durability", Value: "fsync or full_page_writes is off", Advice: "turn them on: nothing is promised without", Fails: true}
	}
	return fact.Fact{Name: "durability", Value: "fsync and full_page_writes are on"}
}

func (s *server) timeouts() fact.Fact {
	f := fact.Fact{Name: "time-outs", Value: "none that could cut a long load"}
	if s.Statement != "0" || s.IdleTx != "0" {
		f.Value = fmt.Sprintf("statement_timeout %s ms, idle_in_transaction_session_timeout %s ms; exports and imports turn them off for themselves", s.Statement, s.IdleTx)
	}
	return f
}

// encryption reports whether somebody between here and the server could read or alter the data.
func encryption(conn *pgx.Conn) fact.Fact {
	f := fact.Fact{Name: "encryption"}
	address := conn.PgConn().Conn().RemoteAddr()
	tcp, network := address.(*net.TCPAddr)
	config := conn.Config().TLSConfig
	_, encrypted := conn.PgConn().Conn().(*tls.Conn)
	switch {
	case encrypted && config != nil && !config.InsecureSkipVerify:
		f.Value = "TLS, and the server's certificate and name are verified"
	case !network || tcp.IP.IsLoopback():
		f.Value = "not needed: the server is on this machine"
	case encrypted:
		f.Value, f.Advice = "TLS, to a server that could be another", verifyAdvice
	default:
		f.Value, f.Advice = "none: patients' data and the login pass in the clear", verifyAdvice
	}
	return f
}

const verifyAdvice = "add sslmode=verify-full and sslrootcert=FILE to the database URL, with the certificate of the authority that signed the server's"

func (s *server) connections() fact.Fact {
	f := fact.Fact{Name: "connections", Value: fmt.Sprintf("%d of %d in use", s.Used, s.Max)}
	if s.Used*10 >= s.Max*9 {
		f.Advice = "raise max_connections, or find who keeps them"
	}
	return f
}

func (s *server) clock(here time.Time) fact.Fact {
	skew := here.Sub(s.Now).Round(time.Second)
	f := fact.Fact{Name: "clock", Value: fmt.Sprintf("%s; this machine's differs by %s", s.Now.UTC().Format(time.RFC3339), skew.Abs())}
	if skew.Abs() > clockSkew {
		f.Advice = "have both clocks set by NTP: windows and times of notice are the database's"
	}
	return f
}

func (s *server) horizon() fact.Fact {
	if s.OldestWhat == "" {
		return fact.Fact{Name: "horizon", Value: "no other transaction is open"}
	}
	f := fact.Fact{Name: "horizon", Value: fmt.Sprintf("the oldest transaction is %s old", s.Oldest)}
	if s.Oldest > oldHorizon {
		f.Advice = "end " + s.OldestWhat + ": what it wrote can't be exported before it ends, and vacuum waits for it"
	}
	return f
}

// Rights checks each right of the role with one query that returns a boolean. If a right is
// missing, the fact names the grant.
func Rights(ctx context.Context, conn *pgx.Conn, rights []Right) fact.Fact {
	for _, r := range rights {
		var granted bool
		if err := conn.QueryRow(ctx, "SELECT "+r.Holds).Scan(&granted); err != nil {
			return fact.Fact{Name: "rights", Value: fault.Database("examine", "rights", err).Error(), Advice: "run `waybill migrate` with this configuration", Fails: true}
		}
		if !granted {
			return fact.Fact{Name: "rights", Value: "missing: " + r.Grant, Advice: "grant it; deploy/postgres lists what each role needs", Fails: true}
		}
	}
	return fact.Fact{Name: "rights", Value: fmt.Sprintf("all %d that are needed", len(rights))}
}

// Right is a privilege: an SQL expression that is true for a role which has it, and its name.
type Right struct{ Holds, Grant string }

// Table returns the right to a table, by its qualified name.
func Table(table, privileges string) Right {
	return Right{fmt.Sprintf("has_table_privilege('%s', '%s')", table, privileges), privileges + " on " + table}
}
