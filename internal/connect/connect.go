// Package connect opens connections to the services' databases.
package connect

import (
	"context"
	"errors"
	"maps"
	"net"

	"github.com/jackc/pgx/v5"

	"waybill/internal/crashpoint"
	"waybill/internal/fault"
)

// Config returns what a URL says, with the session's time zone UTC and the settings on top. Its
// error is of class [fault.Usage] and does not repeat the URL, which holds a password.
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
	keepAlive(config.RuntimeParams)
	config.RuntimeParams["timezone"] = "UTC"
	maps.Copy(config.RuntimeParams, settings)
	return config, nil
}

// keepAlive has the server find out within two minutes that this machine is gone, and give up the
// locks that another waits for. Most systems would take two hours. What the URL says stands.
func keepAlive(params map[string]string) {
	for name, seconds := range map[string]string{"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10"} {
		if _, set := params[name]; !set {
			params[name] = seconds
		}
	}
}

// To opens a connection with those settings. The subject names the database in errors. Where ctx
// carries a trace, the connection's statements become spans; where it carries a mark, the connection
// does.
func To(ctx context.Context, databaseURL, subject string, settings map[string]string) (*pgx.Conn, error) {
	config, err := Config(databaseURL, marked(ctx, settings))
	if err != nil {
		return nil, err
	}
	config.Tracer = tracerIn(ctx)
	conn, err := pgx.ConnectConfig(ctx, config)
	return conn, fault.Database("connect", subject, err)
}
