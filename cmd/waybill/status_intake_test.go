package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// `status` reports every intake that is stuck, and why.
func TestStatusOfAnIntake(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	ward := s.sender("ward", wardADT)
	s.says(s.do("status"), "ward", "new", "run `waybill intake ward`")
	ward.leaveBatch(1, admission(1, "Keller", false))
	s.do("intake", "ward")
	if out := s.do("status", "ward"); !strings.Contains(out, "ok     last file at") || strings.Contains(out, "wait") {
		t.Errorf("all is well, and status says\n%s", out)
	}
	s.exec("patients", `UPDATE intake.last_run SET ended_at = ended_at - interval '2 hours'`)
	ward.stuck(5, "late", "no intake has run for 2h00m", "schedule of `waybill intake ward`", "since")

	ward.leaveBatch(3, admission(2, "Lang", false))
	s.do("intake", "ward")
	s.says(s.do("status", "ward"), "1 file waits, the first since", "number 2 is missing")
	s.exec("patients", `UPDATE intake.sighting SET first_seen = first_seen - interval '2 hours'`)
	ward.stuck(5, "late", "1 file waits", "number 2 is missing", "ask the partner")
	s.fails(5, nil, "intake", "ward")
	s.do("intake", "ward", "--pass", "2", "--reason", "lost")
	s.do("intake", "ward")
	s.says(s.do("status", "ward"), "1 number never came, the first is 2")
	ward.refused()
	ward.held()
	ward.unreachable()
}

// held leaves files that the brake holds. One that the partner has taken back waits for nobody.
func (p *sender) held() {
	p.Helper()
	p.configure(wardADT + "brake: 1\n")
	p.leaveBatch(5, admission(7, "Paul", true), admission(8, "Quast", true))
	p.fails(6, nil, "intake", "ward")
	p.stuck(6, "held", "ward_0005.hl7", "2 died", "waybill intake ward --approve ward_0005.hl7@", "since")
	if err := os.Remove(filepath.Join(p.place.Path, "ward_0005.hl7")); err != nil {
		p.Fatal(err)
	}
	p.do("intake", "ward")
	if out := p.do("status", "ward"); strings.Contains(out, "held") {
		p.Errorf("the held file is gone, and status says\n%s", out)
	}
	p.leaveBatch(5, admission(7, "Paul", true), admission(8, "Quast", true))
	p.fails(6, nil, "intake", "ward")
	approve := regexp.MustCompile(`--approve (\S+)`).FindStringSubmatch(p.run(nil, "status", "ward").stdout)
	if approve == nil {
		p.Fatal("status names no approval")
	}
	p.do("intake", "ward", "--approve", approve[1], "--reason", "asked the ward")
	p.says(p.do("status", "ward"), "ok")
}

func (p *sender) stuck(code int, says ...string) {
	p.Helper()
	p.says(p.run(nil, "status", "ward").stdout, says...)
	p.fails(code, []string{"status of ward"}, "status")
}

// refused leaves a file that can't be taken: a later run has nothing to do, and a person still has.
func (p *sender) refused() {
	p.Helper()
	bad := strings.Replace(admission(4, "Noll", false), "4^^^EAST^MR", "^^^EAST^MR", 1)
	p.leaveBatch(4, bad, strings.ReplaceAll(bad, "m4", "m5"))
	p.fails(3, nil, "intake", "ward")
	p.stuck(3, "broken", "1 file was refused", "2 of 2 records", "quarantine list ward")
	p.do("intake", "ward")
	p.stuck(3, "broken", "1 file was refused", "quarantine list ward")
	p.do("quarantine", "discard", "ward", "1", "--reason", "sent by mistake")
	p.leaveBatch(4, admission(6, "Ott", false), bad)
	p.do("intake", "ward")
	p.says(p.do("status", "ward"), "ok", "1 record in quarantine")
}

// unreachable takes the folder away: what the run met is shown, with what to do and since when.
func (p *sender) unreachable() {
	p.Helper()
	if err := os.Rename(p.place.Path, p.place.Path+".aside"); err != nil {
		p.Fatal(err)
	}
	r := p.run(nil, "intake", "ward")
	p.stuck(r.code, "the last intake of ward on", "mount or create", "since")
	if err := os.Rename(p.place.Path+".aside", p.place.Path); err != nil {
		p.Fatal(err)
	}
	p.do("intake", "ward")
	p.says(p.do("status", "ward"), "ok")
}
