package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/lab/servers/hosttest"
)

// partner is somebody who gets files from a site.
type partner struct {
	*site
	name  string
	place hosttest.Exchange
}

// partner makes a partner's file and tables, in the database of the morgue.
func (s *site) partner(name, deliver string) *partner {
	s.Helper()
	p := &partner{s, name, hosttest.New(s.TB)}
	p.configure(deliver)
	s.says(s.do("migrate", name), name+": tables are up to date")
	s.partners = append(s.partners, p)
	return p
}

// delivered are the files of all partners.
func (s *site) delivered() []map[string]string {
	s.Helper()
	var all []map[string]string
	for _, p := range s.partners {
		all = append(all, p.files())
	}
	return all
}

func (w *twins) partners() { w.both(func(s *site) { s.partner("gp", gpCSV) }) }

func (p *partner) configure(deliver string) {
	p.Helper()
	p.configureAs("service: morgue\n", deliver)
}

func (p *partner) configureAs(party, deliver string) {
	p.Helper()
	text := "partner: " + p.name + "\n" + party + p.place.Settings() + "deliver:\n"
	for line := range strings.Lines(deliver) {
		text += "  " + line
	}
	p.write(block{file: "partners/" + p.name + ".yaml", text: text})
}

// files returns the partner's folder: text by name.
func (p *partner) files() map[string]string {
	p.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(p.place.Path, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a bucket has no folders, and so none that are empty
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(p.place.Path, path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		p.Fatal(err)
	}
	return found
}

const gpCSV = `format: csv
allow: [family_name, given_name]
folder: IN
name: "P{sequence:4}.csv"
partial: .partial
trigger: {name: "{name}.done", content: "{rows} {sha256}"}
max_rows: 3
brake: 0
csv:
  last: "T,{rows}"
  columns: [{field: event}, {field: patient_id}, {field: dead}, {field: given_name}, {field: merged_into}]
`

func TestDeliveriesAtTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gp := s.partner("gp", gpCSV)
	s.firstDay()
	s.do("export")
	out := t.TempDir()
	s.says(s.do("deliver", "gp", "--dry-run", "--out", out), "queued 9 events of 2 batches", "dry run", "IN/P0001.csv")
	if len(gp.files()) != 0 {
		t.Errorf("a dry run wrote %v", gp.files())
	}
	shown, err := os.ReadFile(filepath.Join(out, "P0001.csv"))
	s.says(s.do("deliver", "gp"), "IN/P0001.csv", "IN/P0003.csv")
	files := gp.files()
	if err != nil || files["IN/P0001.csv"] != string(shown) || len(files) != 6 {
		t.Errorf("the dry run showed %q (%v), and there are %d files", shown, err, len(files))
	}
	s.says(files["IN/P0003.csv"], "died,"+patient(2).String()+",yes,Given2,\r\n", "T,3\r\n")
	s.says(s.do("status"), "gp            1/1", "last file IN/P0003.csv at ")
	s.says(s.do("deliver", "gp"), "nothing to deliver")
	if out := s.do("deliver", "gp", "--json"); !json.Valid([]byte(out)) {
		t.Errorf("JSON: %s", out)
	}
	s.do("deliver", "gp", "--resend", "1")
	if diff := cmp.Diff(files, gp.files()); diff != "" {
		t.Error(diff)
	}
	s.fails(2, []string{"no such file"}, "deliver", "gp", "--resend", "9")
	s.fails(2, []string{"partners/nobody.yaml"}, "deliver", "nobody")
	s.fails(2, []string{"--out is for --dry-run"}, "deliver", "gp", "--out", out)
	gp.configure(strings.Replace(gpCSV, "{field: event}", "{field: sex}", 1))
	s.fails(2, []string{"line ", "csv.columns.0.field", "sex is personal"}, "deliver", "gp")
}

