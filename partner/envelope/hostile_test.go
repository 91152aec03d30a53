package envelope_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"waybill/partner/envelope"
)

// key is a key of ours, its file, and what opens with it.
func key(t *testing.T) (*openpgp.Entity, *envelope.Opening) {
	t.Helper()
	e, err := openpgp.NewEntity("us", "", "us@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return time.Now().Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := e.SerializePrivate(&data, nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return e, &envelope.Opening{OpenPGP: []string{file}}
}

// encrypted encrypts packets to a key, as gpg does, with protection against changes or without.
func encrypted(t *testing.T, to *openpgp.Entity, protected bool, packets []byte) string {
	t.Helper()
	var out bytes.Buffer
	encryption, valid := to.EncryptionKey(time.Now(), nil)
	session := bytes.Repeat([]byte{7}, packet.CipherAES256.KeySize())
	err := packet.SerializeEncryptedKey(&out, encryption.PublicKey, packet.CipherAES256, session, nil)
	if !valid || err != nil {
		t.Fatal(valid, err)
	}
	if !protected { // the old kind of packet, of 20 bytes
		return out.String() + "\xc9\x14" + strings.Repeat("x", 20)
	}
	w, err := packet.SerializeSymmetricallyEncrypted(&out, packet.CipherAES256, false, packet.CipherSuite{}, session, nil)
	if err == nil {
		_, err = w.Write(packets)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// literal is a packet with content.
func literal(t *testing.T, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := packet.SerializeLiteral(closer{&out}, true, "", 0)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packed is a packet that holds others, compressed.
func packed(t *testing.T, packets []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := packet.SerializeCompressed(closer{&out}, packet.CompressionZLIB, nil)
	if err == nil {
		_, err = w.Write(packets)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

// Someone who has our public key and can write into the folder gets nothing taken in clear, and nothing to grow.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	e, o := key(t)
	clear, inside := literal(t, deaths), literal(t, deaths)
	const damaged, open = "damaged, cut off or changed", "it is not encrypted"
	opens(t, o, encrypted(t, e, true, inside), "", deaths)
	opens(t, o, encrypted(t, e, true, packed(t, inside)), "", deaths)
	signatures := bytes.Repeat([]byte{0xc0 | 4, 13, 3, 0, 8, 22, 1, 2, 3, 4, 5, 6, 7, 8, 0}, 1<<20)
	for name, file := range map[string]struct{ text, why string }{
		"without protection against changes": {encrypted(t, e, false, inside), "without protection against changes"},
		"content before the encrypted data":  {string(clear) + encrypted(t, e, true, nil), open},
		"content after the encrypted data":   {encrypted(t, e, true, nil) + string(clear), open},
		"two contents":                       {encrypted(t, e, true, append(inside, inside...)), damaged},
		"no content":                         {encrypted(t, e, true, nil), damaged},
		"encrypted twice":                    {encrypted(t, e, true, []byte(encrypted(t, e, true, inside))), damaged},
		"compressed twice":                   {encrypted(t, e, true, packed(t, packed(t, inside))), damaged},
		"compressed, not encrypted":          {string(packed(t, inside)), open},
		"unpacks without end":                {encrypted(t, e, true, packed(t, literal(t, strings.Repeat("\n", 64<<20)))), "more than 250 times its size"},
		"signatures without end":             {encrypted(t, e, true, packed(t, signatures)), damaged},
		"bytes after the content":            {encrypted(t, e, true, append(bytes.Clone(inside), "more"...)), damaged},
		"an armor that is cut off":           {"-----BEGIN PGP MESSAGE-----\n\n", damaged},
		"an age file":                        {"age-encryption.org/v1\n-> X25519 x\n", "it is an age file, and this partner's are not"},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, o, file.text, "", file.why) })
	}
	aged := agedWith(t)
	refuses(t, aged, encrypted(t, e, true, inside), "", "it is an OpenPGP message, and this partner's files are not")
}

func agedWith(t *testing.T) *envelope.Opening {
	t.Helper()
	o := &envelope.Opening{Age: []string{filepath.Join(t.TempDir(), "key")}}
	if err := os.WriteFile(o.Age[0], []byte("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// What lies around the content is given up before it fills the memory. What was allocated in all is more than what was
// held at once.
func TestAHostileMessageCostsLittleMemory(t *testing.T) {
	const size, most = 32 << 20, 64 << 20
	e, o := key(t)
	fill := func(head, again string) string { return head + strings.Repeat(again, (size-len(head))/len(again)) }
	// A signature of version 6 states how long its subpackets are, in four bytes.
	subpackets := fill("\xc2\xff\x02\x00\x00\x00\x06\x00\x16\x08\x01\xff\xff\x00", "\x01\x7f")
	bomb := literal(t, strings.Repeat("\n", size))
	for name, file := range map[string]struct {
		o    *envelope.Opening
		text string
	}{
		"age, recipients":                 {agedWith(t), fill("age-encryption.org/v1\n", "-> X\n\n")},
		"age, a recipient":                {agedWith(t), fill("age-encryption.org/v1\n-> X ", "x ")},
		"age, an armor of one line":       {agedWith(t), fill("-----BEGIN AGE ENCRYPTED FILE-----\n", "A")},
		"OpenPGP, an armor of one line":   {o, fill("-----BEGIN PGP MESSAGE-----\n\n", "A")},
		"OpenPGP, headers of an armor":    {o, fill("-----BEGIN PGP MESSAGE-----\n", "A: b\n")},
		"OpenPGP, subpackets":             {o, subpackets},
		"OpenPGP, subpackets, encrypted":  {o, encrypted(t, e, true, packed(t, []byte(subpackets)))},
		"OpenPGP, signatures":             {o, fill("", "\xc4\x0d\x03\x00\x08\x16\x01\x02\x03\x04\x05\x06\x07\x08\x00")},
		"OpenPGP, unknown packets":        {o, fill("", "\xf9\x01x")},
		"OpenPGP, signatures afterwards":  {o, encrypted(t, e, true, packed(t, append(literal(t, deaths), subpackets...)))},
		"OpenPGP, content that is packed": {o, encrypted(t, e, true, packed(t, bomb))},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if content, refused := open(t, file.o, file.text, ""); refused == "" {
				t.Errorf("%d bytes were taken", len(content))
			}
			runtime.ReadMemStats(&after)
			if cost := after.TotalAlloc - before.TotalAlloc; cost > most {
				t.Errorf("%d MiB were allocated", cost>>20)
			}
		})
	}
}

// A setting or a key that can't be used is named before any file is read.
func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for setting, o := range map[string]envelope.Opening{
		"openpgp":   {},
		"signed_by": {Age: []string{"a"}, Signature: "{name}.sig"},
		"signature": {Age: []string{"a"}, SignedBy: []string{"b"}},
	} {
		if err := o.Check(); err == nil || !strings.HasPrefix(err.Error(), setting+":") {
			t.Errorf("%s: %v", setting, err)
		}
	}
	for setting, s := range map[string]envelope.Sealing{
		"openpgp": {}, "sign": {Age: []string{"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"}, Sign: "k"}, "age": {Age: []string{"age1"}},
	} {
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), setting+":") {
			t.Errorf("%s: %v", setting, err)
		}
	}
	e, o := key(t)
	var public, locked bytes.Buffer
	if err := e.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	if err := e.EncryptPrivateKeys([]byte("secret"), nil); err != nil {
		t.Fatal(err)
	}
	if err := e.SerializePrivateWithoutSigning(&locked, nil); err != nil {
		t.Fatal(err)
	}
	for why, data := range map[string][]byte{"protected by a passphrase": locked.Bytes(), "no private key": public.Bytes(), "": nil} {
		if err := os.WriteFile(o.OpenPGP[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Read(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	o.SignedBy = []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, file := range o.SignedBy {
		if err := os.WriteFile(file, public.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.OpenPGP = nil
	if _, err := o.Read(); err == nil || !strings.Contains(err.Error(), "another file has the key") {
		t.Error(err)
	}
}
