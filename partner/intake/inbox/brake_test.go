package inbox_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/partner/intake/inbox"
)

// heldName returns the file that a run's error holds, in the form for --approve.
func (d *desk) heldName() string {
	d.Helper()
	_, err := d.run()
	if fault.ClassOf(err) != fault.Held {
		d.Fatalf("%v (%s), want it held", err, fault.ClassOf(err))
	}
	return regexp.MustCompile(`--approve (\S+)`).FindStringSubmatch(fault.HintOf(err))[1]
}

func (d *desk) approve(file string) error {
	return d.inbox().Approve(d.Context(), file, inbox.Decision{Person: "anna", Reason: "asked the practice"})
}

func TestTheBrakeHoldsAFileWithItsBytes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"brake: 2\n")
	dead := func(n int) (messages []string) {
		for i := range n {
			messages = append(messages, adt(fmt.Sprint(n, "-", i), fmt.Sprint(i+1), fmt.Sprintf("Family%d", i), "20260228"))
		}
		return messages
	}
	d.leave("a.hl7", batch(dead(3)...))
	d.fails("a.hl7 held", fault.Held, "held: 3 died, and the brake is at 2")
	if got := d.people(); got != "" {
		t.Errorf("of a held file were taken: %s", got)
	}
	seen := d.heldName()
	if s, err := d.inbox().Try(t.Context(), ""); err != nil || len(s.Files) != 1 || s.Files[0].Effects["died"] != 3 || !strings.Contains(strings.Join(s.Files[0].Warnings, " "), "3 died") {
		t.Errorf("dry run: %+v %v", s, err)
	}
	if f, err := d.inbox().Check(t.Context()); err != nil || f.Files[0].State != "held" || !strings.Contains(f.Files[0].Why, "3 died") {
		t.Errorf("check: %+v %v", f.Files, err)
	}
	for what, as := range map[string]string{"another hash": "a.hl7@00000000", "seven digits of it": seen[:len("a.hl7@")+7], "no digits": "a.hl7@", "its name": "a.hl7", "another name": strings.Replace(seen, "a.", "b.", 1)} {
		if err := d.approve(as); fault.ClassOf(err) != fault.Usage {
			t.Errorf("approved by %s: %v", what, err)
		}
	}
	// The file is no longer the one that was seen.
	if err := d.approve(seen); err != nil {
		t.Fatal(err)
	}
	d.replace("a.hl7", batch(dead(4)...))
	d.fails("a.hl7 held", fault.Held, "held: 4 died")
	if err := d.approve(seen); fault.ClassOf(err) != fault.Usage {
		t.Errorf("approved what is not there any more: %v", err)
	}
	if err := d.approve(d.heldName()); err != nil {
		t.Fatal(err)
	}
	d.does("a.hl7 taken")
	d.want(`SELECT count(*)::text FROM intake.held`, "0")
	d.want(`SELECT count(*)::text FROM patients.patient WHERE death_status = 'informal'`, "4")
	d.want(`SELECT string_agg(kind || ' ' || subject || ' ' || person, ', ') FROM intake.decision`, "approve gp: file a.hl7 anna, approve gp: file a.hl7 anna")
	// Known deaths do not count towards the file's brake.
	d.leave("b.hl7", batch(append(dead(5)[:4], adt("last", "9", "Alive", ""))...))
	d.does("b.hl7 taken")
}

// A held file stays held while it would change anybody, also if it is below the brake by then, and no longer.
func TestAHeldFileThatChangesNobodyIsTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"brake: 2\n")
	dead := func(file string, n int) string { return adt(file+fmt.Sprint(n), fmt.Sprint(n), "A", "20260228") }
	d.leave("a.hl7", batch(dead("a", 1), dead("a", 2), dead("a", 3)))
	d.fails("a.hl7 held", fault.Held, "held: 3 died")
	d.leave("b.hl7", batch(dead("b", 1), dead("b", 2)))
	d.fails("b.hl7 taken, a.hl7 held", fault.Held, "held: 3 died")
	d.fails("a.hl7 held", fault.Held, "held: 1 died, and the brake is at 2")
	d.leave("c.hl7", batch(dead("c", 3)))
	d.fails("c.hl7 taken, a.hl7 held", fault.Held, "held: 1 died")
	d.does("a.hl7 taken")
}

// A faulty feed may come in many small files.
func TestTheBrakeCountsTheFilesOfARunTogether(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"brake: 2\n")
	for n, died := range []string{"20260228", "20260228", "", "20260228", ""} {
		d.leave(fmt.Sprint(n, ".hl7"), batch(adt(fmt.Sprint(n), fmt.Sprint(n+1), "A", died)))
	}
	d.fails("0.hl7 taken, 1.hl7 taken, 2.hl7 taken, 4.hl7 taken, 3.hl7 held", fault.Held, "held: 1 died (3 of a kind with this run's earlier files), and the brake is at 2")
	if err := d.approve(d.heldName()); err != nil {
		t.Fatal(err)
	}
	d.does("3.hl7 taken")
}

func TestTheBrakeCountsMerges(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"brake: 1\n")
	merge := func(control, into, from string) string {
		return fmt.Sprintf("MSH|^~\\&|GP|LINK|WAYBILL|H|20260301120000||ADT^A40^ADT_A39|%s|P|2.5\rEVN|A40|20260301120000\rPID|1||%s^^^GP^MR||A^B\rMRG|%s^^^GP^MR\r", control, into, from)
	}
	d.leave("a.hl7", batch(adt("1", "1", "A", "20260228"), adt("2", "2", "B", ""), adt("3", "3", "C", "")))
	d.does("a.hl7 taken")
	d.leave("b.hl7", batch(merge("4", "1", "2"), merge("5", "1", "3")))
	d.fails("b.hl7 held", fault.Held, "2 merged")
	d.want(`SELECT count(*)::text FROM patients.alias`, "0")
}
