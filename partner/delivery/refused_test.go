package delivery_test

import (
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/partner/delivery"
)

const latin = csv + "charset: windows-1252\n"

// named is a patient's state with a name.
func named(s logtest.State, family string) logtest.State {
	s.Family = family
	return s
}

// refused runs a delivery that is held, and returns the error.
func (s *site) refused() string {
	s.Helper()
	s.follow()
	summary, err := s.delivery().Run(s.Context())
	if fault.ClassOf(err) != fault.Held || len(summary.Files) > 0 {
		s.Fatalf("with a value that can't be written: %+v, %v", summary, err)
	}
	return err.Error()
}

// only runs a delivery that writes one file, and returns it.
func (s *site) only() (text string, f delivery.FileSummary) {
	s.Helper()
	s.follow()
	summary, err := s.delivery().Run(s.Context())
	if err != nil || len(summary.Files) != 1 || summary.Waiting != 0 {
		s.Fatalf("%+v, %v", summary, err)
	}
	f = summary.Files[0]
	return s.files()[f.Name], f
}

// What is held is held since it was first found.
func TestADeliveryIsHeldSinceTheFirstRun(t *testing.T) {
	s := newSite(t, latin)
	s.tell(named(dead(1, 2), "Ł"))
	s.refused()
	held, err := s.delivery().ReadStatus(t.Context())
	s.refused()
	again, err2 := s.delivery().ReadStatus(t.Context())
	if err != nil || err2 != nil || held.Since == nil || again.Since == nil || !again.Since.Equal(*held.Since) {
		t.Errorf("held since %v, then %v (%v, %v)", held.Since, again.Since, err, err2)
	}
}

// A correction at the source is a later event. It must get past the event that it corrects: also if it is not in
// the same file, if it is about a survivor, or about a death, which stays a death.
func TestACorrectionFreesTheQueue(t *testing.T) {
	merged := logtest.State{Event: "merged", Patient: logtest.Patient(2), Version: 2, MergedInto: logtest.Patient(1)}
	survivors := strings.NewReplacer("{name: INTO, field: merged_into}", "{name: INTO, field: retired}", "  last:", "  merges: survivor\n  last:").Replace(latin)
	for name, c := range map[string]struct {
		settings      string
		bad           []logtest.State
		correct, want string
		restated      int64
	}{
		"in the file":     {latin, []logtest.State{named(alive(1, 1), "Ł"), named(dead(1, 2), "Ł")}, "L", "registered;" + id(1) + ";0;;L;\ndied;" + id(1) + ";1;20.11.2026;L;\nupdated;" + id(1) + ";1;20.11.2026;L;\n", 2},
		"beyond the file": {latin + "max_rows: 2\n", []logtest.State{named(dead(1, 2), "Ł"), alive(3, 1)}, "L", "died;" + id(1) + ";1;20.11.2026;L;\nregistered;" + id(3) + ";0;;Family 3;\n", 1},
		"states":          {latin + "send: states\n", []logtest.State{named(dead(1, 2), "Ł")}, "L", "updated;" + id(1) + ";1;20.11.2026;L;\n", 0},
		"a survivor":      {survivors + "max_rows: 1\nevents: [merged, updated]\n", []logtest.State{named(dead(1, 2), "Ł"), merged}, "L", "merged;" + id(1) + ";1;20.11.2026;L;" + id(2) + "\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c.settings)
			s.tell(c.bad...)
			if name != "a survivor" { // the partner does not get the survivor's own event
				s.refused()
			}
			last := named(dead(1, 3), c.correct)
			last.Event = "updated"
			s.tell(last)
			s.follow()
			summary, err := s.delivery().Run(t.Context())
			if err != nil || summary.Waiting > 0 {
				t.Fatalf("%+v, %v", summary, err)
			}
			first := summary.Files[0]
			if got := s.files()[first.Name]; !strings.Contains(got, "\n"+c.want+"T;") || first.Restated != c.restated {
				t.Errorf("the file is\n%swant\n%s(%+v)", got, c.want, first)
			}
			before := s.files()
			if _, err := s.delivery().Resend(t.Context(), first.Number); err != nil {
				t.Errorf("sent again: %v", err)
			}
			s.same(s.files(), before)
		})
	}
}

