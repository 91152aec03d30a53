package main

import (
	"strings"
	"testing"

	"waybill/internal/health"
	"waybill/jobs"
)

// A run in the history names the command to type next, with the configuration that was given; a run that was well names none.
func TestARunNamesTheNextCommand(t *testing.T) {
	on := &installation{flags: "-c /etc/waybill"}
	for _, c := range []struct{ outcome, class, hint, next string }{
		{jobs.Failed, "held", "`waybill import morgue --approve 3@1be3ccdd --reason TEXT`", "waybill -c /etc/waybill import morgue --approve 3@1be3ccdd --reason TEXT"},
		{jobs.Failed, "transient", "mount or create it", "waybill -c /etc/waybill doctor morgue"},
		{jobs.Failed, "not yet", "run `waybill repair 3` at the producer", "waybill -c /etc/waybill doctor morgue"},
		{jobs.Done, "", "", ""},
		{"", "", "", ""},
	} {
		run := on.advisedRun("morgue", jobs.RunOf{Outcome: c.outcome, Class: c.class, Hint: c.hint})
		if run.Next != c.next || strings.Contains(run.Hint, "at the producer") && strings.Contains(run.Hint, "-c ") {
			t.Errorf("%+v: next is %q, hint %q", c, run.Next, run.Hint)
		}
	}
}

// People who get a message are in another folder than the command that sent it.
func TestMessagesNameTheWholePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	on := &installation{paths: []string{"."}}
	r := health.Report{Hint: "run `waybill import morgue`", Next: "waybill import morgue"}
	if here := on.advisedReport(r); here.Next != "waybill import morgue" {
		t.Errorf("here: %q", here.Next)
	}
	if away := on.elsewhere().advisedReport(r); away.Next != "waybill -c "+dir+" import morgue" || away.Hint != "run `"+away.Next+"`" {
		t.Errorf("elsewhere: %q", away.Next)
	}
}
