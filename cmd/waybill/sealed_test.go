package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/lab/audit"
	"waybill/schemas"
)

// sealing is a site whose patients service seals for the morgue, for appointments and for an escrow.
type sealing struct {
	*site
	from          int64             // the first signed batch
	signs, signed string            // the file of the signing key, and what verifies
	opens, public map[string]string // files of keys that open, and public keys, by reader
}

const morgueEvents, appointmentsEvents = "died, death_retracted, death_corrected, merged", "died, death_retracted, merged"

func newSealing(t testing.TB) *sealing {
	t.Helper()
	return sealingAt(newSite(t), 0)
}

// sealingAt has a site's services sign from a batch on, and seal from now on.
func sealingAt(of *site, from int64) *sealing {
	of.Helper()
	s := &sealing{site: of, from: from, opens: map[string]string{}, public: map[string]string{}}
	s.signs, s.signed = s.key("patients-2026")
	for _, name := range []string{"morgue", "appointments", "escrow", "secret"} {
		s.opens[name] = filepath.Join(s.dir, name+".age")
		public, err := seal.New(s.opens[name], time.Now())
		if err != nil {
			s.Fatal(err)
		}
		s.public[name] = public
	}
	var err error
	if s.keys, err = seal.ReadKeys([]string{s.opens["secret"]}); err != nil {
		s.Fatal(err)
	}
	s.seals(morgueEvents)
	s.consumes("morgue", s.opens["morgue"])
	s.consumes("appointments", s.opens["appointments"])
	return s
}

// seals has the patients service seal, for the morgue events of these types.
func (s *sealing) seals(morgue string) {
	s.Helper()
	s.sealsFor(morgue, "appointments")
}

// sealsFor also says whose parts are slim.
func (s *sealing) sealsFor(morgue string, slim ...string) {
	s.Helper()
	s.configure("patients", exporting+"sign: {keys: ["+s.signs+"]}\nseal:\n  secret_file: "+s.opens["secret"]+"\n  readers:\n"+
		"    morgue: {keys: ["+s.public["morgue"]+"], events: ["+morgue+"], slim: "+fmt.Sprint(slices.Contains(slim, "morgue"))+"}\n"+
		"    appointments: {keys: ["+s.public["appointments"]+"], events: ["+appointmentsEvents+"], slim: "+fmt.Sprint(slices.Contains(slim, "appointments"))+"}\n"+
		"    escrow: {keys: ["+s.public["escrow"]+"], events: [all]}\n")
}

func (s *sealing) consumes(name string, files ...string) {
	s.Helper()
	s.configure(name, importing+"trust: {keys: ["+s.signed+"]"+fmt.Sprint(", from: ", s.from)+"}\nopen: {keys: ["+strings.Join(files, ", ")+"]}\n")
}

