package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/schemas"
)

// epochs is a site whose parties have their keys in folders, one key for each epoch.
type epochs struct {
	*sealing
	seen map[string][]byte // every file that was ever on the store, by name and content
}

func newEpochs(t testing.TB) *epochs {
	t.Helper()
	s := &epochs{&sealing{site: newSite(t), opens: map[string]string{}, public: map[string]string{}}, map[string][]byte{}}
	s.signs, s.signed = s.key("patients-2026")
	for _, name := range s.parties() {
		s.opens[name] = filepath.Join(s.dir, name+".keys")
		if err := os.Mkdir(s.opens[name], 0o700); err != nil {
			t.Fatal(err)
		}
		s.do("keys", "new", "open", s.opens[name])
		s.public[name] = s.newest(name)
	}
	s.seals(morgueEvents)
	s.consumes("morgue", s.opens["morgue"])
	s.consumes("appointments", s.opens["appointments"])
	return s
}

func (s *epochs) parties() []string { return []string{"secret", "morgue", "appointments", "escrow"} }

// files are the files of a party's keys, oldest first.
func (s *epochs) files(name string) []string {
	s.Helper()
	files, err := trust.Files(s.opens[name])
	if err != nil {
		s.Fatal(err)
	}
	return files
}

// newest is the public key of a party's newest key.
func (s *epochs) newest(name string) string {
	s.Helper()
	files := s.files(name)
	key, err := seal.ReadSecret(files[len(files)-1])
	if err != nil {
		s.Fatal(err)
	}
	return key.ID()
}

// rotate begins the next epoch of a party, and has the producer know.
func (s *epochs) rotate(names ...string) {
	s.Helper()
	for _, name := range names {
		s.do("keys", "rotate", s.opens[name])
		s.public[name] = s.newest(name)
	}
	s.seals(morgueEvents)
}

// copies keeps what is on the store.
func (s *epochs) copies() {
	s.Helper()
	for name, data := range s.stored() {
		s.seen[name+" "+schemas.Hash(data)] = data
	}
}

// pass has everything exported and imported, and copied.
func (s *epochs) pass(export ...string) {
	s.Helper()
	s.do(append([]string{"export"}, export...)...)
	s.do("import", "morgue")
	s.do("import", "appointments")
	s.copies()
}

// finds counts the copied parts that the keys open, and those of them in which the word stands.
func (s *epochs) finds(word string, keys seal.Keys) (opened, found int) {
	s.Helper()
	for name, data := range s.seen {
		if !strings.HasPrefix(name, "parts/") {
			if bytes.Contains(data, []byte(word)) {
				s.Errorf("%s holds %s", name, word)
			}
			continue
		}
		plain, size, err := keys.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			continue
		}
		opened++
		if strings.Contains(s.text(io.NewSectionReader(plain, 0, size)), word) {
			found++
		}
	}
	return opened, found
}

// text is all that stands in the rows of a part.
func (s *epochs) text(plain *io.SectionReader) string {
	s.Helper()
	file, err := parquet.OpenFile(plain, plain.Size())
	if err != nil {
		s.Fatal(err)
	}
	rows := parquet.NewReader(file)
	defer rows.Close()
	var text strings.Builder
	buffer := make([]parquet.Row, 100)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			for _, value := range row {
				fmt.Fprintln(&text, value)
			}
		}
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		if err != nil {
			s.Fatal(err)
		}
	}
}

// existing are the keys of all parties that are still there.
func (s *epochs) existing() seal.Keys {
	s.Helper()
	keys, err := seal.ReadKeys(slices.Collect(maps.Values(s.opens)))
	if err != nil {
		s.Fatal(err)
	}
	return keys
}

// age has all that was published so far be older by some days, but for the end of the last batch.
func (s *epochs) age(days int) {
	s.Helper()
	s.exec("patients", `UPDATE exporter.plan SET window_from = window_from - $1 * interval '1 day',
		window_to = CASE WHEN batch < (SELECT max(batch) FROM exporter.plan) THEN window_to - $1 * interval '1 day' ELSE window_to END`, days)
}

// lose deletes the parts of a batch.
func (s *epochs) lose(batch int64) {
	s.Helper()
	place := s.place.Open(s)
	entry, err := exchange.NewReader(place).Open(s.Context(), batch)
	if err != nil || len(entry.Manifest.Parts) == 0 {
		s.Fatal(err)
	}
	for _, p := range entry.Manifest.Parts {
		if err := place.Delete(s.Context(), p.Name); err != nil {
			s.Fatal(err)
		}
	}
}

