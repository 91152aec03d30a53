package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"waybill/lab/logtest"
)

// Each record of a person is found from any of them, with the record whose death counts: the last in the chain of those that act, or
// else of those that are historic.
func TestWhoIsOnePerson(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := func(n int) string { return logtest.Patient(n).String() }
	add := func(n, into int, state string) {
		s.exec(`INSERT INTO morgue.patient (patient_id, merged_into, generation, version, revision, baseline, event, recorded_at, death_no, death_status, identifiers)
			VALUES ($1, nullif($2, $3)::uuid, 1, 1, 0, false, 'registered', now(), 1, $4, '[]')`, id(n), id(into), id(0), map[string]string{"": "none", "v": "void", "i": "informal"}[strings.Trim(state, "hf")+map[bool]string{true: "i"}[strings.ContainsAny(state, "hf")]])
		if state == "h" {
			s.exec(`INSERT INTO morgue.notice VALUES ($1, 1, now(), true), ($1, 2, now(), false)`, id(n))
		}
	}
	for _, c := range []struct {
		name, want string
		chain      []string // of records, each merged into the next: "" alive, v void, f dead, h dead long ago
		into       int      // the record that the last is merged into; 0: none
	}{
		{"alive", "1 of 1", []string{""}, 0},
		{"dead", "1 of 1 dead by 1", []string{"f"}, 0},
		{"dead long ago", "1 of 1 dead by 1", []string{"h"}, 0},
		{"a death that was void", "1 of 1", []string{"v"}, 0},
		{"two who live", "1 of 2, 2 of 2", []string{"", ""}, 0},
		{"dead, into one who lives", "1 of 2 dead by 1, 2 of 2", []string{"f", ""}, 0},
		{"alive, into one who is dead", "1 of 2 dead by 2, 2 of 2 dead by 2", []string{"", "f"}, 0},
		{"both dead", "1 of 2 dead by 2, 2 of 2 dead by 2", []string{"f", "f"}, 0},
		{"one of three lives", "1 of 3 dead by 3, 2 of 3 dead by 3, 3 of 3 dead by 3", []string{"f", "", "f"}, 0},
		{"dead, into one dead long ago", "1 of 2 dead by 1, 2 of 2 dead by 2", []string{"f", "h"}, 0},
		{"dead long ago, into one dead", "1 of 2 dead by 2, 2 of 2 dead by 2", []string{"h", "f"}, 0},
		{"both dead long ago", "1 of 2 dead by 2, 2 of 2 dead by 2", []string{"h", "h"}, 0},
		{"into one who is unknown", "1 of 9 dead by 1, 2 of 9, 9 of 9", []string{"f", ""}, 9},
		{"a circle", "1 of 1 dead by 1, 2 of 2", []string{"f", ""}, 1},
		{"into itself", "1 of 1 dead by 1", []string{"f"}, 1},
		{"into a circle", "1 of 2 dead by 1, 2 of 2, 3 of 3", []string{"f", "", ""}, 2},
	} {
		s.exec(`DELETE FROM morgue.patient; DELETE FROM morgue.notice`)
		add(7, 0, "f") // others
		add(8, 7, "f")
		for i, state := range c.chain {
			into := i + 2
			if i == len(c.chain)-1 {
				into = c.into
			}
			add(i+1, into, state)
		}
		for n := range c.chain {
			var names []string
			for i := range 10 {
				names = append(names, fmt.Sprintf("('%s'::uuid, %d)", id(i), i))
			}
			got := s.value(`SELECT string_agg(concat(a.n, ' of ', b.n, ' dead by ' || c.n), ', ' ORDER BY a.n) FROM morgue.members_of(ARRAY['` + id(n+1) + `'::uuid]) AS m
				JOIN (VALUES ` + strings.Join(names, ", ") + `) AS a (id, n) ON a.id = m.patient_id JOIN (VALUES ` + strings.Join(names, ", ") + `) AS b (id, n) ON b.id = m.person
				LEFT JOIN (VALUES ` + strings.Join(names, ", ") + `) AS c (id, n) ON c.id = m.death_of`)
			if got != c.want {
				t.Errorf("%s, from %d: %s; want %s", c.name, n+1, got, c.want)
			}
		}
	}
}

// Only the importer's own role writes as the importer, and nobody signs as it.
func TestWhoWritesAsTheImporter(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	applying := func() string { return s.value(`SELECT morgue.applying()`) }
	for setting, want := range map[string]string{"": "false", "off": "false", "on": "true"} {
		s.exec(`SELECT set_config('waybill.applying', $1, false)`, setting)
		if got := applying(); got != want {
			t.Errorf("waybill.applying = %q: %s", setting, got)
		}
	}
	s.connect(s.as("desk"))
	s.exec(`SELECT set_config('waybill.applying', 'on', false)`)
	if got := applying(); got != "true" {
		t.Errorf("a role with all rights: %s", got)
	}
	s.exec(`SET ROLE service; REVOKE UPDATE ON morgue.checkpoint FROM service; GRANT USAGE ON SCHEMA morgue TO PUBLIC; RESET ROLE`)
	if got := applying(); got != "false" {
		t.Errorf("a role that may not move the checkpoint: %s", got)
	}
	for name, want := range map[string]string{"'kim'": "kim", "'waybill'": "desk", "NULL": "desk"} {
		if got := s.value(`SELECT morgue.signed(` + name + `)`); got != want {
			t.Errorf("%s signs as %s, want %s", name, got, want)
		}
	}
}