// stored returns every file on the store, by name.
func (s *sealing) stored() map[string][]byte {
	s.Helper()
	files := map[string][]byte{}
	place := s.place.Open(s)
	get := func(name string) {
		file, err := place.Get(s.Context(), name)
		if err != nil {
			s.Fatal(err)
		}
		defer file.Close()
		if files[name], err = io.ReadAll(file); err != nil {
			s.Fatal(err)
		}
	}
	begins, err := exchange.NewReader(place).Begins(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for entry, err := range exchange.NewReader(place).Entries(s.Context(), begins, -1) {
		if err != nil {
			s.Fatal(err)
		}
		get(schemas.ManifestName(entry.Manifest.Batch, 0))
		for _, p := range entry.Manifest.Parts {
			get(p.Name)
		}
	}
	return files
}

// The day as ever, sealed: each consumer gets what it is to get, nobody else can open it, and every command works.
func TestASealedDay(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.twoDays()
	s.do("export", "--snapshot")
	s.do("import", "morgue")
	s.do("import", "appointments")
	s.do("reconcile")
	s.do("verify")
	s.says(s.do("status"), "opens with 1 key", "opens batch 3, the newest")
	s.do("rerun", "export", "--batch", "1..3", "--dry-run")
	s.do("rerun", "import", "morgue", "--batch", "1..2", "--reapply", "--reason", "again")
	s.do("trace", patient(0).String())
	gp := s.partner("gp", gpCSV)
	gp.configureAs("service: patients\n", gpCSV)
	s.do("migrate", "gp")
	s.do("deliver", "gp")
	if len(gp.files()) == 0 {
		t.Error("nothing was delivered")
	}
	s.exec("patients", `UPDATE patients.outbox SET family_name = 'Corrected' WHERE event = 'died' AND position = (SELECT min(position) FROM patients.outbox WHERE event = 'died')`)
	s.do("rerun", "export", "--batch", "1..3", "--correct", "--reason", "a name")
	s.do("import", "morgue")
	s.do("verify")

	parts := 0
	for name, data := range s.stored() {
		if !strings.HasPrefix(name, "parts/") {
			continue
		}
		parts++
		if !strings.HasSuffix(name, ".parquet.age") || !bytes.HasPrefix(data, []byte("age-encryption.org/v1\n")) {
			t.Errorf("%s is not sealed", name)
		}
	}
	if parts < 4 {
		t.Errorf("only %d parts", parts)
	}
	s.opensExactly()

	first, err := exchange.NewReader(s.place.Open(t)).Open(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.exec("patients", `UPDATE patients.outbox o SET family_name = p.family_name FROM patients.patient p WHERE p.id = o.patient_id AND o.family_name = 'Corrected'`)
	s.do("export", "--snapshot")
	s.do("import", "morgue")
	s.do("import", "appointments")
	s.do("deliver", "gp")
	s.do("prune", "--keep", "0")
	for _, p := range first.Manifest.Parts {
		if file, err := s.place.Open(t).Get(t.Context(), p.Name); !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("%s is not pruned: %v, %v", p.Name, file, err)
		}
	}
	s.do("verify")
}

// opensExactly checks that each key opens the parts of the readers that their manifest names, and no others, and that
// these are the readers of all of its event types.
func (s *sealing) opensExactly() {
	s.Helper()
	files := s.stored()
	may := map[string]string{"morgue": morgueEvents + ", erased", "appointments": appointmentsEvents + ", erased"}
	for entry, err := range exchange.NewReader(s.place.Open(s)).Entries(s.Context(), 0, -1) {
		if err != nil {
			s.Fatal(err)
		}
		for _, p := range entry.Manifest.Parts {
			for name, file := range s.opens {
				keys, err := seal.ReadKeys([]string{file})
				if err != nil {
					s.Fatal(err)
				}
				if name != "secret" && p.Slim() != (name == "appointments") {
					continue // a key for other columns, which the next test tries
				}
				want, known := name == "escrow" || name == "secret", 0
				for event := range p.Events {
					if want || strings.Contains(may[name], event) {
						known++
					}
				}
				if want = known > 0; want && known < len(p.Events) {
					s.Errorf("%s is to read some of %v, which share a part", name, p.Events)
				}
				_, _, err = keys.Open(bytes.NewReader(files[p.Name]), p.Bytes)
				if opened := err == nil; opened != want {
					s.Errorf("%s opens a part of %v for %v: %v, %v; want %v", name, p.Events, p.Seal.Readers, opened, err, want)
				}
			}
		}
	}
}

// No byte on the store, below its root and in names, tells who the patients are. In an open one, statistics do.
func TestProofASealedStoreNamesNobody(t *testing.T) {
	t.Parallel()
	open, sealed := newSite(t), newSealing(t)
	for site, exposed := range map[*site]bool{open: true, sealed.site: false} {
		site.twoDays()
		site.do("export", "--snapshot")
		site.exchangeAll()
		found, err := audit.Secret(t.Context(), site.conn["patients"], site.exchange())
		if err != nil || found.Files < 10 || found.Words < 15 || len(found.Found) > 0 != exposed {
			t.Errorf("%d words in %d files: %v, %v", found.Words, found.Files, found.Found, err)
		}
	}
}

// A batch that an earlier run left, or whose part is lost, gets the same bytes, though the readers have changed since.
func TestASealedBatchIsWrittenAgainTheSame(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.firstDay()
	s.do("export")
	before := s.stored()
	var err error
	if s.public["morgue"], err = seal.New(filepath.Join(s.dir, "another.age"), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.seals("died")
	place := s.place.Open(t)
	for name := range before {
		if strings.HasPrefix(name, "parts/") {
			if err := place.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.do("rerun", "export", "--batch", "1", "--reason", "lost")
	for name, data := range s.stored() {
		if !bytes.Equal(before[name], data) {
			t.Errorf("%s differs", name)
		}
	}
	if err := os.Rename(s.opens["escrow"], s.opens["secret"]); err != nil {
		t.Fatal(err)
	}
	s.fails(2, []string{"seal.secret_file does not hold"}, "rerun", "export", "--batch", "1", "--dry-run")
}

// Who is not named for what it subscribes to gets an error that says so, before anything is loaded; once it is, it starts from a snapshot.
func TestAReaderThatIsNotNamed(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.seals("died, merged")
	s.twoDaysUnread()
	s.fails(2, []string{"sealed to other keys", "export --snapshot", "import morgue --resync N@HASH --reason TEXT"}, "import", "morgue")
	s.says(s.run(nil, "status", "morgue").stdout, "can't open batch 2: it is sealed to other keys")
	s.configure("morgue", importing+"trust: {keys: ["+s.signed+"]}\n")
	s.fails(2, []string{"sealed to other keys"}, "import", "morgue")
	s.consumes("morgue", s.opens["escrow"])
	s.do("import", "morgue", "--dry-run")
	s.consumes("morgue", s.opens["morgue"])
	s.seals(morgueEvents)
	s.do("export", "--snapshot")
	snapshot, err := exchange.NewReader(s.place.Open(t)).Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.do("import", "morgue", "--resync", fmt.Sprintf("%d@%s", snapshot.Manifest.Batch, snapshot.Hash[:8]), "--brake", "100", "--reason", "it is named now")
	s.do("import", "appointments")
	s.do("reconcile")
}

// twoDaysUnread is two days of which only appointments is imported.
func (s *sealing) twoDaysUnread() {
	s.Helper()
	s.firstDay()
	s.do("export")
	s.secondDay()
	s.do("export")
	s.do("import", "appointments")
}

// What stops being sealed stops: at the producer before anything is written, at consumers before anything is fetched.
func TestAnOpenPartInASealedLog(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.configure("patients", exporting+"sign: {keys: ["+s.signs+"]}\n")
	s.fails(2, []string{"do not say seal"}, "export")
	s.exec("patients", `UPDATE exporter.plan SET seal = NULL`)
	s.do("export")
	s.fails(3, []string{"a part is not sealed, and earlier ones were", "open.from to 3"}, "import", "morgue")
	s.configure("morgue", importing+"trust: {keys: ["+s.signed+"]}\n")
	s.fails(3, []string{"a part is not sealed"}, "import", "morgue")
	s.configure("morgue", importing+"trust: {keys: ["+s.signed+"]}\nopen: {keys: ["+s.opens["morgue"]+"], from: 3}\n")
	s.do("import", "morgue")
}

// A consumer may have its key long before the producer seals. In one run it loads open batches and sealed ones, and refuses what lies
// open after these.
func TestSealingBeginsAfterItsReadersHaveKeys(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.configure("patients", exporting+"sign: {keys: ["+s.signs+"]}\n")
	s.firstDay()
	s.exchangeAll()
	s.die(3)
	s.do("export")
	s.seals(morgueEvents)
	s.die(4)
	s.do("export")
	s.exec("patients", `UPDATE exporter.plan SET seal = NULL`)
	s.configure("patients", exporting+"sign: {keys: ["+s.signs+"]}\n")
	s.die(5)
	s.do("export")
	s.fails(3, []string{"a part is not sealed", "batch 4"}, "import", "morgue")
	if got := s.one("morgue", `SELECT batch || ' ' || sealed FROM morgue.checkpoint`); got != "3 true" {
		t.Errorf("the checkpoint is %s", got)
	}
	s.do("rerun", "import", "morgue", "--batch", "1..2", "--dry-run")
}
