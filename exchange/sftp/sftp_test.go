package sftp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"

	"waybill/exchange"
	"waybill/exchange/sftp"
	"waybill/lab/child"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

var openssh *servers.SFTP

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := pkgsftp.SetSFTPExtensions(); err != nil { // of the servers in this process
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir, err := serverFolder()
	if err == nil {
		defer os.RemoveAll(dir)
		openssh, err = servers.StartSFTP(ctx, dir, servers.SFTPOptions{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer openssh.Kill()
	return m.Run()
}

// serverFolder is one that the servers' account can reach, also when root runs the tests.
func serverFolder() (string, error) {
	dir, err := os.MkdirTemp("", "sftp-test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// configOf logs in to an sshd by its own key. Each has an exchange of its own.
func configOf(t *testing.T, server *servers.SFTP) sftp.Config {
	t.Helper()
	line, err := server.KnownHost()
	if err != nil {
		t.Fatal(err)
	}
	return sftp.Config{
		Addr: server.Addr(), User: server.User(), KeyFile: server.KeyFile(), HostKeys: []string{line},
		Root: newFolder(t, server.Files()) + "/patient-events",
	}
}

var folders atomic.Int64

// newFolder makes a folder that belongs to the servers' account and returns its name.
func newFolder(t *testing.T, in string) string {
	t.Helper()
	name := fmt.Sprintf("site-%d", folders.Add(1))
	account, err := child.ServerAccount()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(in, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := account.Own(path); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t *testing.T, cfg sftp.Config) *sftp.Store {
	t.Helper()
	store, err := sftp.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// target is a server that the conformance suite runs on.
type target struct {
	caps   exchangetest.Capabilities
	files  string
	config func(t *testing.T) sftp.Config

	sameUser bool // the server runs as the user of the tests
}

func targets(t *testing.T) map[string]target {
	t.Helper()
	full := startModSFTP(t, servers.ModSFTPOptions{})
	plain := startModSFTP(t, servers.ModSFTPOptions{NoExtensions: true})
	own := startOwn(t, ownServer{password: "secret"})
	return map[string]target{
		"OpenSSH": {
			exchangetest.Capabilities{NativePublish: true, Overwrites: true},
			openssh.Files(),
			func(t *testing.T) sftp.Config { return configOf(t, openssh) }, false,
		},
		"ProFTPD": {exchangetest.Capabilities{NativePublish: true, Overwrites: true}, full.Files, func(t *testing.T) sftp.Config { return modConfig(t, full) }, false},
		"ProFTPD without extensions": {
			exchangetest.Capabilities{}, plain.Files, func(t *testing.T) sftp.Config { return modConfig(t, plain) }, false,
		},
		"a server in Go, without extensions": {exchangetest.Capabilities{Overwrites: true}, own.files, own.config, true},
	}
}

func startModSFTP(t *testing.T, options servers.ModSFTPOptions) *servers.ModSFTP {
	t.Helper()
	dir, err := serverFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := servers.StartModSFTP(t.Context(), dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

func modConfig(t *testing.T, server *servers.ModSFTP) sftp.Config {
	t.Helper()
	line, err := server.KnownHost()
	if err != nil {
		t.Fatal(err)
	}
	return sftp.Config{
		Addr: server.Addr(), User: server.User, HostKeys: []string{line},
		Password: func() (string, error) { return server.Password, nil },
		Root:     newFolder(t, server.Files) + "/patient-events",
	}
}

// placeOf is a store with a way into its files. A server in this process may read what root may.
func placeOf(t *testing.T, files string, cfg sftp.Config, sameUser bool) exchangetest.Place {
	at := func(name string) string { return filepath.Join(files, cfg.Root, name) }
	place := exchangetest.Place{
		Store: open(t, cfg),
		Plant: func(name string, data []byte) error { return os.WriteFile(at(name), data, 0o644) },
		Link:  func(name, target string) error { return os.Symlink(target, at(name)) },
		Close: func(name string) error { return os.Chmod(at(name), 0) },
	}
	if sameUser {
		place.Close = nil
	}
	return place
}

func TestProofConformance(t *testing.T) {
	for name, on := range targets(t) {
		t.Run(name, func(t *testing.T) {
			exchangetest.Run(t, on.caps, func(t *testing.T) exchangetest.Place {
				return placeOf(t, on.files, on.config(t), on.sameUser)
			})
		})
	}
}

func TestANextManifestThatIsMissingCostsOneRequest(t *testing.T) {
	c := configOf(t, openssh)
	exchangetest.AskedForNothing(t, c.Addr, 1, func(addr string) exchange.Store {
		_, port, _ := net.SplitHostPort(c.Addr)
		_, front, _ := net.SplitHostPort(addr)
		c.Addr, c.HostKeys[0] = addr, strings.Replace(c.HostKeys[0], ":"+port, ":"+front, 1)
		return open(t, c)
	})
}