// The brake is that of imports, and says how it is released.
func TestADeliveryIsHeld(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gp := s.partner("gp", strings.Replace(gpCSV, "brake: 0", "brake: 2", 1))
	s.firstDay()
	s.do("export")
	s.fails(6, []string{"held: 3 death", "waybill deliver gp --approve"}, "deliver", "gp")
	s.says(s.do("deliver", "gp", "--approve", "1", "--reason", "an accident"), "queued 9 events")
	if len(gp.files()) != 6 {
		t.Errorf("files: %v", gp.files())
	}
}

// An event that can't be written is named by a number, by which a person leaves it out with a reason.
func TestAnEventIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gp := s.partner("gp", strings.Replace(gpCSV, "{field: dead}", "{field: dead, map: {\"no\": \"0\"}}", 1))
	s.firstDay()
	s.do("export")
	s.fails(6, []string{"dead: a value is not in the column's map", "waybill deliver gp --skip "}, "deliver", "gp")
	s.fails(2, []string{"no reason given", "--reason TEXT"}, "deliver", "gp", "--skip", "1")
	s.fails(2, []string{"skip event 999", "does not keep the next file from being written"}, "deliver", "gp", "--skip", "999", "--reason", "x")
	skipped := 0
	for range 9 { // events
		_, number, held := strings.Cut(s.run(nil, "deliver", "gp").stderr, "--skip ")
		if !held {
			break
		}
		number, _, _ = strings.Cut(number, " ")
		s.run(nil, "deliver", "gp", "--skip", number, "--reason", "they report deaths by telephone")
		skipped++
	}
	if skipped != 3 || !strings.Contains(fmt.Sprint(gp.files()), "registered,") || strings.Contains(fmt.Sprint(gp.files()), "died,") {
		t.Errorf("%d events were left out of %v", skipped, gp.files())
	}
}

// A delivery continues behind a batch that is damaged or gone by the command that its error names, as an import does.
func TestADeliveryContinuesBehindABatchThatIsGone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gp := s.partner("gp", gpCSV)
	s.firstDay()
	s.do("export")
	s.do("deliver", "gp")
	before := len(gp.files())
	s.secondDay()
	s.do("export", "--snapshot")
	s.damagePart(2)
	s.fails(3, []string{"damaged"}, "deliver", "gp")
	s.do("deliver", "gp", "--pass", "2", "--reason", "snapshot 3 has it")
	s.says(s.do("status"), "gp            3/3")
	after := len(gp.files())
	if after <= before {
		t.Errorf("%d files, and %d after the snapshot: nothing of the second day", before, after)
	}

	s.admitOne(7)
	s.do("export")
	s.do("export", "--snapshot")
	s.do("prune", "--keep", "0", "--leave-behind", "delivery_gp@east")
	next := "waybill deliver gp --from-snapshot 5@"
	s.fails(3, []string{"it was pruned", next}, "deliver", "gp")
	s.says(s.run(nil, "status").stdout, next)
	s.fails(2, []string{"no reason given"}, "deliver", "gp", "--from-snapshot", "5")
	s.do("deliver", "gp", "--from-snapshot", "5", "--reason", "was switched off")
	if got := gp.files(); len(got) <= after || !strings.Contains(fmt.Sprint(got), patient(7).String()) {
		t.Errorf("the patient of the pruned batch is in none of %v", got)
	}
}

// Of two errors, of the log and of the files, the graver one is the outcome, and both are reported.
func TestTheGraverErrorOfADeliveryIsItsOutcome(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.partner("gp", strings.Replace(gpCSV, "{field: dead}", "{field: dead, map: {\"no\": \"0\"}}", 1))
	s.firstDay()
	s.do("export")
	const held = "dead: a value is not in the column's map"
	s.fails(6, []string{held}, "deliver", "gp")
	s.exec("morgue", `UPDATE delivery_gp.checkpoint SET window_to = window_to - interval '1 year'`)
	s.fails(6, []string{held, "late: nothing since"}, "deliver", "gp") // a silence may end by itself
	s.secondDay()
	s.do("export")
	s.damagePart(2)
	s.fails(3, []string{held, "damaged"}, "deliver", "gp")
}