// Somebody has copied the whole store since its first day. After retention and one epoch, no key that is left shows them the person
// who was erased; while a part that is still on the store needs a key, it can't be destroyed.
func TestAnErasedPersonIsUnreadableAfterRetentionAndAnEpoch(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	const person = "Given1" // who dies on the first day
	s.firstDay()
	s.pass()
	s.pass("--snapshot")
	old := map[string]string{}
	for _, name := range s.parties() {
		old[name] = s.files(name)[0]
	}
	before := s.existing()
	s.erase(1)
	s.pass()
	if opened, found := s.finds(person, before); found == 0 {
		t.Fatalf("%s is in none of %d parts that are opened", person, opened)
	}

	refused := func(why string, names ...string) {
		t.Helper()
		for _, name := range names {
			s.fails(2, []string{"destroy", why}, "keys", "destroy", old[name], "--reason", "its epoch has ended")
			if _, err := os.Stat(old[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused("it is the newest key", "secret", "morgue", "appointments")
	refused("is sealed to it", "escrow")
	s.rotate(s.parties()...)
	refused("is sealed to it, and that log was never pruned", s.parties()...)
	s.secondDay()
	s.pass()
	s.pass("--snapshot")
	s.lose(3)
	s.do("repair", "3")
	s.do("verify")
	s.fails(2, []string{"batch 3 of patients is sealed to it"}, "keys", "destroy", old["secret"], "--reason", "its epoch has ended")
	refused("is sealed to it", s.parties()...)

	s.age(91)
	s.news("Later")
	s.pass()
	s.do("prune", "--keep", "90d")
	for _, name := range s.parties() {
		s.says(s.do("keys", "destroy", old[name], "--reason", "its epoch has ended"), "is destroyed")
		if _, err := os.Stat(old[name]); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", old[name], err)
		}
	}
	for _, schema := range []string{"exporter", "morgue", "appointments"} {
		service := strings.Replace(schema, "exporter", "patients", 1)
		if got := s.one(service, `SELECT count(*)::text FROM `+schema+`.decision WHERE kind = 'destroy' AND subject LIKE 'the key age1%'`); got != "4" {
			t.Errorf("%s noted %s", schema, got)
		}
	}

	if opened, found := s.finds(person, before); found == 0 {
		t.Fatalf("the copies are not what they were: %s is in none of %d parts", person, opened)
	}
	opened, found := s.finds(person, s.existing())
	if opened == 0 || found > 0 {
		t.Errorf("with the keys that are left, %d parts open, and %s is in %d", opened, person, found)
	}
	s.secondDay()
	s.pass()
	s.do("verify")
	s.do("reconcile")
	s.do("rerun", "export", "--batch", fmt.Sprint(s.last().Manifest.Batch), "--dry-run")
}

// Where a part is missing, or where nobody's signature says what was pruned, no key is destroyed.
func TestAKeyIsNotDestroyedOnTheStoresWord(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	s.firstDay()
	s.pass()
	old := s.files("morgue")[0]
	destroy := []string{"keys", "destroy", old, "--reason", "its epoch has ended"}
	s.rotate("morgue")
	s.fails(2, []string{"is sealed to it"}, destroy...)

	// At the consumer alone, before the producer's next batch that is sealed to the new key.
	alone := []string{"--config", filepath.Join(s.dir, "morgue.yaml")}
	s.lose(1)
	s.fails(5, []string{"is missing"}, append(alone, destroy...)...)
	s.do("repair", "1")
	s.consumes("morgue", s.opens["morgue"])
	s.configure("morgue", importing+"open: {keys: ["+s.opens["morgue"]+"]}\n")
	s.fails(2, []string{"trusts no signatures"}, append(alone, destroy...)...)
	s.consumes("morgue", s.opens["morgue"])
	s.fails(2, []string{"is sealed to it"}, append(alone, destroy...)...)
	if _, err := os.Stat(old); err != nil {
		t.Fatal(err)
	}
}

// The store's floor may be anybody's: the producer reads the log from its own, also what another database has published there.
func TestAPlantedFloorHidesNoPartThatNeedsAKey(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	s.firstDay()
	s.do("export")
	s.rotate("secret")
	s.do("export", "--snapshot")
	last := s.last()
	s.plantFloor(last, func(*schemas.Floor) {})
	s.exec("patients", `DELETE FROM exporter.plan WHERE batch < $1`, last.Manifest.Batch)
	s.fails(2, []string{"batch 1 of patients is sealed to it"}, "--config", filepath.Join(s.dir, "patients.yaml"), "keys", "destroy", s.files("secret")[0], "--reason", "its epoch has ended")
}

// While no part is sealed to the next key, the store may hide those that are sealed to this one.
func TestAKeyStaysUntilTheNextOpens(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	s.configure("patients", exporting+"sign: {keys: ["+s.signs+"]}\nseal: {secret_file: "+s.opens["secret"]+", readers: {escrow: {keys: ["+s.public["escrow"]+"], events: [all]}}}\n")
	s.firstDay()
	s.do("export")
	s.do("keys", "rotate", s.opens["morgue"])
	old := s.files("morgue")[0]
	s.fails(2, []string{"no part of morgue is sealed to a newer key yet"}, "keys", "destroy", old, "--reason", "its epoch has ended")
	s.public["morgue"] = s.newest("morgue")
	s.seals(morgueEvents)
	s.secondDay()
	s.do("export")
	s.do("keys", "destroy", old, "--reason", "its epoch has ended")
}

// A snapshot of the last epoch would keep its keys alive, and is nothing that a new reader can open.
func TestASnapshotIsMadeAgainForOtherKeys(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	s.firstDay()
	s.do("export", "--snapshot")
	s.says(s.do("export", "--snapshot"), "nothing has changed")
	s.rotate("morgue")
	if again := s.do("export", "--snapshot"); strings.Contains(again, "nothing has changed") {
		t.Errorf("the snapshot is sealed to the last epoch's key: %s", again)
	}
	s.says(s.do("export", "--snapshot"), "nothing has changed")
}

// Keys in a folder are of its owner, in the order of their names, and the next is the newest.
func TestAFolderOfKeys(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	folder := s.opens["secret"]
	s.fails(2, []string{"it is one key, not a folder"}, "keys", "rotate", s.files("secret")[0])
	if err := os.Chmod(folder, 0o770); err != nil {
		t.Fatal(err)
	}
	s.firstDay()
	s.fails(2, []string{"others may leave keys in this folder", "chmod 700"}, "export")
	s.fails(2, []string{"others may leave keys in this folder"}, "keys", "rotate", folder)
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	s.do("export")
	last := filepath.Join(folder, "patients.seal")
	if err := os.Rename(s.files("secret")[0], last); err != nil {
		t.Fatal(err)
	}
	s.fails(2, []string{"would come before patients.seal", "rename that file"}, "keys", "rotate", folder)
	empty := filepath.Join(s.dir, "empty.keys")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	s.fails(2, []string{"the folder holds no key"}, "keys", "rotate", empty)
	s.says(s.do("keys", "new", "sign", empty), "wbk1", "empty-2")
	s.says(s.do("keys", "rotate", empty), "wbk1")
	s.configure("patients", exporting+"sign: {keys: ["+s.signs+", "+empty+"]}\nseal: {secret_file: "+folder+", readers: {escrow: {keys: ["+s.public["escrow"]+"], events: [all]}}}\n")
	s.secondDay()
	s.do("export")
	if signatures := schemas.Signatures(s.manifest(2)); len(signatures) != 3 {
		t.Errorf("%d have signed", len(signatures))
	}
	s.do("export", "--snapshot")
	s.says(s.do("export", "--snapshot"), "nothing has changed since snapshot 3")
	s.do("keys", "rotate", s.opens["escrow"])
	s.says(s.do("export", "--snapshot"), "nothing has changed since snapshot 3")
	s.rotate("escrow")
	s.says(s.do("export", "--snapshot"), "4      snapshot")
}

// What keys check and doctor say of keys: who signs and reads, how old they are, and whether they do what they are for.
func TestKeysAreTried(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	s.says(s.do("keys", "check"), "patients-2026, ", " old", "it is empty")
	s.firstDay()
	s.pass()
	s.says(s.do("keys", "check"), "for appointments (1 key), escrow (1 key), morgue (1 key)", `batch 1, the newest, which is signed by "patients-2026"`, "1 key, the newest ", "it opens batch 1")
	s.says(s.run(nil, "doctor", "morgue").stdout, "morgue: keys", "it opens batch 1")
	s.says(s.do("status"), "KEYS OF", "signs with 1 key, the newest ", "seals for appointments (1 key), escrow (1 key), morgue (1 key)", "trusts patients-2026; opens with 1 key, the newest ")
	s.do("keys", "rotate", s.opens["morgue"])
	s.says(s.do("keys", "check", "morgue"), "2 keys", "an older key opens batch 1", "waybill keys show "+s.files("morgue")[1])
	checked := func(wants ...string) {
		t.Helper()
		s.fails(2, []string{"1 thing fails"}, "keys", "check", "morgue")
		s.says(s.run(nil, "keys", "check", "morgue").stdout, append(wants, "FAIL")...)
	}
	stranger := filepath.Join(s.dir, "stranger.age")
	s.do("keys", "new", "open", stranger)
	s.consumes("morgue", stranger)
	checked("sealed to other keys", "have the producer name its public key")
	s.expose(s.files("morgue")[1])
	s.consumes("morgue", s.opens["morgue"])
	checked("others may read this key", "chmod 600")
	_, s.signed = s.key("forger")
	s.consumes("morgue", s.files("morgue")[0])
	checked("no trusted key has signed it")
}
