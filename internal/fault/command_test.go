package fault_test

import (
	"testing"

	"waybill/internal/fault"
)

// A command for this site names its configuration; one for another site has no path of this one.
func TestCommandsSayWhereTheyAreTyped(t *testing.T) {
	flags := fault.ConfigFlags("/etc/waybill")
	for _, c := range []struct{ hint, typed, next string }{
		{"", "", ""},
		{"wait", "wait", ""},
		{"see `store:`, then `waybill export`", "see `store:`, then `waybill -c /etc/waybill export`", "waybill -c /etc/waybill export"},
		{"run `waybill repair 3` at the producer", "run `waybill repair 3` at the producer", ""},
		{
			"run `waybill export --snapshot` at the producer, then `waybill import morgue --pass`",
			"run `waybill export --snapshot` at the producer, then `waybill -c /etc/waybill import morgue --pass`", "waybill -c /etc/waybill import morgue --pass",
		},
		{"`waybill status` at that consumer", "`waybill status` at that consumer", ""},
		{"`waybill help stores` shows", "`waybill help stores` shows", "waybill help stores"},
		{"`waybill export --help`", "`waybill export --help`", "waybill export --help"},
	} {
		got := fault.WithFlags(c.hint, flags)
		if got != c.typed || fault.CommandIn(got) != c.next || fault.WithFlags(got, flags) != got || fault.WithFlags(c.hint, "") != c.hint {
			t.Errorf("%q is typed as %q, next %q", c.hint, got, fault.CommandIn(got))
		}
	}
	if got := fault.AtProducer("run `waybill repair 3` at the producer"); got != "run `waybill repair 3`" {
		t.Errorf("at the producer: %q", got)
	}
	if got := fault.ConfigFlags("a", "it's here"); got != `-c a -c 'it'\''s here'` {
		t.Errorf("flags: %s", got)
	}
}
