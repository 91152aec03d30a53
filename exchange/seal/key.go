package seal

import (
	"bytes"
	"cmp"
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/internal/setting"
)

// Recipient is a public key, age1…
type Recipient struct {
	text string
	key  *ecdh.PublicKey
}

// ParseRecipient reads a public key.
func ParseRecipient(text string) (Recipient, error) {
	key, err := age.ParseX25519Recipient(strings.TrimSpace(text))
	if err != nil {
		return Recipient{}, errors.New("it is no public key: `waybill keys show FILE` prints one, age1…")
	}
	point, err := ecdh.X25519().NewPublicKey(decode(key.String()))
	return Recipient{key.String(), point}, err
}

// decode returns the 32 bytes of a key that the library has parsed: between "age1" and six letters of checksum, each
// letter is five bits.
func decode(text string) (key []byte) {
	const letters, prefix, checksum = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", len("age1"), 6
	bits, n := uint16(0), 0
	for _, letter := range []byte(text[prefix : len(text)-checksum]) {
		bits, n = bits<<5|uint16(strings.IndexByte(letters, letter)), n+5
		if n >= 8 {
			n -= 8
			key = append(key, byte(bits>>n))
		}
	}
	return key
}

// Words is the key's fingerprint to compare by telephone.
func (r Recipient) Words() string { return trust.Words(r.key.Bytes()) }

func (r Recipient) String() string { return r.text }

// MarshalText implements [encoding.TextMarshaler].
func (r Recipient) MarshalText() ([]byte, error) { return []byte(r.text), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *Recipient) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRecipient(string(text))
	return err
}

// Secret is what a producer seals with. It also opens all that it has sealed, so that a re-run can compare.
type Secret struct {
	*age.X25519Identity
	text string
	own  Recipient
}

// ReadSecret reads the file of a secret.
func ReadSecret(path string) (*Secret, error) {
	text, err := trust.ReadSecret(path, keyHint)
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseX25519Identity(text)
	if err != nil {
		return nil, notAKey(path)
	}
	own, err := ParseRecipient(identity.Recipient().String())
	return &Secret{identity, identity.String(), own}, err
}

// Public returns what others seal with for the secret's owner.
func (s *Secret) Public() Recipient { return s.own }

// ID names a secret in plans: its public key.
func (s *Secret) ID() string { return s.own.text }

// with returns the recipients and the secret's own key, in a fixed order, each once.
func (s *Secret) with(to []Recipient) []Recipient {
	all := append([]Recipient{s.own}, to...)
	slices.SortFunc(all, func(a, b Recipient) int { return cmp.Compare(a.text, b.text) })
	return slices.CompactFunc(all, func(a, b Recipient) bool { return a.text == b.text })
}

// Secrets are a producer's, one for each epoch, oldest first. The last one seals; the others write again what they have sealed.
type Secrets []*Secret

// ReadSecrets reads the files of keys.
func ReadSecrets(paths ...string) (secrets Secrets, err error) {
	files, err := trust.AllFiles(paths)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		secret, err := ReadSecret(file)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// Plan is how new batches are sealed for readers; nil: they are not.
func (s Secrets) Plan(readers Readers) *Plan {
	if len(s) == 0 {
		return nil
	}
	return &Plan{Secret: s[len(s)-1].ID(), Readers: readers}
}

// Of returns the secret that a plan names, or nil.
func (s Secrets) Of(p *Plan) *Secret {
	for _, secret := range s {
		if secret.ID() == p.Secret {
			return secret
		}
	}
	return nil
}

// Keys returns the secrets as keys that open.
func (s Secrets) Keys() (keys Keys) {
	for _, secret := range s {
		keys = append(keys, secret.X25519Identity)
	}
	return keys
}

// Keys open parts.
type Keys []*age.X25519Identity

// ReadKeys reads files of keys.
func ReadKeys(paths []string) (Keys, error) {
	secrets, err := ReadSecrets(paths...)
	return secrets.Keys(), err
}

// Opener is a consumer's settings.
type Opener struct {
	Files []string `yaml:"keys"` // each of which may open; or folders, with a key for each epoch
	From  int64    `yaml:"from"` // before this batch, open parts are loaded even after sealed ones
}

// Validate returns what is wrong with settings, and in which one.
func (o *Opener) Validate() error {
	switch {
	case o == nil:
	case len(o.Files) == 0:
		return setting.Errorf("keys", "name at least one file of a key: `waybill keys new open FILE` makes one")
	case o.From < 0:
		return setting.Errorf("from", "must be the number of a batch")
	}
	return nil
}

// Opening reads the keys.
func (o *Opener) Opening() (Opening, error) {
	if o == nil {
		return Opening{}, nil
	}
	keys, err := ReadKeys(o.Files)
	return Opening{keys, o.From}, err
}

// Opening is what a consumer opens parts with.
type Opening struct {
	Keys Keys
	From int64 // before this batch, open parts are loaded even after sealed ones
}

// ErrNotForUs is a part that none of the keys opens.
var ErrNotForUs = errors.New("it is sealed to other keys")

// Open returns a sealed file's plaintext and its size. The file must stay as it is. Each chunk is authenticated when it is read.
func (k Keys) Open(file io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	head := make([]byte, min(size, MaxHeader))
	if n, err := file.ReadAt(head, 0); err != nil && n < len(head) {
		return nil, 0, fault.New(fault.Transient, "read", "spool", err, "")
	}
	if !bytes.Contains(head, []byte("\n--- ")) {
		return nil, 0, fmt.Errorf("it is no age file, or its header is longer than %d bytes", MaxHeader)
	}
	plain, length, err := age.DecryptReaderAt(file, size, k.identities()...)
	if err := k.refused(err); err != nil {
		return nil, 0, err
	}
	return &chunks{plain: plain, size: length}, length, nil
}

// Opens is [ErrNotForUs] if none of the keys opens the file that begins with head, which is all of it or [MaxHeader] bytes.
func (k Keys) Opens(head []byte) error {
	_, err := age.Decrypt(bytes.NewReader(head), k.identities()...)
	return k.refused(err)
}

func (k Keys) identities() (all []age.Identity) {
	for _, key := range k {
		all = append(all, key)
	}
	return all
}

func (k Keys) refused(err error) error {
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other || len(k) == 0 {
		return ErrNotForUs
	}
	return err
}

// New makes a key, and writes it to a file that its owner alone may read.
func New(path string, now time.Time) (public string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	return key.Recipient().String(), trust.WriteSecret(path, key.String(), now)
}

func notAKey(path string) error {
	return fault.New(fault.Usage, "read", path, errors.New("it holds no key that opens, AGE-SECRET-KEY-1…"), keyHint)
}

const keyHint = "`waybill keys new open FILE` makes one"
