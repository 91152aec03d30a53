package sftp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"waybill/exchange/sftp"
	"waybill/internal/fault"
)

func TestAnUnknownHostKeyIsNeverTrusted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("# none yet\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := configOf(t, openssh)
	line := cfg.HostKeys[0]
	cfg.HostKeys, cfg.KnownHostsFile = nil, file
	store := open(t, cfg)
	for range 2 { // the first try has not made it known
		_, err := store.Inspect(t.Context())
		wantUsage(t, err, line)
		wantUsage(t, err, "telephone")
	}

	// The line that the hint prints is the one to add, and needs no restart.
	_, added, _ := strings.Cut(lastHint(t, store), file+": ")
	if err := os.WriteFile(file, []byte(added+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := factOf(t, store, "host key"); !strings.HasPrefix(got, "ssh-ed25519 SHA256:") {
		t.Errorf("host key %q", got)
	}
}

func TestAStoreWithoutKnownHostsSaysHowToNameThem(t *testing.T) {
	cfg := configOf(t, openssh)
	cfg.HostKeys = nil
	_, err := open(t, cfg).Inspect(t.Context())
	wantUsage(t, err, "?known_hosts=FILE")
	cfg.KnownHostsFile = filepath.Join(t.TempDir(), "none")
	_, err = open(t, cfg).Inspect(t.Context())
	wantUsage(t, err, "make the file")
}

func lastHint(t *testing.T, store *sftp.Store) string {
	t.Helper()
	_, err := store.Inspect(t.Context())
	return fault.HintOf(err)
}

func TestAKeyOfAnotherHostIsUnknown(t *testing.T) {
	cfg := configOf(t, openssh)
	_, rest, _ := strings.Cut(cfg.HostKeys[0], " ")
	cfg.HostKeys = []string{"sftp.example.org " + rest}
	_, err := open(t, cfg).Inspect(t.Context())
	wantUsage(t, err, "not known")
}

func TestAChangedHostKeyIsLoud(t *testing.T) {
	_, other := newKey(t)
	rsaSigner := signerOf(t, newRSA(t))
	for name, pinned := range map[string]ssh.PublicKey{
		"of the same type":           other.PublicKey(),
		"of a type the server lacks": rsaSigner.PublicKey(),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(t, openssh)
			cfg.HostKeys = []string{knownhosts.Line([]string{openssh.Addr()}, pinned)}
			_, err := open(t, cfg).Inspect(t.Context())
			wantUsage(t, err, "HOST KEY IS NOT THE ONE THAT IS PINNED")
		})
	}
}

func TestARevokedHostKeyIsRefused(t *testing.T) {
	cfg := configOf(t, openssh)
	cfg.HostKeys = append(cfg.HostKeys, "@revoked "+cfg.HostKeys[0])
	_, err := open(t, cfg).Inspect(t.Context())
	wantUsage(t, err, "revoked")
}

func TestHashedHostsAreKnown(t *testing.T) {
	cfg := configOf(t, openssh)
	host, rest, _ := strings.Cut(cfg.HostKeys[0], " ")
	cfg.HostKeys = []string{knownhosts.HashHostname(host) + " " + rest}
	factOf(t, open(t, cfg), "host key")
}

// A server has keys of several types; the client asks for the type that is pinned.
func TestTheTypeThatIsPinnedIsAskedFor(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards := newKey(t)
	keys := []ssh.Signer{edwards, signerOf(t, curve), signerOf(t, newRSA(t))}
	server := startOwn(t, ownServer{password: secret, keys: keys})
	for _, key := range keys {
		t.Run(key.PublicKey().Type(), func(t *testing.T) {
			cfg := server.config(t)
			cfg.HostKeys = []string{knownhosts.Line([]string{server.addr}, key.PublicKey())}
			want := key.PublicKey().Type() + " " + ssh.FingerprintSHA256(key.PublicKey())
			if got := factOf(t, open(t, cfg), "host key"); got != want {
				t.Errorf("the server showed %s, want %s", got, want)
			}
		})
	}
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signerOf(t *testing.T, key any) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
