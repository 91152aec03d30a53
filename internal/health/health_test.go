package health

import (
	"encoding/json"
	"testing"

	"waybill/internal/fault"
)

// What is wrong has a command to type; what is well asks for none.
func TestReportsNameTheNextCommand(t *testing.T) {
	for _, c := range []struct {
		class      fault.Class
		hint, next string
	}{
		{fault.Held, "`waybill import morgue --approve 3@1be3ccdd --reason TEXT`", "waybill import morgue --approve 3@1be3ccdd --reason TEXT"},
		{fault.Poison, "see whether `store:` is right; only then `waybill repair 1..2`, or `waybill export`", "waybill repair 1..2"},
		{fault.Transient, "mount or create it", "waybill doctor morgue"},
		{0, "", ""},
		{0, "run `waybill import morgue`", "waybill import morgue"},
	} {
		r := Fine()
		r.Set(Late, c.class, "", c.hint)
		if r.Advise("morgue"); r.Next != c.next {
			t.Errorf("%q of class %v: next is %q, want %q", c.hint, c.class, r.Next, c.next)
		}
	}
}

// Machines compare classes and states with those of logs and metrics.
func TestReportsHaveOneSpellingOfAClass(t *testing.T) {
	r := Fine()
	r.Set(Held, fault.NotYet, "", "")
	data, err := json.Marshal(r)
	if want := `{"state":"held","class":"not yet"}`; err != nil || string(data) != want {
		t.Errorf("%s %v, want %s", data, err, want)
	}
}
