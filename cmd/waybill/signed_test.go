package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exchange/trust"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// key makes a signing key with the command, and returns its file and its public key.
func (s *site) key(name string) (file, public string) {
	s.Helper()
	file = filepath.Join(s.dir, name+".key")
	out := s.do("keys", "new", "sign", file)
	start := strings.Index(out, "wbk1")
	public, _, _ = strings.Cut(out[start:], " ")
	return file, public + " " + name
}

const (
	exporting = "export: {heartbeat: 1h}\n"
	importing = "import: {instance: east, brake: 1000}\n"
)

// signed has the patients service sign with these keys, and the morgue trust that key.
func (s *site) signed(files []string, public string, more string) {
	s.Helper()
	s.configure("patients", exporting+"sign: {keys: ["+strings.Join(files, ", ")+"]}\n")
	s.configure("morgue", importing+"trust: {keys: ["+public+"]"+more+"}\n")
}

// manifest returns the file of a batch.
func (s *site) manifest(batch int64) []byte {
	s.Helper()
	file, err := s.place.Open(s).Get(s.Context(), schemas.ManifestName(batch, 0))
	if err != nil {
		s.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		s.Fatal(err)
	}
	return data
}

// replace puts another manifest in the place of a batch's.
func (s *site) replace(batch int64, data []byte) {
	s.Helper()
	s.removeManifest(batch)
	if err := s.place.Open(s).Publish(s.Context(), schemas.ManifestName(batch, 0), data); err != nil {
		s.Fatal(err)
	}
}

// sign returns a file with the signature of the key in a file, made for a kind.
func (s *site) sign(file, kind string, data []byte) []byte {
	s.Helper()
	key, err := trust.ReadPrivate(file)
	if err != nil {
		s.Fatal(err)
	}
	signed, err := trust.Signers{key}.Sign(s.Context(), kind, data)
	if err != nil {
		s.Fatal(err)
	}
	return signed
}

// resigned returns a file with these signatures, which may be of another file.
func (s *site) resigned(data []byte, signatures []schemas.Signature) []byte {
	s.Helper()
	signed, err := schemas.Sign(data, signatures)
	if err != nil {
		s.Fatal(err)
	}
	return signed
}

// Who can write to the store and knows everything but the keys is refused, and nothing is applied.
func TestAForgerIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file, public := s.key("patients-2026")
	other, _ := s.key("forger")
	s.signed([]string{file}, public, "")
	s.twoDays()
	s.says(s.do("status", "morgue"), "ok")
	last := s.last()
	before, forged := s.known(), last.Manifest.Batch+1
	living := uuid.MustParse(s.one("patients", `SELECT id::text FROM patients.patient WHERE death_status = 'none' ORDER BY id LIMIT 1`))
	logtest.Behind(t, s.place.Open(t), last).Changes(logtest.State{Event: schemas.Died, Patient: living, Version: 1 << 40, DeathNo: 1, Status: "formal"})
	unsigned := s.manifest(forged)
	m, err := schemas.ParseManifest(unsigned)
	if err == nil { // what is refused before it is fetched need not be there
		err = s.place.Open(t).Delete(t.Context(), m.Parts[0].Name)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"unsigned":                 unsigned,
		"signed by another":        s.sign(other, schemas.OfManifest, unsigned),
		"signed as a floor":        s.sign(file, schemas.OfFloor, unsigned),
		"with another batch's":     s.resigned(unsigned, schemas.Signatures(last.Data)),
		"with a signature's name":  s.resigned(unsigned, []schemas.Signature{{Key: "patients-2026"}}),
		"signed and changed after": bytes.Replace(s.sign(file, schemas.OfManifest, unsigned), []byte(`"heartbeat_seconds": 3600`), []byte(`"heartbeat_seconds": 9999`), 1),
	} {
		t.Log(name)
		s.replace(forged, resealed(data))
		s.fails(3, []string{"untrusted", fmt.Sprint("batch ", forged)}, "import", "morgue")
		s.fails(3, []string{"untrusted"}, "import", "morgue", "--dry-run")
		s.says(s.run(nil, "status", "morgue").stdout, "untrusted")
		if s.known() != before {
			t.Fatal("the forgery was applied")
		}
	}

	s.removeManifest(forged)
	s.news("Next")
	s.do("export")
	genuine := s.manifest(forged)
	s.replace(forged, resealed(bytes.Replace(genuine, genuine[bytes.Index(genuine, []byte(`"signatures"`)):bytes.LastIndex(genuine, []byte(`"sha256"`))], nil, 1)))
	s.fails(3, []string{"it is not signed"}, "import", "morgue")
	s.replace(forged, genuine)
	s.do("import", "morgue")
	s.configure("morgue", importing)
	s.fails(2, []string{"it has demanded signatures before"}, "import", "morgue")
}

