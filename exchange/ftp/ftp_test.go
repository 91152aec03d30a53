package ftp_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"waybill/exchange"
	"waybill/exchange/ftp"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

// site has the servers of this package's tests, each started when first asked for.
type site struct {
	dir string
	ca  *servers.CA

	mu      sync.Mutex
	servers map[string]*servers.FTP
	folders atomic.Int64
}

var place *site

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "waybill-ftp-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	ca, err := servers.NewCA(dir)
	if err != nil {
		panic(err)
	}
	place = &site{dir: dir, ca: ca, servers: map[string]*servers.FTP{}}
	defer place.stop()
	return m.Run()
}

func (s *site) stop() {
	for _, server := range s.servers {
		server.Kill()
	}
}

type start func(context.Context, string, servers.FTPOptions) (*servers.FTP, error)

// kind is a server as the tests want it.
type kind struct {
	name    string
	start   start
	tls     ftp.TLS
	host    string // of the certificate; "" is the right one
	options servers.FTPOptions
}

var (
	vsftpd     = kind{name: "vsftpd", start: servers.StartVsftpd, tls: ftp.Explicit}
	vsftpdBare = kind{name: "vsftpd-plaintext", start: servers.StartVsftpd, tls: ftp.None}
	dropBox    = kind{name: "vsftpd-upload-only", start: servers.StartVsftpd, tls: ftp.Explicit, options: servers.FTPOptions{UploadOnly: true}}
	proftpd    = kind{name: "proftpd", start: servers.StartProFTPD, tls: ftp.Explicit}
	proftpdTLS = kind{name: "proftpd-implicit", start: servers.StartProFTPD, tls: ftp.Implicit, options: servers.FTPOptions{Implicit: true}}
)

// launch starts a server of the kind for one test, or the one for all when shared is true.
func (k kind) launch(t *testing.T, shared bool) *servers.FTP {
	t.Helper()
	place.mu.Lock()
	defer place.mu.Unlock()
	if server, ok := place.servers[k.name]; ok && shared {
		return server
	}
	options := k.options
	if k.tls != ftp.None {
		host := k.host
		if host == "" {
			host = "127.0.0.1"
		}
		var err error
		if options.Certificate, err = place.ca.Issue(host); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(place.dir, k.name+"-")
	if err != nil {
		t.Fatal(err)
	}
	server, err := k.start(t.Context(), dir, options)
	if err != nil {
		t.Fatal(err)
	}
	if shared {
		place.servers[k.name] = server
	} else {
		t.Cleanup(server.Kill)
	}
	return server
}

// config is for a new folder on the server.
func (k kind) config(server *servers.FTP) ftp.Config {
	config := ftp.Config{
		Addr: server.Addr(), User: server.User,
		Password: func() (string, error) { return server.Password, nil },
		Root:     fmt.Sprintf("patient-events-%d", place.folders.Add(1)),
		TLS:      k.tls,
	}
	if k.tls == ftp.None {
		config.AllowPlaintext = "it is a test"
	} else {
		config.CAFile = place.ca.File
	}
	return config
}

func open(t *testing.T, config ftp.Config) *ftp.Store {
	t.Helper()
	store, err := ftp.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// newPlace opens a store in a new folder of the kind's shared server.
func (k kind) newPlace(t *testing.T, change func(*ftp.Config)) exchangetest.Place {
	t.Helper()
	server := k.launch(t, true)
	config := k.config(server)
	change(&config)
	if config.Flat {
		config.Root = filepath.Join(makeFolder(t, server), config.Root)
	}
	root := filepath.Join(server.Files, config.Root)
	return exchangetest.Place{
		Store: open(t, config),
		Plant: func(name string, data []byte) error {
			if config.Flat {
				return os.WriteFile(root+"+"+strings.ReplaceAll(name, "/", "+"), data, 0o644)
			}
			return os.WriteFile(filepath.Join(root, name), data, 0o644)
		},
		Link:  func(name, target string) error { return os.Symlink(target, filepath.Join(root, name)) },
		Close: func(name string) error { return os.Chmod(filepath.Join(root, name), 0) },
	}
}

// makeFolder makes a folder where logins land, as an administrator would, and returns its name.
func makeFolder(t *testing.T, server *servers.FTP) string {
	t.Helper()
	folder, err := os.MkdirTemp(server.Files, "site-")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Own(folder); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(folder)
}

func unchanged(*ftp.Config) {}

func TestProofConformance(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   kind
		caps   exchangetest.Capabilities
		change func(*ftp.Config)
	}{
		{"vsftpd, explicit TLS", vsftpd, exchangetest.Capabilities{}, unchanged},
		{"vsftpd, plaintext", vsftpdBare, exchangetest.Capabilities{}, unchanged},
		{"ProFTPD, explicit TLS", proftpd, exchangetest.Capabilities{}, unchanged},
		{"vsftpd, flat", vsftpdBare, exchangetest.Capabilities{Flat: true}, func(c *ftp.Config) { c.Flat = true }},
		{"vsftpd, upload only", dropBox, exchangetest.Capabilities{KeepsFiles: true}, func(c *ftp.Config) { c.Direct = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			exchangetest.Run(t, test.caps, func(t *testing.T) exchangetest.Place { return test.kind.newPlace(t, test.change) })
		})
	}
}

// NOOP: is the connection still there? SIZE, and CWD: is it missing, or may nobody enter its folder?
func TestANextManifestThatIsMissingCostsThreeCommands(t *testing.T) {
	server := vsftpd.launch(t, true)
	exchangetest.AskedForNothing(t, server.Addr(), 3, func(addr string) exchange.Store {
		c := vsftpd.config(server)
		c.Addr = addr
		return open(t, c)
	})
}
