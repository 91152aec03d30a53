package seal_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/exchange/seal"
	"waybill/internal/fault"
	"waybill/schemas"
)

// party makes a key, in a file.
func party(t testing.TB) (file string, key seal.Recipient) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "key")
	public, err := seal.New(file, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err = seal.ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	return file, key
}

func secretOf(t testing.TB, file string) *seal.Secret {
	t.Helper()
	secret, err := seal.ReadSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func sealed(t testing.TB, secret *seal.Secret, plain []byte, context string, to ...seal.Recipient) []byte {
	t.Helper()
	var file bytes.Buffer
	sum := sha256.Sum256(plain)
	if err := secret.Write(&file, bytes.NewReader(plain), sum[:], context, to); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func opened(file []byte, keys seal.Keys) ([]byte, error) {
	plain, size, err := keys.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(plain, 0, size))
}

func random(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// sizes are around a chunk of age.
var sizes = []int{0, 1, 6144, 65535, 65536, 65537, 131072, 1 << 20}

// The same input gives the same file, in any order of readers; age's own reader opens it with each key,
// and so does the producer; others can't.
func TestASealedFileIsAnAgeFileAndAlwaysTheSame(t *testing.T) {
	file, _ := party(t)
	secret := secretOf(t, file)
	oneFile, one := party(t)
	twoFile, two := party(t)
	otherFile, _ := party(t)
	for _, size := range sizes {
		plain := random(size)
		data := sealed(t, secret, plain, "log 1", one, two)
		if !bytes.Equal(data, sealed(t, secretOf(t, file), plain, "log 1", two, one, two)) {
			t.Errorf("%d bytes: sealed again, the file differs", size)
		}
		for _, name := range []string{file, oneFile, twoFile} {
			key := secretOf(t, name)
			if got, err := opened(data, seal.Secrets{key}.Keys()); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: opened as %d bytes, %v", size, len(got), err)
			}
			stream, err := age.Decrypt(bytes.NewReader(data), key.X25519Identity)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: age reads %d bytes, %v", size, len(got), err)
			}
		}
		for _, keys := range []seal.Keys{seal.Secrets{secretOf(t, otherFile)}.Keys(), nil} {
			if _, err := opened(data, keys); !errors.Is(err, seal.ErrNotForUs) {
				t.Errorf("a stranger: %v", err)
			}
		}
	}
}

// Nothing is encrypted twice with one key and nonce: if anything differs, the file key, and so all that follows, is another.
func TestNoNonceIsUsedTwice(t *testing.T) {
	file, _ := party(t)
	otherFile, _ := party(t)
	_, one := party(t)
	_, two := party(t)
	plain, changed := random(70_000), random(70_000)
	changed[69_999] ^= 1
	streams := map[string]string{}
	for name, data := range map[string][]byte{
		"as it is":          sealed(t, secretOf(t, file), plain, "log 1", one),
		"another plaintext": sealed(t, secretOf(t, file), changed, "log 1", one),
		"another batch":     sealed(t, secretOf(t, file), plain, "log 2", one),
		"another reader":    sealed(t, secretOf(t, file), plain, "log 1", two),
		"a reader more":     sealed(t, secretOf(t, file), plain, "log 1", one, two),
		"another secret":    sealed(t, secretOf(t, otherFile), plain, "log 1", one),
	} {
		_, rest, _ := bytes.Cut(data, []byte("\n--- "))
		_, body, _ := bytes.Cut(rest, []byte("\n"))
		for what, part := range map[string][]byte{"nonce": body[:16], "first chunk": body[16:80]} {
			if other, there := streams[string(part)]; there {
				t.Errorf("%s: the %s is that of %s", name, what, other)
			}
			streams[string(part)] = name
		}
	}
}

