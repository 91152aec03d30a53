package drop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"waybill/exchange"
	"waybill/internal/setting"
	"waybill/partner/format/mesh"
	"waybill/partner/format/pattern"
	"waybill/partner/intake/drop"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rules(t *testing.T, names string, change func(*drop.Rules)) *drop.Rules {
	t.Helper()
	p, err := pattern.ParseNames(names, "gp")
	if err != nil {
		t.Fatal(err)
	}
	r := &drop.Rules{Pattern: p, Temporary: drop.TemporarySuffixes, Order: drop.ByName}
	if change != nil {
		change(r)
	}
	return r
}

func found(names ...string) (list []exchange.Found) {
	for _, name := range names {
		list = append(list, exchange.Found{Name: name, Size: 10, Modified: noon})
	}
	return list
}

func nothingDecided(exchange.Found) bool { return false }

// look returns the judged files as "name state", in the order in which they are taken.
func look(r *drop.Rules, files []exchange.Found, past drop.Past) string {
	if past.Decided == nil {
		past.Decided = nothingDecided
	}
	if past.Now.IsZero() {
		past.Now = noon
	}
	var lines []string
	for _, f := range r.Look(files, past) {
		lines = append(lines, f.Name+" "+string(f.State))
	}
	return strings.Join(lines, ", ")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// 9999 and the 0001 after it are neighbours, with either of them expected.
func TestOrdinalsGoOnWhereNumbersBeginAgain(t *testing.T) {
	s := drop.Sequence{First: 1, Last: 9999}
	for _, c := range []struct{ number, next, want int64 }{
		{1, 0, 0},
		{3, 0, 2},
		{9999, 9998, 9998},
		{1, 9998, 9999},
		{1, 9999, 9999},
		{2, 9999, 10000},
		{9998, 9999, 9997},
		{9999, 10000, 9998},
		{5, 20000, 20002},
		{9000, 3, 8999},
		{1, 1, 0},
		{5000, 9999, 14998},
		{5001, 9999, 5000},
	} {
		got := s.Ordinal(c.number, c.next)
		if got != c.want {
			t.Errorf("number %d when %d is next: %d, want %d", c.number, c.next, got, c.want)
		}
		if back := s.Number(got); back != c.number {
			t.Errorf("ordinal %d is number %d, want %d", got, back, c.number)
		}
	}
	if got := (drop.Sequence{First: 100}).Ordinal(107, 3); got != 7 {
		t.Errorf("without an end: %d", got)
	}
}

func TestNamesTell(t *testing.T) {
	r := rules(t, "*.csv", nil)
	want(t, look(r, found("b.csv", "a.csv", "DEATHS.CSV", "a.csv.partial", "c.CSV.TMP", "notes.txt", "Ä.csv"), drop.Past{}),
		"DEATHS.CSV ready, a.csv ready, b.csv ready, a.csv.partial temporary, c.CSV.TMP temporary, notes.txt foreign, Ä.csv unusable")
	want(t, look(r, found("a.csv", "b.csv"), drop.Past{Decided: func(f exchange.Found) bool { return f.Name == "a.csv" }}),
		"b.csv ready, a.csv known")
}

func TestTriggers(t *testing.T) {
	for pattern, trigger := range map[string]string{"*.csv": "{name}.done", "p{sequence}.csv": "{stem}.ok", "*": "{name}.done"} {
		r := rules(t, pattern, func(r *drop.Rules) { r.Ready.Trigger = trigger })
		end := strings.NewReplacer("{name}", "p1.csv", "{stem}", "p1").Replace(trigger)
		lone := strings.NewReplacer("{name}", "p2.csv", "{stem}", "p2").Replace(trigger)
		want(t, look(r, found("p1.csv", end, lone, "p3.csv"), drop.Past{}),
			fmt.Sprintf("p1.csv ready, %s companion, %s orphan, p3.csv not ready", end, lone))
	}
	r := rules(t, "*", func(r *drop.Rules) { r.Ready.Trigger = "{stem}.ok" })
	want(t, look(r, found("p1.csv", "p1.ok", "p2.ok"), drop.Past{}), "p1.csv ready, p1.ok companion, p2.ok orphan")
	link := exchange.Found{Name: "p1.ok", Link: true} // which leads anywhere
	want(t, look(r, append(found("p1.csv"), link), drop.Past{}), "p1.csv not ready, p1.ok companion")
	r = rules(t, "*.csv", func(r *drop.Rules) { r.Ready.Trigger = "{stem}.ok" })
	want(t, look(r, found("P1.CSV", "P1.ok", "P2.CSV", "P3.ok"), drop.Past{}), "P1.CSV ready, P1.ok companion, P2.CSV not ready, P3.ok orphan")
	r = rules(t, "*.dat", func(r *drop.Rules) { r.Ready.Mesh = &drop.Mesh{} })
	want(t, look(r, found("1.dat", "1.ctl", "2.ctl", "3.dat"), drop.Past{}), "1.dat ready, 1.ctl companion, 2.ctl orphan, 3.dat not ready")
}

// A slow writer pauses. So the same size at two polls proves nothing, nor does the same time.
func TestUnchangedForLongAndAtSeveralPolls(t *testing.T) {
	r := rules(t, "*", func(r *drop.Rules) { r.Ready = drop.Ready{Unchanged: 3, Age: setting.Duration(10 * time.Minute)} })
	past := drop.Past{Decided: nothingDecided, Seen: map[string]drop.Sighting{}}
	poll := func(at time.Duration, size int64) drop.State {
		past.Now = noon.Add(at)
		f := r.Look([]exchange.Found{{Name: "a", Size: size, Modified: noon}}, past)[0]
		past.Seen["a"] = f.Sighting
		return f.State
	}
	for i, step := range []struct {
		at   time.Duration
		size int64
		want drop.State
	}{
		{0, 5, drop.Waiting},
		{20 * time.Minute, 5, drop.Waiting}, // old enough, and seen twice
		{21 * time.Minute, 6, drop.Waiting}, // it grew
		{22 * time.Minute, 6, drop.Waiting},
		{23 * time.Minute, 6, drop.Waiting}, // seen often enough, but too young
		{32 * time.Minute, 6, drop.Due},
	} {
		if got := poll(step.at, step.size); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if first := past.Seen["a"].First; !first.Equal(noon) {
		t.Errorf("first seen at %s", first)
	}
}

func TestSequences(t *testing.T) {
	numbered := func(hold bool) *drop.Rules {
		return rules(t, "f{sequence:4}", func(r *drop.Rules) {
			r.Order, r.Hold, r.Sequence = drop.BySequence, hold, drop.Sequence{First: 1, Last: 9999}
			r.Ready.Trigger = "{name}.ok"
		})
	}
	ready := func(names ...string) (list []exchange.Found) {
		for _, n := range names {
			list = append(list, found(n, n+".ok")...)
		}
		return list
	}
	for name, c := range map[string]struct {
		hold  bool
		files []exchange.Found
		past  drop.Past
		want  string
	}{
		"begins with the lowest": {true, ready("f0008", "f0007"), drop.Past{}, "f0007 ready, f0008 ready"},
		"gap, held":              {true, ready("f0003", "f0005"), drop.Past{Next: 2, Numbered: true}, "f0003 ready, f0005 held"},
		"gap, alarmed":           {false, ready("f0003", "f0005"), drop.Past{Next: 2, Numbered: true}, "f0003 ready, f0005 ready"},
		"wraps":                  {true, ready("f0001", "f9999"), drop.Past{Next: 9998, Numbered: true}, "f9999 ready, f0001 ready"},
		"late":                   {true, ready("f0002", "f0005"), drop.Past{Next: 4, Numbered: true}, "f0002 ready, f0005 ready"},
		"not ready":              {false, append(found("f0003"), ready("f0004")...), drop.Past{Next: 2, Numbered: true}, "f0003 not ready, f0004 held"},
		"no such number":         {true, ready("f0000"), drop.Past{}, "f0000 foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			got := look(numbered(c.hold), c.files, c.past)
			for _, f := range c.files {
				got = strings.TrimSuffix(strings.ReplaceAll(got+", ", f.Name+" companion, ", ""), ", ")
			}
			want(t, got, c.want)
		})
	}
}

const control = `<?xml version="1.0"?><DTSControl><Version>1.0</Version><MessageType>Data</MessageType>
	<From_DTS>X26OT001</From_DTS><WorkflowId>DEATHS</WorkflowId><IsCompressed>N</IsCompressed>
	<StatusRecord><Status>SUCCESS</Status><StatusCode>00</StatusCode></StatusRecord></DTSControl>`

func TestControlFiles(t *testing.T) {
	m := drop.Mesh{Workflow: "DEATHS", From: "X26OT001"}
	if err := m.Check([]byte(control), false); err != nil {
		t.Error(err)
	}
	for name, change := range map[string][2]string{
		"other workflow": {"DEATHS", "BIRTHS"}, "other mailbox": {"X26OT001", "Y1"}, "failed": {"SUCCESS", "ERROR"},
		"packed": {"<IsCompressed>N", "<IsCompressed>Y"}, "report": {"Data<", "Report<"}, "no XML": {"</DTSControl>", ""},
		"nothing": {control, ""}, "large": {"<?xml", strings.Repeat(" ", mesh.MaxBytes) + "<?xml"},
	} {
		if err := m.Check([]byte(strings.Replace(control, change[0], change[1], 1)), false); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := m.Check([]byte(strings.Replace(control, "<IsCompressed>N", "<IsCompressed>Y", 1)), true); err != nil {
		t.Error(err)
	}
}

func TestReadyAsItIsWritten(t *testing.T) {
	for text, good := range map[string]bool{
		"renamed": true, "mesh": true, "{mesh: {workflow: X}}": true, `{trigger: "{name}.done"}`: true,
		"{unchanged: 3, age: 10m}": true, "{unchanged: 2}": true,
		"soon": false, "{trigger: done}": false, `{trigger: "{name}"}`: false, "{unchanged: 1}": false, "{age: 10m}": false,
		`{trigger: "{stem}.ok", unchanged: 3}`: false, "{unchanged: 3, age: old}": false, "{unchange: 3}": false,
	} {
		var r drop.Ready
		err := yaml.Load([]byte(text), &r)
		if err == nil {
			err = r.Check()
		}
		if (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A token without a value would make every file wait for a trigger that never comes.
func TestATriggerHasOneToken(t *testing.T) {
	for trigger, good := range map[string]bool{"{name}.done": true, "ok-{stem}": true, "{name}{stem}": false, "{name}.{yyyy}": false, "{stem}.ok}": false, "done": false} {
		ready := drop.Ready{Trigger: trigger}
		if err := ready.Check(); (err == nil) != good {
			t.Errorf("%s: %v", trigger, err)
		}
	}
}
