package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const shownPartners = "../../deploy/partners"

var storeLine = regexp.MustCompile(`(?m)^store: .*\n(store_password_file: .*\n)?`)

// The partners' files that are shown are taken at their word: each has a small file of its kind gone
// through it, as it would from the partner's own store.
func TestShownPartnersTakeTheirSamples(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("migrate", "patients")
	for partner, want := range map[string]struct {
		runs   int // polls that it takes
		people string
		counts string // records, quarantined
	}{
		"adt_feed":      {1, "Brandt† 1939-04-12 female, Vogel 1939-04-12 female, Vogl 1939-04-12 female", "5 1"},
		"gp_csv":        {1, "Groß† 1933-12-24 female, Lang 2001 other, Müller 1951-11-03 male", "4 1"},
		"deaths_mesh":   {1, "JONES† 1945-01-01, SMITH† 1931-04-17", "2 0"},
		"mainframe":     {3, "Schröder† 1928-02-29 female, Yilmaz 1962-07-13 male", "3 1"},
		"nhs_extract":   {1, "Lièvre 1951-11-03 male, Okonjo† 1948-03-12 female, Reed† other", "5 2"},
		"insee_deaths":  {1, "BRÛLÉ JEANNE† female, D'ARCY† 1948 male, LEFÈVRE† 1933-04-12 female, PERRIN† male", "5 1"},
		"ije_mortality": {1, "Delgado-Sample† 1941-05-17 female, Sample† female, Voided 1950-01-02 female", "5 1"},
		"isik_fhir":     {1, "Kurz 1950-02-03 male, Mühlbach† 1938-07-04 female, Stein 1961 other", "4 1"},
	} {
		t.Run(partner, func(t *testing.T) {
			s := &site{TB: t, dir: s.dir, place: s.place, urls: s.urls, conn: s.conn}
			known := s.value("patients", peopleQuery)
			s.receive(partner)
			s.do("partner", "check", partner)
			for range want.runs {
				s.do("intake", partner)
				if want.runs > 1 {
					s.exec("patients", `UPDATE intake.sighting SET since = since - interval '11 minutes'`)
				}
			}
			if got := strings.TrimPrefix(s.value("patients", peopleQuery), known); strings.TrimPrefix(got, ", ") != want.people {
				t.Errorf("people: %s\nwant %s", got, want.people)
			}
			if got := s.value("patients", `SELECT concat_ws(' ', counts->>'records', counts->>'quarantined') FROM intake.file WHERE partner = '`+partner+`'`); got != want.counts {
				t.Errorf("records and quarantined: %s, want %s", got, want.counts)
			}
		})
	}
	names, err := filepath.Glob(filepath.Join(shownPartners, "*.yaml"))
	if err != nil || len(names) != 8 {
		t.Errorf("%q are shown: the test has eight (%v)", names, err)
	}
}

// peopleQuery lists everybody in the order in which they became known.
const peopleQuery = `SELECT coalesce(string_agg(concat_ws(' ', family_name || CASE WHEN death_status IN ('formal', 'informal') THEN '†' ELSE '' END, birth_date, sex),
	', ' ORDER BY (SELECT min(o.tx::text::bigint) FROM patients.outbox o WHERE o.patient_id = p.id), family_name), '') FROM patients.patient p`

// receive configures a partner that is shown, whose files lie in a folder here.
func (s *site) receive(partner string) {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(shownPartners, partner+".yaml"))
	if err != nil {
		s.Fatal(err)
	}
	folder := s.TempDir()
	s.write(block{file: "partners/" + partner + ".yaml", text: storeLine.ReplaceAllLiteralString(string(text), "store: "+folder+"\n")})
	samples := os.DirFS(filepath.Join(shownPartners, "samples", partner))
	if strings.Contains(string(text), "\n  folder: IN\n") {
		folder = filepath.Join(folder, "IN")
	}
	if err := os.CopyFS(folder, samples); err != nil {
		s.Fatal(err)
	}
}