// What is damaged or cut off anywhere is refused, before a byte of that chunk is used.
func TestADamagedSealIsRefused(t *testing.T) {
	file, _ := party(t)
	secret := secretOf(t, file)
	plain := random(3 * 65536)
	data := sealed(t, secret, plain, "log 1")
	body := len(data) - 3*(65536+16)
	for _, cut := range []int{0, 1, 20, 200, body - 16, body, body + 1, body + 65552, body + 65553, body + 2*65552, len(data) - 1} {
		if got, err := opened(data[:cut], seal.Secrets{secret}.Keys()); err == nil || errors.Is(err, seal.ErrNotForUs) {
			t.Errorf("cut at %d: %d bytes, %v", cut, len(got), err)
		}
	}
	for at := 0; at < len(data); at += 997 {
		damaged := bytes.Clone(data)
		damaged[at] ^= 1
		if got, err := opened(damaged, seal.Secrets{secret}.Keys()); err == nil {
			t.Errorf("changed at %d: %d bytes", at, len(got))
		}
	}
	var long bytes.Buffer
	out, err := age.Encrypt(&long, slices.Repeat([]age.Recipient{secret.Recipient()}, 1000)...)
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened(long.Bytes(), seal.Secrets{secret}.Keys()); err == nil {
		t.Errorf("a header of %d bytes is read", long.Len())
	}
}

