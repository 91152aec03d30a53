// Package seal encrypts parts, so that a store and those who read it see bytes only: a sealed part is an ordinary age v1
// file for X25519 recipients, which `age -d` opens.
//
// The age library draws its keys at random, and Waybill rests on "the same plan gives the same bytes": a part that is put
// again after a crash, or repaired years later, must have the name and the hash that its manifest says. So this package
// has a writer of its own, whose file key, nonce and ephemeral keys follow from a secret of the producer's and from all
// that the file is about:
//
//	seed = HKDF-SHA-256(secret, SHA-256 of the plaintext | SHA-256 of the recipients, "waybill seal 1 " + log and batch)
//
// Other plaintext, other recipients, another log or batch: another seed, and so another file key and nonce. No key is
// used for two plaintexts, which is all that ChaCha20-Poly1305 asks. The same input gives the same file, from which
// nobody learns more than that it is the same. Who lacks the secret can't compute the seed, and so can't confirm a guess
// of the plaintext either. Everything else is as https://age-encryption.org/v1 says; the library reads it.
package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// MaxHeader is the most bytes of a header; the library reads one of any length.
const MaxHeader = 64 << 10

const (
	chunk = 64 << 10 // of plaintext, each with a tag
	label = "waybill seal 1 "
)

// Write seals what plain holds, whose SHA-256 is sum, for the secret's owner and the recipients. context names log and batch.
func (s *Secret) Write(dst io.Writer, plain io.Reader, sum []byte, context string, to []Recipient) error {
	to = s.with(to)
	all := sha256.New()
	for _, r := range to {
		all.Write(r.key.Bytes())
	}
	seed := derive([]byte(s.text), append(bytes.Clone(sum), all.Sum(nil)...), label+context, 32)
	fileKey, nonce := derive(seed, nil, "file key", 16), derive(seed, nil, "nonce", 16)
	header, err := header(seed, fileKey, to)
	if err != nil {
		return err
	}
	if _, err := dst.Write(append(header, nonce...)); err != nil {
		return err
	}
	return payload(dst, plain, derive(fileKey, nonce, "payload", chacha20poly1305.KeySize))
}

// derive is HKDF-SHA-256.
func derive(secret, salt []byte, info string, length int) []byte {
	key, err := hkdf.Key(sha256.New, secret, salt, info, length)
	if err != nil {
		panic(err) // of lengths beyond what the hash can give
	}
	return key
}

// header wraps the file key for each recipient.
func header(seed, fileKey []byte, to []Recipient) ([]byte, error) {
	var h bytes.Buffer
	h.WriteString("age-encryption.org/v1\n")
	text := base64.RawStdEncoding.EncodeToString
	for _, r := range to {
		ephemeral, err := ecdh.X25519().NewPrivateKey(derive(seed, r.key.Bytes(), "ephemeral", 32))
		if err != nil {
			return nil, err
		}
		shared, err := ephemeral.ECDH(r.key)
		if err != nil {
			return nil, fmt.Errorf("the key %s: %w", r, err)
		}
		share := ephemeral.PublicKey().Bytes()
		wrap := aead(derive(shared, append(bytes.Clone(share), r.key.Bytes()...), "age-encryption.org/v1/X25519", chacha20poly1305.KeySize))
		fmt.Fprintf(&h, "-> X25519 %s\n%s\n", text(share), text(wrap.Seal(nil, make([]byte, wrap.NonceSize()), fileKey, nil)))
	}
	h.WriteString("---")
	mac := hmac.New(sha256.New, derive(fileKey, nil, "header", 32))
	mac.Write(h.Bytes())
	fmt.Fprintf(&h, " %s\n", text(mac.Sum(nil)))
	if h.Len() > MaxHeader {
		return nil, errors.New("there are too many keys to seal for")
	}
	return h.Bytes(), nil
}

// payload encrypts chunk by chunk: the nonce is the chunk's number, and says whether it is the last. One more byte than a chunk is
// read, to know that.
func payload(dst io.Writer, plain io.Reader, key []byte) error {
	box := aead(key)
	piece, nonce := make([]byte, chunk+box.Overhead()), make([]byte, box.NonceSize())
	begun := 0
	for number := uint64(0); ; number++ {
		n, err := io.ReadFull(plain, piece[begun:chunk+1])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		last, next := err != nil, piece[chunk]
		binary.BigEndian.PutUint64(nonce[3:11], number)
		if last {
			nonce[11] = 1
		}
		if _, err := dst.Write(box.Seal(piece[:0], nonce, piece[:min(begun+n, chunk)], nil)); err != nil || last {
			return err
		}
		piece[0], begun = next, 1
	}
}

func aead(key []byte) cipher.AEAD {
	box, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // of a key's length
	}
	return box
}