// resealed returns a sealed file with the right last line.
func resealed(data []byte) []byte {
	body := data[:bytes.LastIndex(data, []byte(`"sha256":"`))]
	return append(bytes.Clone(body), `"sha256":"`+schemas.Hash(body)+"\"}\n"...)
}

// A log that was not signed is signed from some batch on; two keys sign while the consumers change theirs.
func TestSigningBeginsAndKeysChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export")
	s.do("import", "morgue")
	s.secondDay()
	s.do("export")
	first, public := s.key("patients-2026")
	last := s.last()
	from := last.Manifest.Batch + 1
	s.signed([]string{first}, public, fmt.Sprint(", from: ", from))
	s.fails(2, []string{"is not in the log"}, "import", "morgue", "--dry-run")
	s.configure("morgue", importing)
	s.do("import", "morgue", "--dry-run") // the other one noted nothing
	s.signed([]string{first}, public, fmt.Sprint(", from: ", from))
	s.fails(2, []string{"is not in the log"}, "import", "morgue")
	s.news("Patient1")
	s.do("export")

	genuine := s.manifest(from - 1)
	s.removeManifest(from - 1)
	before, err := exchange.NewReader(s.place.Open(t)).Open(t.Context(), from-2)
	if err != nil {
		t.Fatal(err)
	}
	logtest.Behind(t, s.place.Open(t), before).Changes(logtest.State{Event: schemas.Died, Patient: uuid.New(), Version: 1, DeathNo: 1, Status: "formal"})
	s.fails(3, []string{"not the one that the first signed batch follows"}, "import", "morgue")
	s.replace(from-1, genuine)
	s.do("import", "morgue")

	second, next := s.key("patients-2027")
	s.signed([]string{first, second}, public+", "+next, ", need: 2")
	s.news("Patient2")
	s.do("export")
	s.do("import", "morgue")
	s.signed([]string{second}, public+", "+next, ", need: 2")
	s.news("Patient3")
	s.do("export")
	s.fails(3, []string{"1 of 2 trusted keys have signed it, 2 must"}, "import", "morgue")
	s.signed([]string{second}, next, "")
	s.do("import", "morgue")
	s.do("verify")
}

// A receipt is believed only with the signature of the instance whose key is known.
func TestAForgedReceiptDoesNotCount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file, public := s.key("morgue-east")
	s.configure("patients", exporting+"trust: {receipts: {morgue@east: "+public+"}}\n")
	s.configure("morgue", importing+"sign: {keys: ["+file+"]}\n")
	s.twoDays()
	s.news("Patient4")
	s.do("export")
	last := s.last()
	m := last.Manifest
	if err := exchange.PublishReceipt(t.Context(), s.place.Open(t), &schemas.Receipt{
		Format: 1, Stream: m.Stream, Log: m.Log, Instance: "morgue@east", Events: []string{"died"}, Batch: m.Batch,
		Manifest: last.Hash, Generation: m.Generation, AppliedAt: schemas.At(time.Now()), Consumer: schemas.Software{Software: "waybill", Version: "devel"},
	}); err != nil {
		t.Fatal(err)
	}
	s.says(s.do("status", "patients"), "morgue@east        2/3")
}

