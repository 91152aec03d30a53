package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// majorRelease is the real program with a second contract, which renames a column, and with a morgue that is written for
// it.
var majorRelease = sync.OnceValue(func() string {
	const apply, cases = "importer/morgue/prepare.sql", "importer/morgue/migrations/00002_cases.sql"
	return release("major", map[string]string{
		"schemas/patient-events-2.odcs.yaml": edited("schemas/patient-events.odcs.yaml", map[string]string{
			"\nname: patient-events\nversion: 1.0.0\n": "\nname: patient-events-2\nversion: 2.0.0\n",
			"      - name: address_postcode\n":         "      - name: postcode\n        customProperties: [{property: outbox, value: address_postcode}]\n",
		}),
		apply: edited(apply, map[string]string{"p.address_postcode": "p.postcode", "f.address_postcode": "f.postcode"}),
		"importer/morgue/migrations/00099_postcode.sql": "-- +goose Up\nALTER TABLE patient ADD COLUMN IF NOT EXISTS address_postcode text;\nUPDATE patient SET postcode = address_postcode;\nALTER TABLE patient DROP COLUMN address_postcode;\n-- +goose StatementBegin\n" +
			between(edited(cases, map[string]string{
				"CREATE FUNCTION facts(r patient)": "CREATE OR REPLACE FUNCTION facts(r patient)", "r.address_postcode": "r.postcode",
			}), "CREATE OR REPLACE FUNCTION facts(r patient)", "-- +goose StatementEnd"),
	})
})

// between returns the text from one mark to the end of the next.
func between(text, from, to string) string {
	at := strings.Index(text, from)
	return text[at : at+strings.Index(text[at:], to)+len(to)+1]
}

// machine has the site run a program of its own, which the commands of a page replace by the one in waybill-2.0.
func (s *site) machine() {
	s.Helper()
	s.program = filepath.Join(s.dir, "bin/waybill")
	for to, from := range map[string]string{"bin": binary(), "waybill-2.0": majorRelease()} {
		if err := os.RemoveAll(filepath.Join(s.dir, to)); err != nil {
			s.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(s.dir, to), os.DirFS(filepath.Dir(from))); err != nil {
			s.Fatal(err)
		}
	}
}

// What docs/major.md says is done, in its order: one outbox fills two streams while morgue and appointments move, one after
// the other, with deaths, a retraction and an erasure in between. Judged by the source's own tables, nothing is lost or
// doubled, and nothing is done again.
func TestProofMovingToAMajorRevisionAsTheDocumentationSays(t *testing.T) {
	t.Parallel()
	const major = "../../docs/major.md"
	s := newSite(t)
	s.machine()
	s.admit(6)
	s.exec("patients", `UPDATE patients.patient SET address_postcode = 'code' || given_name`)
	for n := range 3 {
		s.die(n)
	}
	s.exec("patients", `UPDATE patients.patient SET death_earliest = '2001-01-01', death_latest = '2001-01-02', death_precision = 'day' WHERE id = $1`, patient(2))
	s.exchangeAll()
	s.secondDay()
	var notices string
	known := func() string {
		return s.one("morgue", `SELECT string_agg(n::text, ' ' ORDER BY n::text) FROM morgue.notice n`)
	}
	commands := 0
	for _, b := range blocks(s.read(major)) {
		if b.language == "yaml" {
			s.configure("patients", b.text)
			continue
		}
		for _, c := range b.commands() {
			commands++
			switch {
			case c.command == "waybill import morgue" && notices == "": // on a machine of its own
				s.machine()
			case strings.HasPrefix(c.command, "waybill retire"):
				s.appointmentsMove()
				s.firstFails()
			}
			s.demonstrate(major, c)
			switch c.command {
			case "waybill import morgue":
				if notices != "" && known() != notices {
					t.Errorf("moved, and known are\n%s\nwere\n%s", known(), notices)
				}
				notices = known()
			case "waybill migrate patients":
				s.fails(2, []string{"publishes patient-events as well", "export.streams"}, "export")
			}
		}
	}
	if commands != 9 {
		t.Errorf("did %d commands", commands)
	}
	s.die(9)
	s.do("export")
	s.do("import", "morgue")
	s.agrees()
	s.fails(2, []string{"retired with batch"}, "retire", "patient-events", "--reason", "again")
}