// A key that others may read is refused, as is a file without one.
func TestKeysAreReadFromFilesOfTheirOwner(t *testing.T) {
	file, key := party(t)
	if _, err := seal.New(file, time.Now()); fault.ClassOf(err) != fault.Usage {
		t.Errorf("overwritten: %v", err)
	}
	commented := filepath.Join(t.TempDir(), "age-keygen")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(commented, append([]byte("# created: today\n# public key: "+key.String()+"\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if secretOf(t, commented).ID() != key.String() {
		t.Error("read another key")
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, empty, filepath.Join(t.TempDir(), "missing")} {
		if _, err := seal.ReadKeys([]string{path}); fault.ClassOf(err) != fault.Usage {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What a consumer opens with is what its settings say: every key, and the batch before which open parts are loaded.
func TestWhatAConsumerOpensWith(t *testing.T) {
	one, first := party(t)
	two, second := party(t)
	opening, err := (&seal.Opener{Files: []string{one, two}, From: 7}).Opening()
	if err != nil || opening.From != 7 || len(opening.Keys) != 2 || opening.Keys[0].Recipient().String() != first.String() || opening.Keys[1].Recipient().String() != second.String() {
		t.Errorf("%d keys, from batch %d, %v", len(opening.Keys), opening.From, err)
	}
	if opening, err = (*seal.Opener)(nil).Opening(); err != nil || len(opening.Keys) > 0 {
		t.Errorf("without settings: %d keys, %v", len(opening.Keys), err)
	}
	for name, o := range map[string]*seal.Opener{"no key": {From: 1}, "a batch before the first": {Files: []string{one}, From: -1}} {
		if o.Validate() == nil {
			t.Errorf("%s: allowed", name)
		}
	}
}

func TestReadersAreChecked(t *testing.T) {
	_, key := party(t)
	keys := []seal.Recipient{key}
	events := schemas.PatientEvents().Events()
	for name, readers := range map[string]seal.Readers{
		"none":             {},
		"a name":           {"Morgue, east": {Keys: keys, Events: []string{seal.All}}},
		"no keys":          {"morgue": {Events: []string{seal.All}}},
		"no events":        {"morgue": {Keys: keys}},
		"an unknown event": {"morgue": {Keys: keys, Events: []string{"dead"}}},
	} {
		if readers.Validate(events) == nil {
			t.Errorf("%s: allowed", name)
		}
	}
	readers := seal.Readers{
		"morgue": {Keys: keys, Events: []string{schemas.Died}}, "escrow": {Keys: keys, Events: []string{seal.All}},
		"slim": {Keys: keys, Events: []string{schemas.Merged}, Slim: true},
	}
	if err := readers.Validate(events); err != nil {
		t.Error(err)
	}
	for event, want := range map[string][2]int{schemas.Died: {2, 0}, schemas.Registered: {1, 0}, schemas.Merged: {1, 1}, schemas.Erased: {2, 1}} {
		if whole, slim := readers.Of(event, false), readers.Of(event, true); len(whole) != want[0] || len(slim) != want[1] {
			t.Errorf("%s can be read by %q, and slim by %q", event, whole, slim)
		}
	}
}

// counted counts the bytes that are read, until it breaks.
type counted struct {
	io.ReaderAt
	bytes  int64
	broken error
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	if c.broken != nil {
		return 0, c.broken
	}
	c.bytes += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

// Columns are read side by side, in small pieces. Each chunk is decrypted about once, and each piece is what it was.
func TestColumnsSideBySideDecryptEachChunkOnce(t *testing.T) {
	file, _ := party(t)
	secret := secretOf(t, file)
	const columns, piece = 24, 5000
	plain := random(columns * 60 * piece)
	data := sealed(t, secret, plain, "log 1")
	source := &counted{ReaderAt: bytes.NewReader(data)}
	opened, size, err := seal.Secrets{secret}.Keys().Open(source, int64(len(data)))
	if err != nil || size != int64(len(plain)) {
		t.Fatal(size, err)
	}
	got := make([]byte, piece)
	for row := range 60 {
		for column := range columns {
			at := (column*60 + row) * piece
			if n, err := opened.ReadAt(got, int64(at)); n != piece || err != nil || !bytes.Equal(got, plain[at:at+piece]) {
				t.Fatalf("%d bytes at %d: %v", n, at, err)
			}
		}
	}
	if most := int64(len(data)) * 13 / 10; source.bytes > most { // columns share the chunks between them
		t.Errorf("%d bytes were read of %d", source.bytes, len(data))
	}
	before := source.bytes
	opened.(interface{ Release() }).Release()
	if _, err := opened.ReadAt(got, size-piece); err != nil || source.bytes == before {
		t.Errorf("after a release nothing is read again: %v", err)
	}
	if n, err := opened.ReadAt(got, size-10); n != 10 || !errors.Is(err, io.EOF) || !bytes.Equal(got[:10], plain[size-10:]) {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
	if n, err := opened.ReadAt(got, size+1); n != 0 || err == nil {
		t.Errorf("beyond the end: %d bytes, %v", n, err)
	}
}

// A chunk that could not be read takes the place of one that was kept, which is decrypted again.
func TestAChunkThatCanNotBeReadIsNotMistakenForAnother(t *testing.T) {
	file, _ := party(t)
	secret := secretOf(t, file)
	const chunk, kept = 64 << 10, 40
	plain := random(kept*chunk + 10)
	data := sealed(t, secret, plain, "log 1")
	source := &counted{ReaderAt: bytes.NewReader(data)}
	opened, _, err := seal.Secrets{secret}.Keys().Open(source, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]byte, kept*chunk)
	read := func() {
		t.Helper()
		if n, err := opened.ReadAt(all, 0); n != len(all) || err != nil || !bytes.Equal(all, plain[:len(all)]) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	read()
	source.broken = errors.New("the disk is broken")
	if n, err := opened.ReadAt(make([]byte, 10), kept*chunk); n != 0 || !errors.Is(err, source.broken) {
		t.Fatalf("of a broken disk: %d bytes, %v", n, err)
	}
	source.broken = nil
	read()
}

func FuzzOpen(f *testing.F) {
	file := filepath.Join(f.TempDir(), "key")
	if _, err := seal.New(file, time.Now()); err != nil {
		f.Fatal(err)
	}
	keys := seal.Secrets{secretOf(f, file)}.Keys()
	f.Add(sealed(f, secretOf(f, file), random(100), "log 1"))
	f.Add([]byte("age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n--- AAAA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain, err := opened(data, keys); err == nil && len(plain) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(plain))
		}
	})
}
