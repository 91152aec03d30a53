package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/child"
)

const (
	readyInterval = 20 * time.Millisecond
	portAttempts  = 5
	fastShutdown  = syscall.SIGINT // ends all sessions

	immediateShutdown = syscall.SIGQUIT // also saves nothing
)

func (s *Server) dataDir() string      { return filepath.Join(s.dir, "data") }
func (s *Server) passwordFile() string { return filepath.Join(s.dir, "superuser.password") }

// openDir makes dir the server's folder, and a cluster in it unless there is one.
func (s *Server) openDir(ctx context.Context, dir string) error {
	var err error
	if dir == "" {
		s.temporary = true
		dir, err = os.MkdirTemp(os.Getenv(ScratchVariable), "waybill-pg-")
	} else if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return s.failed("create", "data folder", err)
	}
	s.dir = dir
	if _, err := os.Stat(filepath.Join(s.dataDir(), "PG_VERSION")); err == nil {
		password, err := os.ReadFile(s.passwordFile())
		s.password = string(password)
		if err != nil {
			return s.failed("read", "superuser's password", err)
		}
		return nil
	}
	return s.initialise(ctx)
}

func (s *Server) initialise(ctx context.Context) error {
	var err error
	if s.password, err = s.newPassword(); err != nil {
		return s.failed("make", "password", err)
	}
	if err := os.WriteFile(s.passwordFile(), []byte(s.password), 0o600); err != nil {
		return s.failed("write", "password file", err)
	}
	if err := s.account.Own(s.dir, s.passwordFile()); err != nil {
		return s.failed("chown", s.dir, err)
	}
	return s.makeCluster(ctx)
}

func (s *Server) makeCluster(ctx context.Context) error {
	args := append([]string{
		"--pgdata", s.dataDir(), "--username", superuser, "--pwfile", s.passwordFile(),
		"--auth", "scram-sha-256", "--encoding", "UTF8",
	}, localeArgs(s.binaries.Major)...)
	if s.binaries.Major >= 18 {
		args = append(args, "--no-data-checksums") // like those before: pg_upgrade changes nothing about them
	}
	if s.settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, s.binaries.path("initdb"), args...)
	s.confine(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return s.failed("initdb", s.dataDir(), fmt.Errorf("%w: %s", err, child.LastLines(out)))
	}
	return nil
}

// localeArgs asks for one collation that knows all letters, is the same on every machine
// and sorts by code point.
func localeArgs(major int) []string {
	switch {
	case major >= 17:
		return []string{"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"}
	case runtime.GOOS == "linux":
		return []string{"--locale=C.UTF-8"}
	default:
		return []string{"--locale=C"}
	}
}

// launchOnFreePort starts the server. Between choosing a port and binding it another
// process may take it, so it is tried several times.
func (s *Server) launchOnFreePort(ctx context.Context) error {
	var err error
	for range portAttempts {
		if s.port, err = child.FreePort(ctx); err != nil {
			return s.failed("find", "free port", err)
		}
		if err = s.launch(ctx); err == nil || !strings.Contains(err.Error(), "could not create any TCP/IP sockets") {
			return err
		}
	}
	return err
}

// launch starts the server on s.port and waits until it accepts connections.
func (s *Server) launch(ctx context.Context) error {
	tail := child.NewTail(s.log)
	cmd := exec.Command(s.binaries.path("postgres"), s.serverArgs()...)
	cmd.Stdout, cmd.Stderr = tail, tail
	s.confine(cmd)
	p, err := child.Start(cmd, fastShutdown)
	if err != nil {
		return s.failed("start", "postgres", err)
	}
	if err := s.waitReady(ctx, p); err != nil {
		p.Kill()
		return s.failed("start", "postgres", fmt.Errorf("%w: %s", err, tail))
	}
	s.process = p
	return nil
}

func (s *Server) serverArgs() []string {
	settings := map[string]string{
		"listen_addresses":          "127.0.0.1",
		"port":                      strconv.Itoa(s.port),
		"unix_socket_directories":   "", // a socket would be another way in, and its path may be too long
		"max_prepared_transactions": "10",
		"timezone":                  "UTC",
		"log_timezone":              "UTC",
		"lc_messages":               "C",
		// Statements and failing rows hold patients' data, which no log may show.
		"log_error_verbosity":     "terse",
		"log_min_error_statement": "panic",
	}
	maps.Copy(settings, s.settings)
	args := []string{"-D", s.dataDir()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// confine gives cmd the server's account, an environment without the caller's PG*
// variables and a working folder that the account can enter.
func (s *Server) confine(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if path, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+path)
	}
	cmd.Env = append(cmd.Env, s.environ...)
	s.account.Confine(cmd)
}

func (s *Server) waitReady(ctx context.Context, p *child.Process) error {
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		if conn, err := pgx.Connect(ctx, s.SuperURL(superuser)); err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-p.Gone():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
