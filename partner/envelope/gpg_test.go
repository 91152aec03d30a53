package envelope_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// gnupg is a keyring of Debian's gpg.
type gnupg struct {
	testing.TB
	home string
}

// newGnuPG makes a keyring. Its folder's name is short: gpg's agent has a socket in it.
func newGnuPG(t testing.TB) *gnupg {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g := &gnupg{t, home}
	t.Cleanup(func() {
		g.program("gpgconf", "", "--kill", "all")
		os.RemoveAll(home)
	})
	return g
}

// program runs a program with the keyring and an input, and returns what it writes. Without the program the test fails.
func (g *gnupg) program(name, input string, arguments ...string) string {
	g.Helper()
	run := exec.Command(name, arguments...)
	run.Env = append(os.Environ(), "GNUPGHOME="+g.home, "LC_ALL=C")
	run.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	run.Stderr = &complaints
	out, err := run.Output()
	if err != nil {
		g.Fatalf("%s %q: %v: %s (`make envelopes` installs gpg and age)", name, arguments, err, complaints.String())
	}
	return string(out)
}

func (g *gnupg) gpg(input string, arguments ...string) string {
	g.Helper()
	return g.program("gpg", input, append([]string{"--batch", "--quiet", "--yes", "--trust-model", "always"}, arguments...)...)
}

// key makes a key that signs, with a subkey that encrypts, and returns its fingerprint.
func (g *gnupg) key(user, algorithm, expires string, more ...string) string {
	g.Helper()
	add := func(arguments ...string) { g.gpg("", append([]string{"--passphrase", ""}, arguments...)...) }
	add(append(more, "--quick-generate-key", user, algorithm, "sign", expires)...)
	found := regexp.MustCompile(`(?m)^fpr:+([0-9A-F]{40}):$`).FindStringSubmatch(g.gpg("", "--with-colons", "--list-keys", user))
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
func (g *gnupg) export(key string, arguments ...string) (file string) {
	g.Helper()
	file = filepath.Join(g.TempDir(), key+".key")
	if err := os.WriteFile(file, []byte(g.gpg("", append(arguments, key)...)), 0o600); err != nil {
		g.Fatal(err)
	}
	return file
}

func (g *gnupg) public(key string) string { g.Helper(); return g.export(key, "--export") }

func (g *gnupg) private(key string) string { g.Helper(); return g.export(key, "--export-secret-keys") }

// detached signs bytes, and returns the signature as a partner's file has it.
func (g *gnupg) detached(key, data string, more ...string) string {
	g.Helper()
	return g.gpg(data, append(more, "-u", key, "--detach-sign", "-o", "-")...)
}
