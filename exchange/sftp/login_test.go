package sftp_test

import (
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"waybill/exchange/sftp"
	"waybill/internal/fault"
)

const secret = "correct horse battery"

func giveSecret() (string, error) { return secret, nil }

// factOf inspects the store, which logs in.
func factOf(t *testing.T, store *sftp.Store, name string) string {
	t.Helper()
	facts, err := store.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range facts {
		if fact.Name == name {
			return fact.Value
		}
	}
	t.Fatalf("no fact %q in %v", name, facts)
	return ""
}

// lockedKey writes the key of openssh's user, encrypted with the secret: once, since that is
// slow on purpose.
func lockedKey(t *testing.T) string {
	t.Helper()
	file := filepath.Join(filepath.Dir(openssh.KeyFile()), "locked_key")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(rawKey(t), "", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func rawKey(t *testing.T) any {
	t.Helper()
	text, err := os.ReadFile(openssh.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writeKey(t *testing.T, key any) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// rsaKey is allowed to log in to openssh.
func rsaKey(t *testing.T) string {
	t.Helper()
	key := newRSA(t)
	file, err := os.OpenFile(openssh.AuthorizedKeys(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(ssh.MarshalAuthorizedKey(signerOf(t, key).PublicKey())); err != nil {
		t.Fatal(err)
	}
	return writeKey(t, key)
}

// startAgent serves keys at $SSH_AUTH_SOCK until the test ends.
func startAgent(t *testing.T, keys ...any) {
	t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // socket paths are short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = agent.ServeAgent(ring, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
		os.RemoveAll(dir)
	})
	t.Setenv("SSH_AUTH_SOCK", socket)
}

func TestLogsIn(t *testing.T) {
	startAgent(t, rawKey(t))
	password := startOwn(t, ownServer{password: secret})
	interactive := startOwn(t, ownServer{password: secret, interactive: []string{"Password: "}})
	withKey := func(file string, passphrase func() (string, error), useAgent bool) sftp.Config {
		cfg := configOf(t, openssh)
		cfg.KeyFile, cfg.Passphrase, cfg.UseAgent = file, passphrase, useAgent
		return cfg
	}
	for name, test := range map[string]struct {
		cfg  sftp.Config
		want string
	}{
		"by key":                  {withKey(openssh.KeyFile(), nil, false), "public key SHA256:"},
		"by encrypted key":        {withKey(lockedKey(t), giveSecret, false), "public key SHA256:"},
		"by RSA key":              {withKey(rsaKey(t), nil, false), "public key SHA256:"},
		"by agent":                {withKey("", nil, true), "public key SHA256:"},
		"by password":             {password.config(t), "password"},
		"by keyboard-interactive": {interactive.config(t), "keyboard-interactive"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := factOf(t, open(t, test.cfg), "login"); !strings.HasPrefix(got, test.want) {
				t.Errorf("logged in by %q, want %q", got, test.want)
			}
		})
	}
}

func TestRefusedLoginsSayWhatWasTried(t *testing.T) {
	stranger, _ := newKey(t)
	open644 := writeKey(t, stranger)
	if err := os.Chmod(open644, 0o644); err != nil {
		t.Fatal(err)
	}
	notKey := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notKey, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	takesPassword := startOwn(t, ownServer{password: "another"})
	asksTwice := startOwn(t, ownServer{password: secret, interactive: []string{"Password: ", "Code: "}})
	noAgent := func(t *testing.T) { t.Setenv("SSH_AUTH_SOCK", "") }
	for name, test := range map[string]struct {
		server *ownServer // nil: openssh
		change func(*sftp.Config)
		setup  func(*testing.T)
		want   string // in the message or the hint
	}{
		"wrong password": {server: takesPassword, want: "password"},
		"more questions": {server: asksTwice, want: "keyboard-interactive"},
		"wrong key":      {change: func(c *sftp.Config) { c.KeyFile = writeKey(t, stranger) }, want: "public key SHA256:"},
		"wrong user":     {change: func(c *sftp.Config) { c.User = "nobody-we-know" }, want: "nobody-we-know"},
		"password not taken": {
			change: func(c *sftp.Config) { c.KeyFile, c.Password = "", giveSecret },
			want:   "takes nothing that is configured",
		},
		"no such key file": {change: func(c *sftp.Config) { c.KeyFile = "/nowhere/key" }, want: "/nowhere/key"},
		"key for all":      {change: func(c *sftp.Config) { c.KeyFile = open644 }, want: "chmod 600"},
		"not a key":        {change: func(c *sftp.Config) { c.KeyFile = notKey }, want: "ssh-keygen"},
		"no passphrase":    {change: func(c *sftp.Config) { c.KeyFile = lockedKey(t) }, want: "passphrase"},
		"wrong passphrase": {change: func(c *sftp.Config) {
			c.KeyFile = lockedKey(t)
			c.Passphrase = func() (string, error) { return "wrong " + secret, nil }
			c.Times.Connect = time.Millisecond // it takes longer to find out
		}, want: "passphrase is wrong"},
		"no secret": {change: func(c *sftp.Config) {
			c.Password = func() (string, error) { return "", errors.New("vault is sealed") }
		}, want: "vault is sealed"},
		"no agent": {change: func(c *sftp.Config) { c.KeyFile, c.UseAgent = "", true }, setup: noAgent, want: "SSH_AUTH_SOCK"},
		"empty agent": {
			change: func(c *sftp.Config) { c.KeyFile, c.UseAgent = "", true },
			setup:  func(t *testing.T) { startAgent(t) }, want: "ssh-add",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.setup != nil {
				test.setup(t)
			}
			var cfg sftp.Config
			if test.server == nil {
				cfg = configOf(t, openssh)
			} else {
				cfg = test.server.config(t)
				cfg.Password = giveSecret
			}
			if test.change != nil {
				test.change(&cfg)
			}
			_, err := open(t, cfg).Get(t.Context(), "log/a")
			wantUsage(t, err, test.want)
		})
	}
}

// wantUsage wants an error for a person, with a hint, that has a word and no secret.
func wantUsage(t *testing.T, err error, word string) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != fault.Usage {
		t.Fatalf("got %v (%v), want a usage error", err, fault.ClassOf(err))
	}
	said := err.Error() + " / " + fault.HintOf(err)
	if !strings.Contains(said, word) {
		t.Errorf("it says %q, want a word of %q", said, word)
	}
	if strings.Contains(said, secret) {
		t.Errorf("it says the secret: %q", said)
	}
}

func TestSecretsAreAskedForAtEachLogin(t *testing.T) {
	server := startOwn(t, ownServer{password: secret})
	cfg := server.config(t)
	now := "expired"
	cfg.Password = func() (string, error) { return now, nil }
	store := open(t, cfg)
	_, err := store.Inspect(t.Context())
	wantUsage(t, err, "password")
	now = secret
	if got := factOf(t, store, "login"); got != "password" {
		t.Errorf("logged in by %q", got)
	}
}

func TestOpenChecksTheConfiguration(t *testing.T) {
	for name, change := range map[string]func(*sftp.Config){
		"no port":          func(c *sftp.Config) { c.Addr = "127.0.0.1" },
		"port zero":        func(c *sftp.Config) { c.Addr = "127.0.0.1:0" },
		"no host":          func(c *sftp.Config) { c.Addr = ":22" },
		"no user":          func(c *sftp.Config) { c.User = "" },
		"no login":         func(c *sftp.Config) { c.KeyFile = "" },
		"no known_hosts":   func(c *sftp.Config) { c.HostKeys = []string{"ssh-ed25519"} },
		"minus conns":      func(c *sftp.Config) { c.MaxConns = -1 },
		"a NUL in a name":  func(c *sftp.Config) { c.Root = "a\x00b" },
		"a broken key":     func(c *sftp.Config) { c.HostKeys = []string{"host ssh-ed25519 AAAA"} },
		"a hash of a host": func(c *sftp.Config) { c.HostKeys = []string{"|1|x ssh-ed25519 AAAA"} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(t, openssh)
			change(&cfg)
			if _, err := sftp.Open(cfg); fault.ClassOf(err) != fault.Usage {
				t.Errorf("Open = %v, want a usage error", err)
			}
		})
	}
}
