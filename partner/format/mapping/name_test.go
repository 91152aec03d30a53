package mapping

import (
	"fmt"
	"testing"

	"waybill/partner/format/record"
)

// A column with both names: a text that is not as declared is refused, unless the row states a death.
func TestNamesInOneColumn(t *testing.T) {
	const insee, comma, plain = "{family}*{given}/", "{family}, {given}", "{given} {family}"
	const odd, refused = "warned: " + warnNames, "A: not a name as declared"
	for _, c := range []struct{ pattern, text, family, given, alive, dead string }{
		{insee, "DE LA TOUR*MARIE JEANNE/", "DE LA TOUR", "MARIE JEANNE", "", ""},
		{insee, " TOUR * MARIE / ", "TOUR", "MARIE", "", ""},
		{insee, "TOUR*/", "TOUR", "", "", ""},
		{insee, "*MARIE/", "", "MARIE", "", ""},
		{insee, "*/", "", "", "", ""},
		{insee, "", "", "", "", ""},
		{insee, "TOUR*MARIE", "TOUR", "MARIE", "warned: " + warnEnd, "warned: " + warnEnd},
		{insee, "TOUR MARIE", "TOUR MARIE", "", refused, odd},
		{insee, "TOUR MARIE/", "TOUR MARIE/", "", refused, odd},
		{insee, "TOUR*MARIE*ANNE/", "TOUR*MARIE*ANNE/", "", refused, odd},
		{insee, "TOUR*MARIE/ANNE", "TOUR*MARIE/ANNE", "", refused, odd},
		{insee, "TOUR MARIE 119510", "", "", refused, refused},
		{comma, "Tour,Marie", "Tour", "Marie", "", ""},
		{comma, "Tour, Marie, Dr", "Tour, Marie, Dr", "", refused, odd},
		{plain, "Marie Tour", "Tour", "Marie", "", ""},
		{plain, "Marie", "Marie", "", refused, odd},
		{"{given} /{family}/", "Marie Jeanne /de la Tour/", "de la Tour", "Marie Jeanne", "", ""},
	} {
		for date, want := range map[string]string{"": c.alive, "2024-05-06": c.dead} {
			got, err := read(t, Map{Name: Joined{"a", c.pattern}, Death: Death{Date: Date{Column: "b"}}}, c.text, date, "")
			seen := ""
			if err != nil {
				seen = err.Error()
			} else {
				expect(t, []record.Text{got.Family, got.Given}, []record.Text{record.Of(c.family), record.Of(c.given)})
				for _, w := range got.Warnings {
					seen = "warned: " + w
				}
			}
			if seen != want {
				t.Errorf("%q as %q, died %q: %q, want %q", c.text, c.pattern, date, seen, want)
			}
		}
	}
	got, err := read(t, Map{Name: Joined{"a", insee}, Empty: "deleted"}, "TOUR*/", "", "")
	expect(t, err, nil)
	expect(t, []record.Text{got.Family, got.Given}, []record.Text{record.Of("TOUR"), record.Deleted})
	got, err = read(t, Map{Name: Joined{"a", insee}, Delete: []string{"NULL"}}, "NULL", "", "")
	expect(t, err, nil)
	expect(t, []record.Text{got.Family, got.Given}, []record.Text{record.Deleted, record.Deleted})
}

// A void row retracts what was reported under its key. The rest of the row is not read.
func TestVoidRows(t *testing.T) {
	flag := Code{Column: "a", Values: map[string]string{"0": "valid", "1": "void"}}
	m := Map{
		Family: Columns{"c"}, Death: Death{Void: flag, Always: true, As: record.Formal, Date: Date{Column: "b"}}, BirthDate: Date{Column: "c"},
		Identifiers: []Identifier{{Column: "c"}}, Complete: true, Merged: "c", Sex: Code{Column: "c"},
	}
	got, err := read(t, m, "1", "2024-13-45", "Secret")
	expect(t, err, nil)
	key := record.Identifier{Authority: "NGH", Type: "MR", Value: "7"}
	expect(t, got, record.Record{Where: record.Where{Line: 3}, Key: key, Identifiers: []record.Identifier{key}, Death: record.Death{Status: record.Void}})
	for text, want := range map[string]string{"0": "formal <nil>", "": "formal <nil>", "2": " A: a code that is not declared", "V": " A: a code that is not declared"} {
		got, err := read(t, Map{Death: m.Death}, text, "2024-05-06", "")
		expect(t, fmt.Sprint(got.Death.Status, " ", err), want)
	}
	flag.Values[""] = "void"
	got, err = read(t, m, "", "", "")
	expect(t, fmt.Sprint(got.Death.Status, " ", err), "void <nil>")
}

// One column may be read for two purposes: as a key that is also a number of the patient, or with a code or a date.
func TestOneColumnForTwoTargets(t *testing.T) {
	m := Map{
		Identifiers: []Identifier{{Column: "key", Authority: "LAB", Type: "MR"}, {Column: "key", Authority: "LAB", Type: "PI"}},
		Death:       Death{Status: Code{Column: "a", Values: map[string]string{"N": "none", "Y": "formal", "": ""}}, Date: Date{Column: "a", Format: "dd.mm.yyyy"}},
		Recorded:    Date{Column: "a", Format: "dd.mm.yyyy", Unknown: []string{"N", "Y"}},
	}
	m.Key = Identifier{Column: "key", Authority: "GP"}
	for text, want := range map[string]string{
		"N": "none  <nil>", "Y": "formal  <nil>", "": "  <nil>", "06.05.2024": "informal day <nil>", "X": "  A: not a date as declared",
	} {
		got, err := read(t, m, text, "", "")
		expect(t, fmt.Sprint(got.Death.Status, " ", got.Death.Precision, " ", err), want)
		if err == nil {
			expect(t, got.Identifiers, []record.Identifier{{Authority: "GP", Value: "7"}, {Authority: "LAB", Type: "MR", Value: "7"}, {Authority: "LAB", Type: "PI", Value: "7"}})
			expect(t, got.Order.Event.IsZero(), text != "06.05.2024")
		}
	}
}
