// Package envelope opens the files that partners encrypt or sign, and seals those that they get: OpenPGP and age.
//
// The content of a file counts when all of it was read and its signature verified, and not before.
package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"filippo.io/age"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/internal/setting"
)

// Opening says how a partner's files must be encrypted and signed. It is the section `open` of `intake`.
type Opening struct {
	// Age and OpenPGP are files of our private keys, or folders of them. Each of the keys may open a file. If there are
	// any, a file that is not encrypted is refused.
	Age     []string `yaml:"age"`
	OpenPGP []string `yaml:"openpgp"`
	// SignedBy are files of the partner's OpenPGP public keys, or folders of them. If there are any, one of the keys
	// must have signed.
	SignedBy []string `yaml:"signed_by"`
	// Signature is the name of the file with the signature, like {name}.sig; "": the signature is in the message.
	Signature string `yaml:"signature"`
}

// Check returns what is wrong. It reads no file.
func (o *Opening) Check() error {
	switch {
	case o == nil:
	case len(o.Age)+len(o.OpenPGP)+len(o.SignedBy) == 0:
		return setting.Errorf("openpgp", "name files of keys: openpgp or age to decrypt, signed_by to verify")
	case o.Signature != "" && len(o.SignedBy) == 0:
		return setting.Errorf("signed_by", "name the files of the keys whose signatures count")
	case len(o.Age) > 0 && len(o.SignedBy) > 0 && o.Signature == "":
		return setting.Errorf("signature", "name the signature's file, such as {name}.sig: an age file holds no signature")
	}
	return nil
}

// Suffixes are what names may end in, in addition to the partner's pattern.
func (o *Opening) Suffixes() (suffixes []string) {
	if o == nil {
		return nil
	}
	if len(o.OpenPGP) > 0 || o.Signature == "" {
		suffixes = append(suffixes, ".gpg", ".pgp", ".asc")
	}
	if len(o.Age) > 0 {
		suffixes = append(suffixes, ".age")
	}
	return slices.DeleteFunc(suffixes, func(s string) bool { return s == path.Ext(o.Signature) })
}

// Keys open a partner's files. Nil keys open nothing: files are taken as they are.
type Keys struct {
	age      []age.Identity
	own      openpgp.EntityList
	signers  openpgp.EntityList
	detached bool // the signature is in a file of its own
}

// Read reads the keys.
func (o *Opening) Read() (*Keys, error) {
	if o == nil {
		return nil, nil
	}
	k := &Keys{detached: o.Signature != ""}
	err := each(o.Age, func(file string) error {
		data, err := trust.ReadSecretFile(file, ageHint)
		if err != nil {
			return err
		}
		identities, err := age.ParseIdentities(bytes.NewReader(data))
		k.age = append(k.age, identities...)
		return unusable(file, err, ageHint)
	})
	if err == nil {
		err = each(o.OpenPGP, func(file string) error {
			ring, err := readPrivate(file)
			k.own = append(k.own, ring...)
			return err
		})
	}
	if err == nil {
		k.signers, err = readPublic(o.SignedBy)
	}
	return k, err
}

const (
	ageHint     = "`age-keygen -o FILE` makes a key"
	privateHint = "`gpg --export-secret-keys KEY` writes one, in a file of mode 0600"
	publicHint  = "`gpg --export KEY` writes one"
)

// each calls do for each file, and for those of folders.
func each(paths []string, do func(file string) error) error {
	files, err := trust.AllFiles(paths)
	for i := 0; i < len(files) && err == nil; i++ {
		err = do(files[i])
	}
	return err
}

func unusable(file string, err error, hint string) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Usage, "read", file, err, hint)
}

// readPrivate reads a file of our keys. They must be usable without a passphrase.
func readPrivate(file string) (openpgp.EntityList, error) {
	data, err := trust.ReadSecretFile(file, privateHint)
	if err != nil {
		return nil, err
	}
	ring, err := parseRing(data)
	for _, e := range ring {
		keys := 0
		for _, key := range append(e.Subkeys, openpgp.Subkey{PublicKey: e.PrimaryKey, PrivateKey: e.PrivateKey}) {
			switch {
			case key.PrivateKey == nil || key.PrivateKey.Dummy():
			case key.PrivateKey.Encrypted:
				err = fmt.Errorf("the key %X is protected by a passphrase: export it without one", key.PublicKey.Fingerprint)
			default:
				keys++
			}
		}
		if keys == 0 && err == nil {
			err = fmt.Errorf("it holds no private key of %X", e.PrimaryKey.Fingerprint)
		}
	}
	return ring, unusable(file, err, privateHint)
}

// readPublic reads files of a partner's keys. A key in two files is refused: one of them may be an older state of it.
func readPublic(paths []string) (all openpgp.EntityList, err error) {
	err = each(paths, func(file string) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return unusable(file, errors.Unwrap(err), publicHint)
		}
		ring, err := parseRing(data)
		for _, e := range ring {
			if len(all.KeysById(e.PrimaryKey.KeyId)) > 0 && err == nil {
				err = fmt.Errorf("another file has the key %X, too", e.PrimaryKey.Fingerprint)
			}
		}
		all = append(all, ring...)
		return unusable(file, err, publicHint)
	})
	return all, err
}

// parseRing reads keys, armored or not.
func parseRing(data []byte) (ring openpgp.EntityList, err error) {
	switch bytes.Count(data, []byte("-----BEGIN PGP ")) {
	case 0:
		ring, err = openpgp.ReadKeyRing(bytes.NewReader(data))
	case 1:
		ring, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	default:
		err = errors.New("it has several armored blocks: write each to a file of its own")
	}
	if err == nil && len(ring) == 0 {
		err = errors.New("it holds no OpenPGP key")
	}
	return ring, err
}

// Public describes our keys for a partner: each age key, and the fingerprint of each OpenPGP key.
func (k *Keys) Public() (lines []string) {
	for _, identity := range k.age {
		if x, is := identity.(*age.X25519Identity); is {
			lines = append(lines, "age "+x.Recipient().String())
		}
	}
	for _, e := range k.own {
		lines = append(lines, "OpenPGP "+hex(e.PrimaryKey.Fingerprint))
	}
	return lines
}
