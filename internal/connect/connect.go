// Package connect opens connections to the services' databases.
package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/crashpoint"
	"waybill/internal/fault"
)

// Config parses a URL and adds the session's settings: time zone UTC, an error if row-level security
// would filter rows, and the given ones. A connection is refused unless it leads directly to PostgreSQL
// and has these settings. The error is of class [fault.Usage] and does not repeat the URL, which holds
// a password.
func Config(databaseURL string, settings map[string]string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", "database URL", errors.New("it cannot be parsed"), "write it as postgres://user:password@host:5432/database")
	}
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return crashpoint.Conn(conn, "db"), nil
	}
	asked := map[string]string{"timezone": "UTC", "row_security": "off"}
	maps.Copy(asked, settings)
	keepAlive(config.RuntimeParams)
	maps.Copy(config.RuntimeParams, asked)
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return asAsked(ctx, conn, asked) }
	return config, nil
}

// asAsked refuses a session behind a pooler, or without a requested setting: without its search_path a
// run would create or fill tables in another schema. A pooler is recognised by the process id that it
// makes up for its clients.
func asAsked(ctx context.Context, conn *pgconn.PgConn, asked map[string]string) error {
	var values []string
	for name, value := range asked {
		values = append(values, fmt.Sprintf("(%s, %s)", literal(name), literal(value)))
	}
	results, err := conn.Exec(ctx, fmt.Sprintf(`SELECT pg_backend_pid(), string_agg(name, ', ' ORDER BY name)
		FILTER (WHERE current_setting(name) <> value) FROM (VALUES %s) AS asked (name, value)`, strings.Join(values, ", "))).ReadAll()
	if err != nil {
		return fault.Database("check", "session", err)
	}
	row := results[0].Rows[0]
	switch {
	case string(row[0]) != fmt.Sprint(conn.PID()):
		err = errors.New("there is a pooler between this program and PostgreSQL")
	case row[1] != nil:
		err = fmt.Errorf("the session came without the settings that were asked for: %s", row[1])
	default:
		return nil
	}
	return fault.New(fault.Usage, "check", "session", err, fault.PoolerHint)
}

// literal quotes a value. No setting here has a backslash.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// keepAlive makes the server notice within two minutes that this machine is gone, and release its locks.
// Most systems would take two hours. A value in the URL wins.
func keepAlive(params map[string]string) {
	for name, seconds := range map[string]string{"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10"} {
		if _, set := params[name]; !set {
			params[name] = seconds
		}
	}
}

// To opens a connection with those settings. The subject names the database in errors. If ctx has a
// trace, the connection's statements become spans. If ctx has a mark, the connection carries it.
func To(ctx context.Context, databaseURL, subject string, settings map[string]string) (*pgx.Conn, error) {
	config, err := Config(databaseURL, marked(ctx, settings))
	if err != nil {
		return nil, err
	}
	config.Tracer = tracerIn(ctx)
	conn, err := pgx.ConnectConfig(ctx, config)
	if refused, ok := errors.AsType[*fault.Error](err); ok {
		return nil, refused
	}
	return conn, fault.Database("connect", subject, err)
}
