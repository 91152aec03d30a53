package importer_test

import (
	"fmt"
	"testing"

	"waybill/importer"
)

// An older release has loaded six patients without a column that it did not know. The second is at a later version by now,
// the third has another value, and the fourth was erased. The fifth was
// corrected, and the sixth is of a later generation. The same states again fill the first one's, and touch nothing else.
func TestAColumnThatCameLaterIsFilled(t *testing.T) {
	t.Parallel()
	const lacking = `
		UPDATE %[1]s SET given_name = NULL WHERE right(family_name, 1) IN ('1', '2', '5', '6');
		UPDATE %[1]s SET version = version + 1 WHERE right(family_name, 1) = '2';
		UPDATE %[1]s SET revision = revision + 1 WHERE right(family_name, 1) = '5';
		UPDATE %[1]s SET generation = generation + 1 WHERE right(family_name, 1) = '6';
		UPDATE %[1]s SET given_name = 'Other' WHERE right(family_name, 1) = '3';`
	for name, test := range map[string]struct {
		table, erase string
		prepare      func(s *site)
		want         string
	}{
		"a projection": {
			"morgue.patient", `UPDATE morgue.patient SET given_name = NULL, event = 'erased' WHERE right(family_name, 1) = '4'`,
			func(*site) {}, "1 2 Given, 2 3 -, 3 2 Other, 4 2 -, 5 2 -, 6 2 -",
		},
		"appended rows": {
			"journal.event", `INSERT INTO journal.erased SELECT patient_id, now() FROM journal.event WHERE right(family_name, 1) = '4';
			UPDATE journal.event SET given_name = NULL WHERE right(family_name, 1) = '4'`,
			(*site).journal, "1 2 Given, 2 2 Given, 2 3 -, 3 2 Other, 5 2 Given, 5 2 -, 6 2 Given, 6 2 -, erased 2 -", // the second one's version 2, too, is an event, and so on
		},
	} {
		for how, again := range map[string]func(s *site){
			"a re-run":   func(s *site) { s.rerun(importer.RerunOptions{Batches: span(1, 1), Reason: "a column came"}) },
			"a snapshot": func(s *site) { s.Snapshot(1, deaths(1, 6)...); s.load() },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s := newSite(t)
				test.prepare(s)
				s.Changes(deaths(1, 6)...)
				s.load()
				s.exec(fmt.Sprintf(lacking, test.table))
				s.exec(test.erase)
				again(s)
				got := s.value(`SELECT string_agg(coalesce(right(family_name, 1), 'erased') || ' ' || version || ' ' || coalesce(given_name, '-'), ', ' ORDER BY family_name, version, revision, generation) FROM ` + test.table)
				if got != test.want {
					t.Errorf("it has %s; want %s", got, test.want)
				}
			})
		}
	}
}

// A dry run counts what would be filled, and a second re-run fills nothing.
func TestADryRunForeseesWhatIsFilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.exec(`UPDATE morgue.patient SET given_name = NULL WHERE right(family_name, 1) = '1'`)
	for _, run := range []struct {
		options importer.RerunOptions
		want    string
	}{
		{importer.RerunOptions{DryRun: true}, "1: inserted 0, changed 1, unchanged 1, map[]"},
		{importer.RerunOptions{Reason: "a column came"}, "1: inserted 0, changed 1, unchanged 1, map[]"},
		{importer.RerunOptions{Reason: "once more"}, "1: inserted 0, changed 0, unchanged 2, map[]"},
	} {
		run.options.Batches = span(1, 1)
		if got := told(s.rerun(run.options)); got != run.want {
			t.Errorf("%+v: %s; want %s", run.options, got, run.want)
		}
	}
}

// What comes again with the same number as an erasure is not filled, but erased.
func TestAnErasureOfAKnownStateErases(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.Snapshot(1, erased(1, died(1).Version), died(2))
	s.load()
	if got := s.value(`SELECT string_agg(event || ' ' || coalesce(family_name, '-'), ', ' ORDER BY event) FROM morgue.patient`); got != "died Family2, erased -" {
		t.Errorf("it has %s", got)
	}
}