// A person can leave out events that were refused, with a reason, and no other events.
func TestAPersonLeavesAnEventOut(t *testing.T) {
	s := newSite(t, latin)
	s.tell(alive(1, 1), named(alive(2, 1), "☃"), alive(3, 1), named(alive(4, 1), "☃"))
	if got := s.refused(); !strings.Contains(got, "event 2, patient "+id(2)+" version 1: family_name: has a character") || strings.Contains(got, "☃") {
		t.Errorf("it is held with %s", got)
	}
	skip := func(positions ...int64) error {
		return s.delivery().Skip(t.Context(), positions, "they left the country", "kim")
	}
	if err := skip(2, 3); fault.ClassOf(err) != fault.Usage {
		t.Errorf("an event that can be written is left out: %v", err)
	}
	if err := skip(2); err != nil {
		t.Fatal(err)
	}
	s.refused()
	if err := skip(4); err != nil {
		t.Fatal(err)
	}
	text, f := s.only()
	if f.Skipped != 2 || f.Rows != 2 || strings.Contains(text, id(2)) || !strings.Contains(text, id(3)) {
		t.Errorf("%+v\n%s", f, text)
	}
	if err := skip(2); fault.ClassOf(err) != fault.Usage {
		t.Errorf("of an event that was left out before: %v", err)
	}
	var decisions string
	if err := s.conn.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', kind, subject, reason, person), ', ' ORDER BY id) FROM delivery_gp.decision`).Scan(&decisions); err != nil ||
		decisions != "skip event 2 they left the country kim, skip event 4 they left the country kim" {
		t.Errorf("decided: %s (%v)", decisions, err)
	}
	if _, err := s.delivery().Resend(t.Context(), f.Number); err != nil {
		t.Errorf("sent again: %v", err)
	}
	// The patient is not left out for ever.
	s.tell(named(dead(2, 2), "Snow"))
	if text, _ := s.only(); !strings.Contains(text, "died;"+id(2)+";1;20.11.2026;Snow;") {
		t.Errorf("later:\n%s", text)
	}
}

func TestValuesAreLeftBlank(t *testing.T) {
	s := newSite(t, latin+"unwritable: blank\n")
	s.tell(named(dead(1, 1), "☃"), alive(2, 1))
	text, f := s.only()
	if f.Blank != 1 || f.Rows != 2 || !strings.Contains(text, "died;"+id(1)+";1;20.11.2026;;\n") {
		t.Errorf("%+v\n%s", f, text)
	}
}

// A value that a record needs is not left blank: a death would be lost.
func TestADeathIsNotLeftBlank(t *testing.T) {
	s := newSite(t, strings.Replace(csv, `{"yes": "1", "no": "0"}`, `{"no": "0"}`, 1)+"unwritable: blank\n")
	s.tell(dead(1, 1))
	if got := s.refused(); !strings.Contains(got, "dead: a value is not in the column's map") {
		t.Error(got)
	}
}

// Only events for the partner are counted, not everything in the queue: neither what was known at the start nor an
// erasure.
func TestQueuedAndWaiting(t *testing.T) {
	s := newSite(t, csv+"start: now\nmax_rows: 1\n")
	found := dead(1, 1)
	found.Baseline = true
	s.Snapshot(1, found)
	s.tell(alive(2, 1), alive(4, 1), alive(3, 1), logtest.State{Event: "erased", Patient: logtest.Patient(3), Version: 2})
	s.follow()
	if n, err := s.delivery().Queued(t.Context(), []int64{0, 1, 2}); err != nil || n != 2 {
		t.Errorf("queued %d (%v), want 2", n, err)
	}
	summary, err := s.delivery().Preview(t.Context(), func(string, []byte) error { return nil })
	if err != nil || summary.Waiting != 2 || summary.Files[0].Rows != 1 {
		t.Errorf("%+v, %v", summary, err)
	}
}

// What a partner may not see is in no file: not of the event, nor of a later one that lends it its name.
func TestALentNameLendsNothingElse(t *testing.T) {
	for format, c := range map[string]struct{ settings, bad string }{
		"hl7":  {"charset: windows-1252\n", "Ł"},
		"fhir": {"", "\x01"},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "format: "+format+"\nname: 'P{sequence}'\nallow: [family_name]\n"+c.settings)
			private := func(state logtest.State, family string) logtest.State {
				state.Family, state.Given, state.BirthDate = family, "Secret", "1951-09-09"
				return state
			}
			s.tell(private(dead(1, 1), c.bad))
			s.refused()
			s.tell(private(dead(1, 2), "Lot"))
			text, f := s.only()
			if f.Restated != 1 || strings.Count(text, "Lot") != 2 || strings.Contains(text, "Secret") || strings.Contains(text, "1951") {
				t.Errorf("%+v\n%s", f, strings.ReplaceAll(text, "\r", "\n"))
			}
		})
	}
}
