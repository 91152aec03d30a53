package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/internal/fault"
)

type keysCommand struct {
	New     keysNewCommand     `cmd:"" help:"Make a key that signs, opens or seals, in a file that its owner alone may read."`
	Show    keysShowCommand    `cmd:"" help:"Print public keys, and their fingerprints as words to compare by telephone."`
	Check   keysCheckCommand   `cmd:"" help:"Try each configured key: its file, who has signed the newest batch, and whether the service can open its newest part."`
	Rotate  keysRotateCommand  `cmd:"" help:"Begin the next epoch of a key: make another in its folder."`
	Destroy keysDestroyCommand `cmd:"" help:"Delete a key for good, once no log that is configured here needs it; it is kept as a decision."`
}

// shownKey is a public key as it is shown.
type shownKey struct {
	Name  string `json:"name"`
	Key   string `json:"key"`   // as trust: or seal: in another party's settings wants it
	Words string `json:"words"` // its fingerprint
}

func shownSigner(key trust.Public) shownKey {
	return shownKey{Name: key.Name, Key: key.String(), Words: key.Words()}
}

func shownReader(name string, key seal.Recipient) shownKey {
	return shownKey{Name: name, Key: key.String(), Words: key.Words()}
}

type keysNewCommand struct {
	For  string `arg:"" enum:"sign,open,seal" help:"What it is for: sign, for manifests and receipts; open, for a reader of sealed parts; seal, the producer's secret."`
	File string `arg:"" help:"Where to write the key. A file that is there stays. In a folder, the file is named by the time: a key for each epoch." predictor:"file"`
	Name string `placeholder:"NAME" help:"What people call a key that signs (default: the file's name, or the folder's and the time). A year in it helps: patients-2026."`
}

func (c *keysNewCommand) Run(_ context.Context, env *environment) error {
	return c.make(env, time.Now())
}

func (c *keysNewCommand) make(env *environment, now time.Time) error {
	file, name := c.File, cmp.Or(c.Name, nameOf(c.File))
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		epoch := now.UTC().Format(epochForm)
		file, name = filepath.Join(file, epoch+".key"), cmp.Or(c.Name, name+"-"+epoch)
	}
	var err error
	if c.For == "sign" {
		err = newSigner(file, strings.ToLower(name), now)
	} else {
		_, err = seal.New(file, now)
	}
	if err != nil {
		return err
	}
	key, err := showKey(file)
	if err != nil {
		return err
	}
	return env.out.printKeys([]shownKey{key})
}

// epochForm is how the names of keys in a folder begin, so that they are in order.
const epochForm = "20060102T150405.000Z"

func newSigner(file, name string, now time.Time) error {
	key, err := trust.NewPrivate(name, rand.Reader)
	if err != nil {
		return fault.New(fault.Usage, "make", "key", err, "")
	}
	return key.Write(file, now)
}

func nameOf(file string) string {
	return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
}

// showKey shows a public key, or that of a file.
func showKey(text string) (shownKey, error) {
	if key, err := trust.ParsePublic(text); err == nil {
		return shownSigner(key), nil
	}
	if key, err := seal.ParseRecipient(text); err == nil {
		return shownReader("", key), nil
	}
	signs, err := trust.ReadPrivate(text)
	if err == nil {
		return shownSigner(signs.Public()), nil
	}
	if opens, err := seal.ReadSecret(text); err == nil {
		return shownReader(nameOf(text), opens.Public()), nil
	}
	return shownKey{}, err
}

type keysShowCommand struct {
	Files []string `arg:"" optional:"" name:"file" help:"Files of keys, or public keys (default: all that the configured services have or name)." predictor:"file"`
}

func (c *keysShowCommand) Run(_ context.Context, env *environment) error {
	keys := []shownKey{}
	for _, file := range c.Files {
		key, err := showKey(file)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	if len(c.Files) > 0 {
		return env.out.printKeys(keys)
	}
	parties, err := env.configs("")
	if err != nil {
		return err
	}
	for _, party := range parties {
		more, err := party.shownKeys()
		if err != nil {
			return err
		}
		keys = append(keys, more...)
	}
	return env.out.printKeys(keys)
}

// shownKeys are the keys that a party has or names.
func (p *place) shownKeys() (keys []shownKey, err error) {
	signers, err := p.Sign.signers()
	if err != nil {
		return nil, err
	}
	for _, signer := range signers {
		keys = append(keys, shownSigner(signer.Public()))
	}
	if p.Trust != nil {
		for _, key := range p.Trust.Keys {
			keys = append(keys, shownSigner(key))
		}
	}
	if p.Seal != nil {
		for _, name := range slices.Sorted(maps.Keys(p.Seal.Readers)) {
			for _, key := range p.Seal.Readers[name].Keys {
				keys = append(keys, shownReader(name, key))
			}
		}
	}
	files, err := trust.AllFiles(p.openPaths())
	for _, file := range files {
		key, err := seal.ReadSecret(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, shownReader(nameOf(file), key.Public()))
	}
	return keys, err
}

// openPaths are the files, and folders of files, of the keys that open what a party reads.
func (p *place) openPaths() (paths []string) {
	if p.Open != nil {
		paths = append(paths, p.Open.Files...)
	}
	if p.Seal != nil {
		paths = append(paths, p.Seal.SecretFile)
	}
	return paths
}

// keysNow returns a text that differs once a file of its keys is added, removed or changed.
func (p *place) keysNow() string {
	files, err := trust.AllFiles(p.keyPaths())
	if err != nil {
		return err.Error()
	}
	var now strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintln(&now, file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return now.String()
}

// keyPaths are those of all of its keys.
func (p *place) keyPaths() []string {
	if p.Sign == nil {
		return p.openPaths()
	}
	return append(p.openPaths(), p.Sign.Keys...)
}

func (out *printer) printKeys(keys []shownKey) error {
	if out.json {
		return out.printJSON(keys)
	}
	t := out.table("NAME", "PUBLIC KEY", "FINGERPRINT")
	for _, key := range keys {
		t.row(key.Name, key.Key, key.Words)
	}
	return t.print()
}
