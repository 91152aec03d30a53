package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/lab/servers/hosttest"
)

// sender is a partner who leaves files for a site.
type sender struct {
	*site
	name  string
	place hosttest.Exchange
}

// sender makes a partner's file, and the tables that intake needs.
func (s *site) sender(name, intake string) *sender {
	s.Helper()
	p := &sender{s, name, hosttest.New(s.TB)}
	if err := os.MkdirAll(p.place.Path, 0o755); err != nil {
		s.Fatal(err)
	}
	p.configure(intake)
	s.do("migrate", "patients")
	return p
}

func (p *sender) configure(intake string) { p.configureAs("service: patients\n", intake) }

func (p *sender) configureAs(party, intake string) {
	p.Helper()
	text := "partner: " + p.name + "\n" + party + p.place.Settings() + "intake:\n"
	for line := range strings.Lines(intake) {
		text += "  " + line
	}
	p.write(block{file: "partners/" + p.name + ".yaml", text: text})
}

// leave puts a file into the partner's folder.
func (p *sender) leave(name, content string) {
	p.Helper()
	path := filepath.Join(p.place.Path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		p.Fatal(err)
	}
}

// names are those of all files in the partner's folder.
func (p *sender) names() (names []string) {
	p.Helper()
	err := filepath.WalkDir(p.place.Path, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(p.place.Path, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		p.Fatal(err)
	}
	return names
}

const wardADT = `name: "ward_{sequence:4}.hl7"
ready: {trigger: "{name}.ok"}
format: {kind: hl7, hl7: {totals: strict}}
quarantine_records: 1
done: archive
errors: failed
acks: {folder: out, name: "{stem}.ack"}
report: {folder: out, name: "{stem}.txt"}
`

func TestACheckCallsNoFolderEmptyThatItCouldNotList(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ward := s.sender("ward", wardADT)
	s.says(s.do("partner", "check", "ward"), "the folder is empty")
	s.says(s.do("partner", "check", "ward", "--json"), `"files": []`)
	ward.configure(wardADT + "folder: nowhere\n")
	for _, flags := range [][]string{nil, {"--json"}} {
		r := s.run(nil, append([]string{"partner", "check", "ward"}, flags...)...)
		if r.code != 2 || strings.Contains(r.stdout, "empty") || strings.Contains(r.stdout, `"files"`) || !strings.Contains(r.stdout, "decisions") {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	}
}

// admission is an HL7 message about patient n, who is dead if so.
func admission(n int, family string, dead bool) string {
	death := ""
	if dead {
		death = "20260228|Y"
	}
	return fmt.Sprintf("MSH|^~\\&|WARD|EAST|WAYBILL|H|20260301120000||ADT^A08^ADT_A01|m%d|P|2.5\rEVN|A08|20260301120000\r"+
		"PID|1||%d^^^EAST^MR||%s^Otto||19400102|M%s%s\rPV1|1|N\r", n, n, family, strings.Repeat("|", 21), death)
}

func (p *sender) leaveBatch(number int, messages ...string) {
	p.Helper()
	name := fmt.Sprintf("ward_%04d.hl7", number)
	p.leave(name, fmt.Sprintf("BHS|^~\\&|WARD\r%sBTS|%d\r", strings.Join(messages, ""), len(messages)))
	p.leave(name+".ok", "")
}

func TestIntakeAtTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ward := s.sender("ward", wardADT)
	s.says(s.do("intake", "ward"), "nothing new")
	ward.leaveBatch(1, admission(1, "Keller", false), admission(2, "Lang", false))
	s.says(s.do("partner"), "ward", "intake", "patients")
	s.says(s.do("partner", "check", "ward"), "ward_0001.hl7  ", "ready", "of the first 2 records 2 can be taken")
	s.says(s.do("intake", "ward", "--dry-run"), "dry run", "m1", "inserted", "registered")
	if said := s.run(nil, "intake", "ward", "--dry-run").stderr; strings.Contains(said, "decided") {
		t.Errorf("a dry run says that it decided: %s", said)
	}
	s.says(s.do("intake", "ward"), "ward_0001.hl7  taken")
	if diff := cmp.Diff([]string{"archive/ward_0001.hl7", "archive/ward_0001.hl7.ok", "out/ward_0001.ack", "out/ward_0001.txt"}, ward.names()); diff != "" {
		t.Error(diff)
	}
	ward.leaveBatch(2, strings.Replace(admission(2, "Lang", true), "|m2|", "|m2b|", 1))
	s.says(s.do("intake", "ward"), "ward_0002.hl7  taken")
	s.do("export")
	s.do("import", "morgue")
	s.says(s.value("morgue", `SELECT string_agg(family_name, ' ') FROM morgue.case_file`), "Lang")
	ward.gapAndRefusal()
}

func (p *sender) gapAndRefusal() {
	p.Helper()
	p.leaveBatch(4, admission(3, "Moser", false))
	p.says(p.do("intake", "ward"), "ward_0004.hl7", "held", "number 3 is missing")
	p.fails(2, []string{"who decides and why"}, "intake", "ward", "--pass", "3")
	p.says(p.do("intake", "ward", "--pass", "3", "--reason", "lost at the ward"), "number 3 is skipped")
	p.says(p.do("intake", "ward"), "ward_0004.hl7  taken")

	bad := strings.Replace(admission(4, "Noll", false), "4^^^EAST^MR", "^^^EAST^MR", 1)
	p.leaveBatch(5, bad, strings.ReplaceAll(bad, "m4", "m5"))
	p.fails(3, []string{"2 of 2 records", "quarantine list ward"}, "intake", "ward")
	p.says(p.do("quarantine", "list", "ward"), "ward_0005.hl7  (all)", "2 of 2 records")
	p.do("quarantine", "discard", "ward", "1", "--reason", "sent by mistake")
	p.says(p.do("quarantine", "list", "ward"), "nothing is set aside")
	p.says(p.do("quarantine", "list", "ward", "--all"), "discarded by")
	p.leaveBatch(5, bad, admission(6, "Ott", false))
	p.says(p.do("intake", "ward"), "ward_0005.hl7  taken")
	p.says(p.do("quarantine", "show", "ward", "2"), "Noll")
	p.fails(3, []string{"can't be taken even now"}, "quarantine", "release", "ward", "2", "--reason", "again")
	p.fails(2, []string{"can only be tried"}, "intake", "ward", "x.hl7")
	p.fails(2, []string{"partners/nobody.yaml"}, "intake", "nobody")
}

func (s *site) value(service, query string) (value string) {
	s.Helper()
	if err := s.conn[service].QueryRow(s.Context(), query).Scan(&value); err != nil {
		s.Fatal(err)
	}
	return value
}

// taken is everything that intake has left in the database and in the folder, but times and surrogate ids.
func (p *sender) taken() (all []string) {
	p.Helper()
	for _, query := range []string{
		`SELECT concat_ws(' ', 'patient', id, family_name, death_status) FROM patients.patient`,
		`SELECT concat_ws(' ', 'event', patient_id, version, event) FROM patients.outbox`,
		`SELECT concat_ws(' ', 'file', name, ordinal, status, reason, counts, resent, moves_to, moved_at IS NOT NULL) FROM intake.file`,
		`SELECT concat_ws(' ', 'message', f.name, m.n, m.control, m.code, m.text) FROM intake.message m JOIN intake.file f ON f.id = m.file`,
		`SELECT concat_ws(' ', 'quarantine', f.name, q.line, q.control, q.reason, length(q.raw), q.status) FROM intake.quarantine q JOIN intake.file f ON f.id = q.file`,
		`SELECT concat_ws(' ', 'reply', r.name, r.written_at IS NOT NULL) FROM intake.reply r`,
		`SELECT concat_ws(' ', 'sighting', name, state, why) FROM intake.sighting`,
		`SELECT concat_ws(' ', 'partner', partner, next) FROM intake.partner`,
	} {
		rows, err := p.conn["patients"].Query(p.Context(), query)
		if err != nil {
			p.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			p.Fatal(err)
		}
		all = append(all, lines...)
	}
	all = append(all, p.names()...)
	slices.Sort(all)
	return all
}

// Kill -9 before and after every call of store and database; run again; nobody can tell: no record is
// lost or taken twice, nothing was moved before its commit, and what was not moved yet is moved then.
func TestProofIntakeKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	w := newTwins(t)
	calm, killed := w.calm.sender("ward", wardADT), w.killed.sender("ward", wardADT)
	step := sampled
	if os.Getenv(everyCall) != "" {
		step = 1
	}
	number, crashes := 1, 0
	for _, kind := range []string{"store", "db"} {
		for at := 1 + w.offset(step); ; at += step {
			for _, p := range []*sender{calm, killed} {
				bad := strings.Replace(admission(4*number, "Bad", false), "^^^EAST^MR", "^^^^MR^", 1)
				p.leaveBatch(number, admission(4*number+1, fmt.Sprint("A", number), false), bad, admission(4*number+2, fmt.Sprint("B", number), true))
				p.leaveBatch(number+1, admission(4*number+1, fmt.Sprint("A", number), false), admission(4*number+3, fmt.Sprint("A", number, "b"), false))
				p.leave("stray.hl7.ok", "")
			}
			number += 2
			marks := w.count(kind, []string{"intake", "ward"})
			point := fmt.Sprintf("%s:%d", kind, at)
			r := w.killed.run([]string{"WAYBILL_KILL_AT=" + point}, "intake", "ward")
			died := r.signal == syscall.SIGKILL
			if !died && at <= marks {
				t.Errorf("not killed at %s of %d: exit %d\n%s", point, marks, r.code, r.stderr)
			}
			if died {
				crashes++
				killed.unmovedBeforeCommit(number)
				w.killed.awaitBackends()
				w.killed.do("intake", "ward")
			}
			if diff := cmp.Diff(calm.taken(), killed.taken()); diff != "" {
				t.Fatalf("they differ after a crash at %s:\n%s", point, diff)
			}
			if !died {
				break
			}
		}
	}
	t.Logf("%d crashes", crashes)
}

