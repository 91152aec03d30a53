package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/sethvargo/go-diceware/diceware"

	"waybill/internal/fault"
	"waybill/schemas"
)

const (
	publicPrefix  = "wbk1"
	privatePrefix = "WAYBILL-SIGNING-KEY-1-"
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9@._-]{0,40}$`)

// Public is a key that verifies: "wbk1…" and the key's name, as in ssh's known_hosts.
type Public struct {
	Key  ed25519.PublicKey
	Name string // for people
}

// ParsePublic reads a public key, with or without a name.
func ParsePublic(text string) (Public, error) {
	key, name, _ := strings.Cut(strings.TrimSpace(text), " ")
	encoded, ok := strings.CutPrefix(key, publicPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize || name != "" && !nameForm.MatchString(name) {
		return Public{}, errors.New("it is no public key: `waybill keys show FILE` prints one, wbk1… and a name")
	}
	return Public{Key: raw, Name: name}, nil
}

// UnmarshalText implements [encoding.TextUnmarshaler], for settings.
func (p *Public) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePublic(string(text))
	return err
}

func (p Public) String() string {
	return strings.TrimSpace(publicPrefix + base64.RawURLEncoding.EncodeToString(p.Key) + " " + p.Name)
}

// Words is the key's fingerprint.
func (p Public) Words() string { return Words(p.Key) }

// Words is a key's fingerprint to compare by telephone: 77 bits of its SHA-256, as six words of the EFF's long list.
func Words(key []byte) string {
	hash := sha256.Sum256(key)
	list, sides := diceware.WordListEffLarge(), big.NewInt(6)
	rest, die := new(big.Int).SetBytes(hash[:]), new(big.Int)
	words := make([]string, 6)
	for i := range words {
		roll := 0
		for range list.Digits() {
			rest.DivMod(rest, sides, die)
			roll = 10*roll + int(die.Int64()) + 1
		}
		words[i] = list.WordAt(roll)
	}
	return strings.Join(words, " ")
}

// Signer signs with one key.
type Signer interface {
	Public() Public
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Private is a key in a file. The first one that a process computes takes a millisecond, which a run that signs nothing is spared.
type Private struct {
	seed []byte
	key  func() ed25519.PrivateKey
	name string
}

func private(seed []byte, name string) *Private {
	return &Private{seed, sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(seed) }), name}
}

// NewPrivate makes a key.
func NewPrivate(name string, random io.Reader) (*Private, error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("the name %q: use up to 41 lower-case letters, digits and @._-", name)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, err
	}
	return private(seed, name), nil
}

// Public returns the key that verifies.
func (p *Private) Public() Public {
	return Public{Key: p.key().Public().(ed25519.PublicKey), Name: p.name}
}

// Sign implements [Signer].
func (p *Private) Sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(p.key(), message), nil
}

// Write creates a file that its owner alone may read. An existing file stays.
func (p *Private) Write(path string, now time.Time) error {
	return WriteSecret(path, privatePrefix+base64.RawURLEncoding.EncodeToString(p.seed)+" "+p.name, now)
}

// ReadPrivate reads a key's file. Others than its owner must not be able to read it.
func ReadPrivate(path string) (*Private, error) {
	text, err := ReadSecret(path, newHint)
	if err != nil {
		return nil, err
	}
	key, name, _ := strings.Cut(text, " ")
	encoded, ok := strings.CutPrefix(key, privatePrefix)
	seed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(seed) != ed25519.SeedSize || !nameForm.MatchString(name) {
		return nil, fault.New(fault.Usage, "read", path, errors.New("it holds no signing key"), newHint)
	}
	return private(seed, name), nil
}

const newHint = "`waybill keys new sign FILE` makes one"

// commandTime bounds a program that signs.
const commandTime = 30 * time.Second

// Command is a program that signs, for keys that don't leave their hardware: it reads the message and writes 64 bytes in base64.
type Command struct {
	Key  Public   `yaml:"key"`
	Args []string `yaml:"run"`
}

// Public returns the key that the program's signatures must verify with.
func (c *Command) Public() Public { return c.Key }

// Sign implements [Signer]. What goes wrong is [fault.Transient]: the batch's plan stays, and the next run signs it.
func (c *Command) Sign(ctx context.Context, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	run := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	run.Stdin, run.WaitDelay = bytes.NewReader(message), time.Second
	out, err := run.Output()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	signature, malformed := base64.StdEncoding.DecodeString(strings.TrimSpace(string(out)))
	switch {
	case err != nil:
	case malformed != nil || !ed25519.Verify(c.Key.Key, message, signature):
		err = errors.New("what it wrote is no signature of this key in base64")
	default:
		return signature, nil
	}
	return nil, fault.New(fault.Transient, "sign with", c.Args[0], err, "run it by hand; nothing is lost, the next run signs")
}

// Signers sign together. None: what they sign stays as it is.
type Signers []Signer

// Sign returns a sealed file with a signature of each.
func (s Signers) Sign(ctx context.Context, kind string, data []byte) ([]byte, error) {
	if len(s) == 0 {
		return data, nil
	}
	message := schemas.SignedBytes(kind, data)
	var signatures []schemas.Signature
	for _, signer := range s {
		signature, err := signer.Sign(ctx, message)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, schemas.Signature{Key: signer.Public().Name, Ed25519: signature})
	}
	return schemas.Sign(data, signatures)
}