// A receipt says how long the consumer's record of decisions is. Somebody with the owner's rights who cuts off its end is noticed at the
// producer, for as long as nobody there says that it is known.
func TestDecisionsThatAreGoneAreNoticedAtTheProducer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file, public := s.key("morgue-east")
	s.configure("patients", exporting+"trust: {receipts: {morgue@east: "+public+"}}\n")
	s.configure("morgue", importing+"sign: {keys: ["+file+"]}\n")
	s.twoDays()
	decide := func() { s.do("rerun", "import", "morgue", "--batch", "1", "--reapply", "--reason", "again") }
	next := func() {
		s.news("Next")
		s.exchangeAll()
	}
	decide()
	decide()
	next()
	s.do("status", "patients")
	s.exec("morgue", `ALTER TABLE morgue.decision DISABLE TRIGGER ALL; DELETE FROM morgue.decision WHERE id = 2; ALTER TABLE morgue.decision ENABLE ALWAYS TRIGGER chain`)
	decide() // as many as before, and another
	next()
	gone := func() {
		s.fails(3, []string{"--forget morgue@east"}, "status", "patients")
		s.says(s.run(nil, "status", "patients").stdout, "morgue@east: it had reported 2 decisions")
	}
	gone()
	decide()
	next()
	gone()
	s.do("status", "--forget", "morgue@east", "patients")
	s.do("status", "patients")
	decide()
	next()
	s.do("status", "patients")
}

// A delivery that follows a log of its own demands what the partner's file says.
func TestADeliveryDemandsSignatures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, public := s.key("patients-2026")
	s.firstDay()
	s.do("export")
	gp := s.partner("gp", gpCSV)
	log := strings.NewReplacer("store:", "log:", "store_password:", "log_password:").Replace(s.place.Settings())
	gp.configureAs("database: "+s.urls["patients"]+"\n"+log+"trust: {keys: ["+public+"]}\n", gpCSV)
	s.do("migrate", "gp")
	s.fails(3, []string{"untrusted"}, "deliver", "gp")
	if len(gp.files()) > 0 {
		t.Errorf("delivered: %v", gp.files())
	}
}

// A key lies in a file that others can't read, and is never overwritten.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	file, public := s.key("patients-2026")
	s.fails(2, []string{"never overwritten"}, "keys", "new", "sign", file)
	s.says(s.do("keys", "show", file), public)
	words := s.do("keys", "show", public)
	s.says(s.do("keys", "show", file), strings.TrimSpace(words))
	s.expose(file)
	s.fails(2, []string{"others may read this key", "chmod 600"}, "keys", "show", file)
	s.configure("patients", exporting+"sign: {keys: ["+file+"]}\n")
	s.fails(2, []string{"others may read this key"}, "export")
}

// news has another patient admitted.
func (s *site) news(name string) {
	s.Helper()
	s.exec("patients", `INSERT INTO patients.patient (family_name) VALUES ($1)`, name)
}

func (s *site) expose(file string) {
	s.Helper()
	if err := os.Chmod(file, 0o644); err != nil {
		s.Fatal(err)
	}
}

// A program may sign, for keys in hardware. While it fails, the batch's plan waits.
func TestAProgramSigns(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	file, public := s.key("patients-2026")
	program := signer(t)
	s.configure("patients", exporting+"sign: {commands: [{key: "+public+", run: ["+program+", "+file+"]}]}\n")
	s.configure("morgue", importing+"trust: {keys: ["+public+"]}\n")
	s.firstDay()
	away := file + ".away"
	if err := os.Rename(file, away); err != nil {
		t.Fatal(err)
	}
	s.fails(4, []string{"the next run signs"}, "export")
	if err := os.Rename(away, file); err != nil {
		t.Fatal(err)
	}
	s.do("export")
	s.do("import", "morgue")
}

// signer builds a small program that signs what it reads with the key in a file.
func signer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "signer")
	if err := os.WriteFile(source, []byte(signerSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

const signerSource = `package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, encoded, _ := strings.Cut(string(text), "WAYBILL-SIGNING-KEY-1-") // after a comment
	encoded, _, _ = strings.Cut(encoded, " ")
	seed, _ := base64.RawURLEncoding.DecodeString(encoded)
	message, _ := io.ReadAll(os.Stdin)
	fmt.Println(base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), message)))
}
`
