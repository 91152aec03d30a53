// Package gnupg runs the programs of Debian that partners encrypt and sign with: gpg and age.
package gnupg

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Keyring is one of Debian's gpg.
type Keyring struct {
	testing.TB
	Home string
}

// New makes a keyring. Its folder's name is short: gpg's agent has a socket in it.
func New(t testing.TB) *Keyring {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g := &Keyring{t, home}
	t.Cleanup(func() {
		g.Run("gpgconf", "", "--kill", "all")
		os.RemoveAll(home)
	})
	return g
}

// Run runs a program with the keyring and an input, and returns what it writes. Without the program the test fails.
func (g *Keyring) Run(name, input string, arguments ...string) string {
	g.Helper()
	run := exec.Command(name, arguments...)
	run.Env = append(os.Environ(), "GNUPGHOME="+g.Home, "LC_ALL=C")
	run.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	run.Stderr = &complaints
	out, err := run.Output()
	if err != nil {
		g.Fatalf("%s %q: %v: %s (`make envelopes` installs gpg and age)", name, arguments, err, complaints.String())
	}
	return string(out)
}

// GPG runs gpg, which asks nothing.
func (g *Keyring) GPG(input string, arguments ...string) string {
	g.Helper()
	return g.Run("gpg", input, append([]string{"--batch", "--quiet", "--yes", "--trust-model", "always"}, arguments...)...)
}

// Key makes a key that signs, with a subkey that encrypts, and returns its fingerprint.
func (g *Keyring) Key(user, algorithm, expires string, more ...string) string {
	g.Helper()
	add := func(arguments ...string) { g.GPG("", append([]string{"--passphrase", ""}, arguments...)...) }
	add(append(more, "--quick-generate-key", user, algorithm, "sign", expires)...)
	found := regexp.MustCompile(`(?m)^fpr:+([0-9A-F]{40}):$`).FindStringSubmatch(g.GPG("", "--with-colons", "--list-keys", user))
	if found == nil {
		g.Fatal("gpg made no key")
	}
	encrypts := "cv25519"
	if strings.HasPrefix(algorithm, "rsa") {
		encrypts = algorithm
	}
	add(append(more, "--quick-add-key", found[1], encrypts, "encr", expires)...)
	return found[1]
}

// export writes a key to a file that its owner alone may read.
func (g *Keyring) export(key string, arguments ...string) (file string) {
	g.Helper()
	file = filepath.Join(g.TempDir(), key+".key")
	if err := os.WriteFile(file, []byte(g.GPG("", append(arguments, key)...)), 0o600); err != nil {
		g.Fatal(err)
	}
	return file
}

// Public returns a file of a public key.
func (g *Keyring) Public(key string) string { g.Helper(); return g.export(key, "--export") }

// Private returns a file of a private key.
func (g *Keyring) Private(key string) string {
	g.Helper()
	return g.export(key, "--export-secret-keys")
}

// Detached signs bytes, and returns the signature as a partner's file has it.
func (g *Keyring) Detached(key, data string, more ...string) string {
	g.Helper()
	return g.GPG(data, append(more, "-u", key, "--detach-sign", "-o", "-")...)
}

// Identity makes a key by age-keygen, and returns its file and the public key.
func (g *Keyring) Identity() (file, public string) {
	g.Helper()
	file = filepath.Join(g.TempDir(), "age.key")
	g.Run("age-keygen", "", "-o", file)
	return file, strings.TrimSpace(g.Run("age-keygen", "", "-y", file))
}