// A partner's file may name database and log by itself.
func TestAPartnerWithoutAService(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gp := &partner{s, "gp", hosttest.New(t)}
	log := strings.NewReplacer("store:", "log:", "store_password:", "log_password:").Replace(s.place.Settings())
	gp.configureAs("database: "+s.urls["morgue"]+"\n"+log+"zone: Europe/Berlin\n", gpCSV)
	s.do("migrate", "gp")
	s.firstDay()
	s.do("export")
	s.do("deliver", "gp")
	if len(gp.files()) != 6 {
		t.Errorf("files: %v", gp.files())
	}
}

// A delivery is killed (-9) between any two steps. The next run resumes, and the partner sees no difference.
func TestProofADeliveryKilledAnywhere(t *testing.T) {
	t.Parallel()
	calm := newSite(t)
	want := calm.partner("gp", gpCSV)
	live := func(s *site, deliver func()) {
		s.firstDay()
		s.do("export")
		deliver()
		s.secondDay()
		s.do("export")
		deliver()
		s.do("deliver", "gp")
	}
	live(calm, func() { calm.do("deliver", "gp") })
	for n := range 6 {
		point := fmt.Sprintf("deliver.%d", n+1)
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			gp := s.partner("gp", gpCSV)
			live(s, func() {
				if r := s.run([]string{"WAYBILL_KILL_AT=" + point}, "deliver", "gp"); r.signal != syscall.SIGKILL {
					t.Fatalf("not killed: exit %d\n%s", r.code, r.stderr)
				}
				s.awaitBackends()
				s.do("deliver", "gp")
			})
			if diff := cmp.Diff(want.files(), gp.files()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// deliveries tell partners of patients, some of whose values can't be written, and say nothing of
// them elsewhere: not in names, triggers, errors, logs or metrics.
func (w *witness) deliveries() {
	w.Helper()
	const settings = "format: fixed\nallow: [family_name, given_name, birth_date, address_line]\nidentifiers: [{authority: \"*\"}]\n" +
		"name: \"{sequence}_{yyyy}{mm}{dd}.txt\"\ntrigger: {name: \"{stem}.ctl\", content: \"{name} {rows} {sha256}\"}\nbrake: 0\ncharset: iso-8859-1\n" +
		"fixed: {columns: [{field: patient_id, width: 36}, {field: family_name, width: 4}, {field: given_name, width: 40}, {field: birth_date, width: 10}, {identifier: {authority: \"*\"}, width: 20}]}\n"
	gp := &partner{w.site, "gp", hosttest.New(w.TB)}
	configure := func(settings string) { gp.configureAs("service: appointments\n", settings) }
	configure(settings)
	w.do("migrate", "gp")
	w.watch(6, nil, "deliver", "gp")
	w.watch(6, nil, "deliver", "gp", "--json")
	w.watch(-1, nil, "status")
	willing := strings.NewReplacer("width: 4}", "width: 4, too_long: cut}", "width: 20}", "join: \" \", width: 200}", "charset:", "unencodable: replace\nreplacement: \"?\"\ncharset:").Replace(settings)
	configure(willing)
	w.watch(0, nil, "deliver", "gp", "--dry-run")
	w.watch(-1, []string{"WAYBILL_KILL_AT=deliver.3"}, "deliver", "gp")
	w.watch(0, nil, "deliver", "gp")
	w.watch(0, nil, "deliver", "gp", "--resend", "1", "--json")
	w.watch(2, nil, "deliver", w.name())
	configure(strings.Replace(willing, "width: 4,", "width: 5,", 1))
	w.watch(3, nil, "deliver", "gp", "--resend", "1")
	files := gp.files()
	if len(files) < 2 {
		w.Errorf("files: %v", sorted(files))
	}
	for name, text := range files {
		w.seen["the name of "+name] = name
		if strings.HasSuffix(name, ".ctl") {
			w.seen["the trigger "+name] = text
		}
	}
}