// appointmentsMove has both streams continue, while the morgue is on the second and appointments on the
// first; then appointments move.
func (s *site) appointmentsMove() {
	s.Helper()
	older := s.as(binary())
	s.admitOne(7)
	s.admitOne(8)
	s.admitOne(9)
	s.die(7)
	s.die(8)
	s.shell("waybill export")
	s.live(7)
	s.erase(8)
	s.shell("waybill export")
	s.shell("waybill import morgue")
	s.agrees()
	s.fails(6, []string{"appointments@east", "--leave-behind"}, "retire", "patient-events", "--reason", "too early")
	older.do("import", "appointments")
	effects := s.one("appointments", `SELECT count(*)::text FROM appointments.effect_log`)
	s.shell("waybill migrate appointments")
	s.says(s.shell("waybill status appointments"), "patient-events, which this release no longer follows")
	s.exec("appointments", `UPDATE appointments.checkpoint SET batch = batch - 3`)
	s.fails(2, []string{"continues patient-events after batch 2, and only 1 was applied", "--from-snapshot"}, "import", "appointments")
	s.exec("appointments", `UPDATE appointments.checkpoint SET batch = batch + 3`)
	s.says(s.shell("waybill import appointments"), "snapshot")
	if now := s.one("appointments", `SELECT count(*)::text FROM appointments.effect_log`); now != effects {
		s.Errorf("appointments moved and had effects: %s, and %s before", now, effects)
	}
	s.says(s.shell("waybill status patients"), "has moved to patient-events-2")
}

// firstFails has the first stream's folder away while the second continues and is pruned: the outbox keeps what the first has
// not published.
func (s *site) firstFails() {
	s.Helper()
	folder := filepath.Join(s.exchange(), "patient-events")
	if err := os.Rename(folder, folder+"-away"); err != nil {
		s.Fatal(err)
	}
	for n := range 3 {
		s.exec("patients", `UPDATE patients.patient SET address_city = $2 WHERE id = $1`, patient(5), fmt.Sprint("City", n))
	}
	s.fails(3, []string{"was published and is not on the store"}, "export", "--snapshot")
	s.fails(2, []string{"no snapshot replaces"}, "prune", "--keep", "0", "--outbox-only")
	if err := os.Rename(folder+"-away", folder); err != nil {
		s.Fatal(err)
	}
	s.do("export")
	if got := s.one("patients", `SELECT events::text FROM exporter.plan WHERE stream = 'patient-events' ORDER BY batch DESC LIMIT 1`); got != "3" {
		s.Errorf("the first stream has %s of 3 events that the second had before", got)
	}
}

// agrees compares both streams with the outbox, and the services with the source's tables.
func (s *site) agrees() {
	s.Helper()
	s.says(s.do("reconcile", "patients", "morgue"), "no differences")
	const exported = `SELECT coalesce(sum(events), 0)::text FROM exporter.plan WHERE kind = 'changes' AND stream = '%s'`
	for stream, want := range map[string]string{
		"patient-events":   `SELECT count(*)::text FROM patients.outbox o, exporter.plan p WHERE pg_visible_in_snapshot(o.tx, p.cursor_after) AND p.batch = (SELECT max(batch) FROM exporter.plan WHERE stream = 'patient-events') AND p.stream = 'patient-events'`,
		"patient-events-2": `SELECT count(*)::text FROM patients.outbox o, exporter.plan p WHERE NOT pg_visible_in_snapshot(o.tx, p.cursor_after) AND p.batch = 0 AND p.stream = 'patient-events-2'`,
	} {
		s.says(s.do("reconcile", "patients", "--stream", stream), "no differences")
		if got, want := s.one("patients", fmt.Sprintf(exported, stream)), s.one("patients", want); got != want {
			s.Errorf("%s has %s events, and the outbox %s", stream, got, want)
		}
	}
	const dead = `SELECT string_agg(id::text, ' ' ORDER BY id) FROM patients.patient WHERE death_status IN ('formal', 'informal') AND id <> '%s'`
	historic := patient(2).String()
	if diff := cmp.Diff(s.one("patients", fmt.Sprintf(dead, historic)), s.one("morgue", `SELECT string_agg(patient_id::text, ' ' ORDER BY patient_id) FROM morgue.case_file WHERE state <> 'void' AND patient_id <> '`+historic+`'`)); diff != "" {
		s.Errorf("dead at the source, and with a case:\n%s", diff)
	}
	if got := s.remembers("morgue", "Given8"); got != nil {
		s.Errorf("the erased is still in %v", got)
	}
}
