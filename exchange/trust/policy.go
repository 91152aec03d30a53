// Package trust says whose word counts on a store that anybody may write to: manifests, floors and receipts carry Ed25519 signatures,
// and readers pin the keys that they believe, as ssh does hosts. No key travels on the store.
package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"

	"waybill/internal/setting"
	"waybill/schemas"
)

// ErrUntrusted is a file that too few trusted keys have signed.
var ErrUntrusted = errors.New("untrusted")

// Policy is what a reader demands.
type Policy struct {
	Log      string            `yaml:"log"`      // the log's UUID; "": any
	Keys     []Public          `yaml:"keys"`     // whose signatures count
	Need     int               `yaml:"need"`     // how many of them; 0: one
	From     int64             `yaml:"from"`     // the first batch that must be signed; what is below counts if the chain leads from there to it
	Receipts map[string]Public `yaml:"receipts"` // by instance, whose receipts count only with this key's signature
}

// Validate returns what is wrong with a policy, and in which setting. None is a policy, too.
func (p *Policy) Validate() error {
	if p == nil {
		return nil
	}
	for i, key := range p.Keys {
		if slices.ContainsFunc(p.Keys[:i], func(other Public) bool { return key.Key.Equal(other.Key) }) {
			return setting.Errorf("keys", "the key %s is there twice", key)
		}
	}
	switch {
	case len(p.Keys) == 0 && len(p.Receipts) == 0:
		return setting.Errorf("keys", "name at least one key: `waybill keys show FILE` at the producer prints it")
	case p.Need < 0 || len(p.Keys) > 0 && p.Need > len(p.Keys):
		return setting.Errorf("need", "must be from 1 to the number of keys")
	case p.From < 0:
		return setting.Errorf("from", "must be the number of a batch")
	}
	return nil
}

// Demands reports whether the policy is about manifests and floors at all.
func (p *Policy) Demands() bool { return p != nil && len(p.Keys) > 0 }

// Check returns [ErrUntrusted] unless enough of the trusted keys have signed the file.
func (p *Policy) Check(kind string, data []byte) error {
	signed := 0
	for _, key := range p.Keys {
		if key.signed(kind, data) {
			signed++
		}
	}
	if signed >= max(1, p.Need) {
		return nil
	}
	names := []string{}
	for _, s := range schemas.Signatures(data) {
		names = append(names, fmt.Sprintf("%.40q", s.Key))
	}
	switch {
	case len(names) == 0:
		return fmt.Errorf("%w: it is not signed", ErrUntrusted)
	case signed > 0:
		return fmt.Errorf("%w: %d of %d trusted keys have signed it, %d must", ErrUntrusted, signed, len(p.Keys), p.Need)
	}
	return fmt.Errorf("%w: no trusted key has signed it, though it names %s", ErrUntrusted, strings.Join(names, ", "))
}

// Receipt reports whether an instance's receipt counts.
func (p *Policy) Receipt(instance string, data []byte) bool {
	key, pinned := p.Receipts[instance]
	return !pinned || key.signed(schemas.OfReceipt, data)
}

func (p Public) signed(kind string, data []byte) bool {
	message := schemas.SignedBytes(kind, data)
	for _, s := range schemas.Signatures(data) {
		if ed25519.Verify(p.Key, message, s.Ed25519) {
			return true
		}
	}
	return false
}
