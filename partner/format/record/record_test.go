package record

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestKeysAreKeptOrMadeTheSameEveryTime(t *testing.T) {
	of := func(authority, kind, value string) uuid.UUID {
		id, _ := Identifier{authority, kind, value}.UUID()
		return id
	}
	asIs := "0A1B2C3D-0000-4000-8000-000000000001"
	expect(t, of("a", "", asIs), uuid.MustParse(asIs))
	expect(t, of("b", "MR", asIs), uuid.MustParse(asIs))
	expect(t, of("a", "", "7").String(), "8ed74c0a-30d1-5847-b620-76731af020ba")
	different := map[uuid.UUID]bool{}
	for _, id := range []uuid.UUID{
		of("a", "", "7"), of("b", "", "7"), of("a1", "", "7"), of("a", "", "17"), of("a", "MR", "7"), of("a", "7", "MR"),
		of("a", "", strings.ReplaceAll(asIs, "-", "")), uuid.MustParse(asIs),
	} {
		different[id] = true
	}
	expect(t, len(different), 8)
}

func TestCheck(t *testing.T) {
	key := Identifier{"a", "MR", "7"}
	for want, r := range map[string]Record{
		"<nil>":                               {Key: key, Retired: Identifier{"a", "MR", "8"}},
		"no id":                               {},
		"a record that is merged into itself": {Key: key, Retired: key},
		"family name: longer than 200 characters":                  {Key: key, Family: Of(strings.Repeat("é", 201))},
		"city: holds a NUL character":                              {Key: key, Address: Address{City: Of("\x00")}},
		"birth date: not within 1800 and today":                    {Key: key, BirthDate: Of("2024-05-08")},
		"the death lies before the birth":                          {Key: key, BirthDate: Of("2000-01-02"), Death: Death{Formal, Period{at("2000-01-01T00:00:00Z"), at("2000-01-02T00:00:00Z"), Day}, false}},
		"the death lies in the future":                             {Key: key, Death: Death{Formal, Period{at("2024-05-06T09:01:00Z"), at("2024-05-06T09:02:00Z"), Minute}, false}},
		"given name: not UTF-8":                                    {Key: key, Given: Of("\xff")},
		"postcode: holds the mark of a lost character (U+FFFD)":    {Key: key, Address: Address{Postcode: Of("\ufffd")}},
		"birth date: not YYYY, YYYY-MM or YYYY-MM-DD":              {Key: key, BirthDate: Of("2024-02-30")},
		"date of death: not within the years 1800 to 9999":         {Key: key, Death: Death{Formal, Period{at("1799-12-31T23:00:00Z"), at("1800-01-01T00:00:00Z"), Minute}, false}},
		"identifier: longer than 200 characters":                   {Key: key, Retired: Identifier{"a", "MR", strings.Repeat("x", 201)}},
		"more than 1000 identifiers, or more than 128 KiB of them": {Key: key, Identifiers: numbered(1001)},
	} {
		if got := fmt.Sprint(r.Finish(judged())); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	pass := Record{Act: Pass}
	expect(t, pass.Finish(&Site{}), nil)
}

// judged returns a site with rules for judging records.
func judged() *Site {
	return &Site{Zone: time.UTC, Rules: Rules{
		Now: at("2024-05-06T08:00:00Z"), Fillers: []string{"XXX"}, Placeholders: []string{"1900-01-01", "9999-12-31"},
		Forms: []Form{{Kind{"LAB", "LN"}, regexp.MustCompile("^(?:[0-9]{4})$")}},
	}}
}

// What spreadsheets, programs and clerks write in place of a number can't be a key or any other identifier.
func TestWhatIsNoIdentifier(t *testing.T) {
	key := Identifier{"a", "MR", "7"}
	for value, want := range map[string]error{
		"7": nil, "1111": nil, "0007": nil, "12E34": nil, "E+09": nil, "NA12": nil, "ä": nil, "#12": nil,
		"9.43E+09": errNoID, "9,43e+09": errNoID, "1E-05": errNoID, "#N/A": errNoID, "null": errNoID, "0": errNoID, "00000": errNoID,
		"\v390": errHidden, "\u200b7": errHidden, "\u00a07": errHidden, "7\x00": errHidden,
		"11111": errNoID, "9999999999": errNoID, "-": errNoID, "???": errNoID, "XXX": errNoID,
	} {
		r := Record{Key: Identifier{"a", "MR", value}}
		expect(t, errors.Is(r.Finish(judged()), want), true)
		r = Record{Key: key, Act: Merge, Retired: Identifier{"a", "MR", value}}
		expect(t, value == "7" || errors.Is(r.Finish(judged()), want), true)
		r = Record{Key: key, Identifiers: []Identifier{{"b", "", value}}}
		expect(t, r.Finish(judged()), nil)
		expect(t, len(r.Identifiers) == 1, want == nil)
		expect(t, len(r.Warnings) == 0, want == nil)
	}
}

func TestForms(t *testing.T) {
	for i, want := range map[Identifier]error{
		{"LAB", "LN", "1234"}: nil, {"LAB", "LN", "12345"}: errForm, {"LAB", "MR", "12345"}: nil,
		{"NHS", "", "943 476 5919"}: nil, {"NHS", "", "9434765918"}: nil, {"NHS", "", "H1"}: errNHS, {"x", "NH", "94347659190"}: errNHS,
	} {
		r := Record{Key: i}
		expect(t, errors.Is(r.Finish(judged()), want), true)
		r = Record{Key: Identifier{"a", "", "7"}, Identifiers: []Identifier{i}}
		expect(t, r.Finish(judged()), nil)
		expect(t, len(r.Identifiers) == 1, want == nil)
		expect(t, len(r.Warnings) == 0, want == nil && i.Value != "9434765918")
	}
}

// A text that is not a date, in place of a date, shows that the fields may be shifted.
func TestABirthDateThatIsNone(t *testing.T) {
	r := Record{Key: Identifier{"a", "MR", "7"}, BirthDate: Of("ler  Ada"), Death: Death{Status: Formal}}
	expect(t, errors.Is(r.Finish(judged()), errBirthDate), true)
}

// A death does not wait for a date of birth or an address, and a placeholder is not a value.
func TestWhatIsLeftOutForADeath(t *testing.T) {
	died := Death{Status: Formal}
	for name, c := range map[string]struct {
		record   Record
		born     string
		warnings int
	}{
		"an impossible birth date": {Record{BirthDate: Of("1951-02-31"), Death: died}, "", 1},
		"a birth to come":          {Record{BirthDate: Of("2090-01-01"), Death: died}, "", 1},
		"a placeholder":            {Record{BirthDate: Of("1900-01-01")}, "", 0},
		"a long address":           {Record{BirthDate: Of("1951"), Address: Address{Line: Of(strings.Repeat("x", 201)), City: Of("\ufffd")}, Death: died}, "1951", 2},
	} {
		c.record.Key = Identifier{"a", "MR", "7"}
		if err := c.record.Finish(judged()); err != nil {
			t.Error(name, err)
		}
		expect(t, c.record.BirthDate.Value, c.born)
		expect(t, len(c.record.Warnings), c.warnings)
		expect(t, c.record.Address, Address{})
	}
}

// A death may be of the day of birth, and of any day that a less exact date of birth leaves open.
func TestADeathIsNotBeforeTheBirth(t *testing.T) {
	for _, c := range []struct {
		born           string
		earliest, last string // of the death
		want           error
	}{
		{"2000-01-02", "2000-01-01", "2000-01-01", errBefore},
		{"2000-01-02", "2000-01-02", "2000-01-02", nil},
		{"2000-02", "2000-01-31", "2000-01-31", errBefore},
		{"2000-02", "2000-02-01", "2000-02-01", nil},
		{"2000", "1999-12-31", "1999-12-31", errBefore},
		{"2000", "2000-01-01", "2000-01-01", nil},
		{"2000-12-31", "2000-01-01", "2000-12-31", nil}, // in that year
		{"2001-01-01", "2000-01-01", "2000-12-31", errBefore},
	} {
		died := Period{Earliest: at(c.earliest + "T00:00:00Z"), Latest: at(c.last+"T00:00:00Z").AddDate(0, 0, 1), Precision: Day}
		r := Record{Key: Identifier{"a", "MR", "7"}, BirthDate: Of(c.born), Death: Death{Status: Formal, Period: died}}
		if err := r.Finish(judged()); !errors.Is(err, c.want) {
			t.Errorf("born %s, died %s to %s: %v, want %v", c.born, c.earliest, c.last, err, c.want)
		}
	}
}

func numbered(n int) (all []Identifier) {
	for i := range n {
		all = append(all, Identifier{"a", "", fmt.Sprint("n", i)})
	}
	return all
}

func TestIdentifiersAreSortedWithoutRepetitions(t *testing.T) {
	r := Record{Key: Identifier{"a", "", "9"}, Identifiers: []Identifier{{"b", "", "2"}, {"b", "", ""}, {"a", "x", "1"}, {"a", "", "9"}, {"b", "", "2"}}}
	expect(t, r.Finish(judged()), nil)
	expect(t, r.Identifiers, []Identifier{{"a", "", "9"}, {"a", "x", "1"}, {"b", "", "2"}})
}

// A number may have blanks or hyphens between its digits. A text that is too short to be a number stays a key as it
// is.
func TestNHSNumbersAreDivided(t *testing.T) {
	for value, want := range map[string]string{"943 476 5919": "9434765919", "943-476-5919": "9434765919", "9434765919": "9434765919", "943 476 59": "943 476 59", "94-1": "94-1"} {
		expect(t, Identifier{"NHS", "", value}.plain().Value, want)
		expect(t, Identifier{"ward", "", value}.plain().Value, value)
	}
}

func TestNHSNumbers(t *testing.T) {
	for value, want := range map[string]bool{
		"9434765919": true, "9000000009": true, "9733163201": true, "0000000000": true, "1111111111": true, "9999999999": true,
		"9434765918": false, "943476591": false, "94347659190": false, "943476591X": false, "": false,
	} {
		expect(t, validNHS(value), want)
	}
}
