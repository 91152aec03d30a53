package sftp

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"waybill/internal/fault"
)

// hostKeys judges a server's key; nil knows no keys at all.
type hostKeys ssh.HostKeyCallback

// pinnedKeys reads lines in known_hosts format. The library reads files only.
func pinnedKeys(lines []string) (hostKeys, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	file, err := os.CreateTemp("", "host-keys-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	known, err := knownhosts.New(file.Name())
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), file.Name(), "host keys"))
	}
	return hostKeys(known), nil
}

// hostKeyGuard judges the key of one server.
type hostKeyGuard struct {
	addr     string
	remote   net.Addr
	file     string // where a line would be added; "": nowhere yet
	sources  []hostKeys
	accepted ssh.PublicKey
}

// hostKeyGuard reads the known hosts each time, so that a line added after an error counts at once.
func (s *Store) hostKeyGuard(remote net.Addr) (*hostKeyGuard, error) {
	g := &hostKeyGuard{addr: s.cfg.Addr, remote: remote, file: s.cfg.KnownHostsFile}
	if s.pinned != nil {
		g.sources = append(g.sources, s.pinned)
	}
	if file := s.cfg.KnownHostsFile; file != "" {
		known, err := knownhosts.New(file)
		if err != nil {
			return nil, fault.New(fault.Usage, "read known hosts", file, fault.Bare(err),
				"make the file, readable by this user; while it is empty, the error is the line to put there")
		}
		g.sources = append(g.sources, hostKeys(known))
	}
	return g, nil
}

// check is an [ssh.HostKeyCallback].
func (g *hostKeyGuard) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	known, wanted, err := g.look(key)
	switch {
	case err != nil:
		return g.refuse(err, "ask the partner for the server's key")
	case known:
		g.accepted = key
		return nil
	case len(wanted) == 0:
		return g.refuse(
			fmt.Errorf("the server's host key is not known: %s %s", key.Type(), ssh.FingerprintSHA256(key)),
			"compare the fingerprint with what the partner tells you by another way, by telephone for instance; "+
				"if it is the same, add this line to "+g.whereLinesGo()+": "+g.line(key))
	default:
		return g.changed(fmt.Errorf("it shows %s %s", key.Type(), ssh.FingerprintSHA256(key)))
	}
}

// look asks the sources for key. A key that one of them revokes is an error.
func (g *hostKeyGuard) look(key ssh.PublicKey) (known bool, wanted []knownhosts.KnownKey, err error) {
	for _, source := range g.sources {
		err := source(g.addr, g.remote, key)
		mismatch, isMismatch := errors.AsType[*knownhosts.KeyError](err)
		switch {
		case err == nil:
			known = true
		case isMismatch:
			wanted = append(wanted, mismatch.Want...)
		default:
			return false, nil, err
		}
	}
	return known, wanted, nil
}

// algorithms returns the algorithms of the known keys. Without this, the library may agree with the
// server on a key of another type, which would then look like a changed one. Nil means any.
func (g *hostKeyGuard) algorithms() []string {
	nobodys, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	_, wanted, err := g.look(nobodys)
	if err != nil {
		return nil
	}
	var names []string
	for _, known := range wanted {
		for _, name := range signatures(known.Key.Type()) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// signatures are the algorithms by which a key of a type may sign; SHA-1 is not one of them.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func (g *hostKeyGuard) whereLinesGo() string {
	if g.file == "" {
		return "a file that the store's URL names by ?known_hosts=FILE"
	}
	return g.file
}

func (g *hostKeyGuard) line(key ssh.PublicKey) string {
	return knownhosts.Line([]string{g.addr}, key)
}

// changed reports a changed key with a strong warning, because it may be an attack.
func (g *hostKeyGuard) changed(how error) error {
	return g.refuse(
		fmt.Errorf("THE SERVER'S HOST KEY IS NOT THE ONE THAT IS PINNED, somebody may be posing as the server: %w", how),
		"stop until the partner confirms another way, by telephone for instance, that the key was "+
			"changed, and which one is right; then replace the pinned line")
}

func (g *hostKeyGuard) refuse(cause error, hint string) error {
	return fault.New(fault.Usage, "connect to", g.addr, cause, hint)
}
