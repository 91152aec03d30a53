package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// StartPgBouncer starts a pooler in front of the database that databaseURL names, in the pool mode
// "session" or "transaction", and returns it with the URL that leads through it. Startup parameters
// named in ignored are dropped in silence; others that it does not know are refused.
func StartPgBouncer(ctx context.Context, dir, databaseURL, mode, ignored string) (*Server, string, error) {
	in, err := find("pooler", "usr/sbin/pgbouncer")
	if err != nil {
		return nil, "", err
	}
	behind, err := url.Parse(databaseURL)
	if err != nil {
		return nil, "", fault.New(fault.Usage, "parse", "database URL", err, "")
	}
	account, err := child.ServerAccount()
	if err != nil {
		return nil, "", err
	}
	password, _ := behind.User.Password()
	config := filepath.Join(dir, "pgbouncer.ini")
	server, err := start(ctx, "pgbouncer", nil, func(port int) (*exec.Cmd, error) {
		text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
			"auth_type = any\npool_mode = %s\nignore_startup_parameters = %s\n", behind.Hostname(), behind.Port(), behind.User.Username(), password, port, mode, ignored)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		if err := account.Own(dir, config); err != nil {
			return nil, err
		}
		cmd := in.command("usr/sbin/pgbouncer", config)
		account.Confine(cmd)
		return cmd, nil
	})
	if err != nil {
		return nil, "", err
	}
	behind.Host = server.Addr()
	return server, behind.String(), nil
}
