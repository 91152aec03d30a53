package record

import (
	"fmt"
	"strings"
	"testing"

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
		"the id is an NHS number of one repeated digit":            {Key: Identifier{"NHS", "", "9999999999"}},
		"family name: longer than 200 characters":                  {Key: key, Family: Of(strings.Repeat("é", 201))},
		"city: holds a NUL character":                              {Key: key, Address: Address{City: Of("\x00")}},
		"given name: not UTF-8":                                    {Key: key, Given: Of("\xff")},
		"postcode: holds the mark of a lost character (U+FFFD)":    {Key: key, Address: Address{Postcode: Of("\ufffd")}},
		"birth date: not YYYY, YYYY-MM or YYYY-MM-DD":              {Key: key, BirthDate: Of("2024-02-30")},
		"date of death: not within the years 1800 to 9999":         {Key: key, Death: Death{Formal, Period{at("1799-12-31T23:00:00Z"), at("1800-01-01T00:00:00Z"), Minute}, false}},
		"identifier: longer than 200 characters":                   {Key: key, Retired: Identifier{"a", "MR", strings.Repeat("7", 201)}},
		"more than 1000 identifiers, or more than 128 KiB of them": {Key: key, Identifiers: numbered(1001)},
	} {
		if got := fmt.Sprint(r.Finish()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	pass := Record{Act: Pass}
	expect(t, pass.Finish(), nil)
}

func numbered(n int) (all []Identifier) {
	for i := range n {
		all = append(all, Identifier{"a", "", fmt.Sprint(i)})
	}
	return all
}

func TestIdentifiersAreSortedWithoutRepetitions(t *testing.T) {
	r := Record{Key: Identifier{"a", "", "9"}, Identifiers: []Identifier{{"b", "", "2"}, {"b", "", ""}, {"a", "x", "1"}, {"a", "", "9"}, {"b", "", "2"}}}
	expect(t, r.Finish(), nil)
	expect(t, r.Identifiers, []Identifier{{"a", "", "9"}, {"a", "x", "1"}, {"b", "", "2"}})
}

func TestNHSNumbers(t *testing.T) {
	for value, want := range map[string]bool{
		"9434765919": true, "9000000009": true, "9733163201": true, "0000000000": true, "1111111111": true, "9999999999": true,
		"9434765918": false, "943476591": false, "94347659190": false, "943476591X": false, "": false,
	} {
		expect(t, validNHS(value), want)
	}
}
