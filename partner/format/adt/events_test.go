package adt

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/partner/format/record"
)

func TestMerges(t *testing.T) {
	id := func(value string) record.Identifier {
		return record.Identifier{Authority: "NGH", Type: "MR", Value: value}
	}
	for _, event := range []string{"A18", "A30", "A34", "A36", "A39", "A40", "A47"} {
		got := one(t, event, pid("7^^^NGH^MR"), "MRG|8^^^NGH^MR")
		want := record.Merge
		if event == "A47" {
			want = record.Rekey
		}
		expect(t, got.Act, want)
		expect(t, []record.Identifier{got.Key, got.Retired}, []record.Identifier{id("7"), id("8")})
	}
	// One message may merge several records. Parts that the MRG leaves out are as in the PID.
	rows, refused := read(t, hl7Text("A40", pid("7^^^NGH^MR"), "PD1|", "MRG|8", pid("9^^^NGH^MR"), "MRG|5^^^X^SS~6^^^NGH^MR"), Options{Key: record.Kind{Authority: "NGH"}})
	expect(t, refused, []string(nil))
	expect(t, []record.Identifier{rows[0].Retired, rows[1].Retired}, []record.Identifier{id("8"), id("6")})
	for name, c := range map[string]struct {
		mrg, want string
	}{
		"none":        {"PV1|", "an A40 without an MRG"},
		"empty":       {"MRG|", "MRG-1: no identifier of the key's authority and type"},
		"itself":      {"MRG|7^^^NGH^MR", "a record that is merged into itself"},
		"another key": {"MRG|8^^^X^MR", "MRG-1: no identifier of the key's authority and type"},
	} {
		_, refused := read(t, hl7Text("A40", pid("7^^^NGH^MR"), c.mrg), Options{Key: record.Kind{Authority: "NGH"}})
		if len(refused) != 1 || refused[0] != c.want {
			t.Errorf("%s: %q", name, refused)
		}
	}
	_, refused = read(t, hl7Text("A40", pid("7^^^NGH^MR"), "PV1|", pid("9^^^NGH^MR"), "MRG|8"), Options{Key: record.Kind{Authority: "NGH"}})
	expect(t, refused, []string{"an A40 without an MRG"}) // the MRG of the second patient does not belong to the first
	// A merge of accounts is not a merge of patients.
	expect(t, one(t, "A41", pid("7"), "MRG|||1").Act, record.Change)
}

func TestMessageTypes(t *testing.T) {
	text := strings.Replace(hl7Text("R01", vital("", "Y")), "ADT^", "ORU^", 1) + strings.Replace(hl7Text("S12", vital("", "Y")), "ADT^", "SIU^", 1) +
		strings.Replace(hl7Text("S23", "SCH|"), "ADT^", "SIU^", 1) + hl7Text("A20", "NPU|")
	acts := func(o Options) (acts []record.Act) {
		rows, refused := read(t, text, o)
		expect(t, refused, []string(nil))
		for _, r := range rows {
			acts = append(acts, r.Act)
		}
		return acts
	}
	expect(t, acts(Options{}), []record.Act{record.Pass, record.Change, record.Pass, record.Pass})
	expect(t, acts(Options{Messages: []string{"ORU"}}), []record.Act{record.Change, record.Pass, record.Pass, record.Pass})
	expect(t, acts(Options{Messages: []string{"*"}}), []record.Act{record.Change, record.Change, record.Pass, record.Pass})
	without := strings.Replace(hl7Text("A03", "EVN|A03", vital("", "Y")), "ADT^A03", "ADT", 1)
	rows, _ := read(t, without, Options{})
	expect(t, rows[0].Message.Event, "A03")
}

func TestOrder(t *testing.T) {
	sent := at("2024-05-06T05:08:09Z")
	for evn, want := range map[string]time.Time{
		"EVN|A08|20240505":                              at("2024-05-04T22:00:00Z"),
		"EVN|A08||||||":                                 sent,
		"EVN|A08|20290101|||ID|20240101":                at("2023-12-31T23:00:00Z"), // recorded after the message was made
		"EVN|A08||||ID|2024010112":                      at("2024-01-01T11:00:00Z"),
		"EVN|A08|Secret":                                sent,
		"EVN|A08|20240506070809.1234+0200|||x|20230101": at("2024-05-06T05:08:09.1234Z"),
	} {
		expect(t, one(t, "A08", evn, pid("7")).Order, record.Order{Event: want, Sent: sent})
	}
	rows, _ := read(t, hl7Text("A08", pid("7")), Options{Order: "file"})
	expect(t, rows[0].Order.IsZero(), true)
}

// docs/adt.md says what every ADT event asks for.
func TestEveryEvent(t *testing.T) {
	page, err := os.ReadFile("../../../docs/adt.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, " | "); len(cells) == 3 && strings.HasPrefix(line, "| A") {
			want[cells[0][2:]] = strings.TrimSuffix(strings.TrimSpace(cells[2]), " |")
		}
	}
	dead := vital("20240505", "Y")
	for n := 1; n <= 62; n++ {
		event := fmt.Sprintf("A%02d", n)
		segments := []string{dead, "MRG|8^^^NGH^MR"}
		if slices.Contains([]string{"A17", "A24", "A37"}, event) {
			segments = []string{dead, strings.Replace(dead, "|7^", "|9^", 1)}
		}
		rows, refused := read(t, hl7Text(event, segments...), Options{})
		got := "refused"
		if len(rows) > 0 {
			got = map[record.Act]string{record.Change: "read", record.Merge: "merge", record.Rekey: "change of key", record.Unlink: "unlink", record.Pass: "passed"}[rows[0].Act]
			switch {
			case len(rows) == 2 && rows[0].Act == record.Change:
				got = "read, both patients"
			case rows[0].Act != record.Pass && !rows[0].Death.Dead():
				got = "read, but for the vital status"
			}
			expect(t, rows[0].Retired.Value != "", rows[0].Act != record.Change && rows[0].Act != record.Pass)
		} else if len(refused) != 1 || !strings.HasPrefix(refused[0], event+" ") {
			t.Errorf("%s: %q does not name the event", event, refused)
		}
		if want[event] != got {
			t.Errorf("%s: %s, and docs/adt.md says %q", event, got, want[event])
		}
	}
	expect(t, len(want), 62)
}

// Parts that MRG-1 leaves out are taken from the key, each part by itself.
func TestPartsOfMRG(t *testing.T) {
	for mrg, want := range map[string]string{
		"8": "NGH MR 8", "8^^^NGH": "NGH MR 8", "8^^^^MR": "NGH MR 8", "8^^^NGH^MR": "NGH MR 8", "8^^^NGH^PI": "NGH PI 8", "8^^^OTHER": "OTHER  8",
	} {
		got := one(t, "A40", pid("7^^^NGH^MR"), "MRG|"+mrg)
		expect(t, fmt.Sprintf("%s %s %s", got.Retired.Authority, got.Retired.Type, got.Retired.Value), want)
	}
	rows, refused := read(t, hl7Text("A40", pid("7^^^NGH^MR"), "MRG|4^^^OTHER~8^^^NGH"), Options{Key: record.Kind{Authority: "NGH", Type: "MR"}})
	if len(rows) != 1 || rows[0].Retired != (record.Identifier{Authority: "NGH", Type: "MR", Value: "8"}) {
		t.Error(rows, refused)
	}
}