// unmovedBeforeCommit looks at what a crash left: each file of which nothing is in the register is in
// its place, with its trigger.
func (p *sender) unmovedBeforeCommit(number int) {
	p.Helper()
	here := p.names()
	for n := 1; n < number; n++ {
		name := fmt.Sprintf("ward_%04d.hl7", n)
		known := p.value("patients", `SELECT count(*)::text FROM intake.file WHERE name = '`+name+`'`)
		if known == "0" && (!slices.Contains(here, name) || !slices.Contains(here, name+".ok")) {
			p.Errorf("%s was moved before its commit", name)
		}
	}
}

// The JSON output has the same content as the text.
func TestIntakeAsJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ward := s.sender("ward", wardADT)
	ward.leaveBatch(1, admission(1, "Keller", false))
	var trial, run struct {
		Files []struct {
			Name, Status string
			Counts       map[string]int64
			Records      []map[string]any
		}
	}
	for _, c := range []struct {
		into      any
		arguments []string
	}{{&trial, []string{"intake", "ward", "--dry-run", "--json"}}, {&run, []string{"intake", "ward", "--json"}}} {
		if err := json.Unmarshal(resultIn(s.do(c.arguments...)), c.into); err != nil {
			t.Fatal(err)
		}
	}
	if len(trial.Files) != 1 || len(trial.Files[0].Records) != 1 || len(run.Files) != 1 || run.Files[0].Counts["inserted"] != 1 {
		t.Errorf("%+v\n%+v", trial, run)
	}
}
