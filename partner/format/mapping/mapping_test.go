package mapping

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"

	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// read makes a row of the columns a, b and c into a record, with the key in a column of its own.
func read(t testing.TB, m Map, a, b, c string) (record.Record, error) {
	t.Helper()
	if m.Key.Column == "" {
		m.Key = Identifier{Column: "key", Authority: "NGH", Type: "MR"}
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	set, err := charset.Of("")
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := m.New([]string{"Key", "A", "B", "C"}, " ", record.Site{Source: "ward", Zone: zone, Charset: set})
	if err != nil {
		t.Fatal(err)
	}
	return mapper.Record(record.Where{Line: 3}, [][]byte{[]byte("7"), []byte(a), []byte(b), []byte(c)})
}

func TestARow(t *testing.T) {
	m := Map{
		Family: Columns{"a"}, Given: Columns{"b", "c"}, Address: Address{Line: Columns{"b", "c"}, City: "a"},
		Identifiers: []Identifier{{Column: "b", Authority: "NHS", Type: "NH"}, {Column: "c"}},
		Sequence:    "c", Control: "c",
	}
	got, err := read(t, m, " Quill ", "9434765919", "12")
	expect(t, err, nil)
	expect(t, got, record.Record{
		Where: record.Where{Line: 3, Control: "12"}, Order: record.Order{Sequence: 12},
		Key:    record.Identifier{Authority: "NGH", Type: "MR", Value: "7"},
		Family: record.Of("Quill"), Given: record.Of("9434765919 12"),
		Address:     record.Address{Line: record.Of("9434765919, 12"), City: record.Of("Quill")},
		Identifiers: []record.Identifier{{Authority: "NGH", Type: "MR", Value: "7"}, {Authority: "NHS", Type: "NH", Value: "9434765919"}, {Authority: "ward", Value: "12"}},
	})
	_, err = read(t, m, "", "", "x")
	expect(t, fmt.Sprint(err), "C: not a number of at least 1")
}

func TestTextHasThreeStates(t *testing.T) {
	for _, c := range []struct {
		empty  string
		delete []string
		text   string
		want   record.Text
	}{
		{"", nil, "", record.Text{}},
		{"deleted", nil, "", record.Deleted},
		{"", []string{`""`, "NULL"}, "NULL", record.Deleted},
		{"", []string{`""`, "NULL"}, `""`, record.Deleted},
		{"", nil, "NULL", record.Of("NULL")},
	} {
		got, err := read(t, Map{Family: Columns{"a"}, Given: Columns{"a", "b"}, Empty: c.empty, Delete: c.delete}, c.text, c.text, "")
		expect(t, err, nil)
		expect(t, got.Family, c.want)
		if c.want.Deleted {
			expect(t, got.Given, record.Deleted)
		}
	}
}

func TestDates(t *testing.T) {
	day := func(text string) string { return text + " day" }
	for _, c := range []struct{ format, text, want string }{
		{"", "2024-05-06", day("2024-05-06")},
		{"iso", "2024-05", "2024-05 month"},
		{"iso", "2024", "2024 year"},
		{"iso", "06/05/2024", ""},
		{"dd/mm/yyyy", "06/05/2024", day("2024-05-06")},
		{"mm/dd/yyyy", "06/05/2024", day("2024-06-05")},
		{"dd/mm/yyyy", "6/5/2024", ""},
		{"d/m/yyyy", "6/5/2024", day("2024-05-06")},
		{"d.m.yyyy", "16.12.2024", day("2024-12-16")},
		{"dd/mm/yyyy", "05/2024", "2024-05 month"},
		{"dd/mm/yyyy", "2024", "2024 year"},
		{"dd/mm/yyyy", "00/05/2024", "2024-05 month"},
		{"dd/mm/yyyy", "00/00/2024", "2024 year"},
		{"dd/mm/yyyy", "99/05/2024", "2024-05 month"},
		{"dd/mm/yyyy", "99/99/9999", "none"},
		{"dd/mm/yyyy", "31/02/2024", ""},
		{"dd/mm/yyyy", "31/13/2024", ""},
		{"dd/mm/yyyy", "06-05-2024", ""},
		{"dd/mm/yyyy", "06/05/20245", ""},
		{"yyyymmdd", "20240506", day("2024-05-06")},
		{"yyyymmdd", "202405", "2024-05 month"},
		{"yyyymmdd", "20240500", "2024-05 month"},
		{"yyyymmdd", "2024", "2024 year"},
		{"dd-mon-yyyy", "06-MAY-2024", day("2024-05-06")},
		{"dd-mon-yyyy", "06-Mai-2024", ""},
		{"yyyy-mm-ddTHH:MM", "2024-05-06T07:08", "2024-05-06 minute"},
		{"yyyymmddHHMMSS", "20240506070859", "2024-05-06 minute"},
		{"yyyymmddHHMM", "20240506", day("2024-05-06")},
		{"yyyymmddHHMM", "202405062508", ""},
		{"dd.mm.yyyy HH:MM", "03.02.1950 00:00", "1950-02-03 minute"},
		{"dd.mm.yyyy HH:MM", "03.02.1950 10:05", "1950-02-03 minute"},
		{"dd.mm.yyyy HH:MM", "03.02.1950 10:30", "1950-02-03 minute"},
		{"mmddyyyy", "05062024", day("2024-05-06")},
		{"mmddyyyy", "051962", "1962-05 month"}, // not the 19th of the year 62
		{"yyyymmdd", "", "none"},
		{"yyyymmdd", "unknown", "none"},
	} {
		d := Date{Column: "a", Format: c.format, Unknown: []string{"99", "9999", "unknown"}}
		got, err := read(t, Map{Death: Death{Date: d}, BirthDate: d}, c.text, "", "")
		switch c.want {
		case "":
			if err == nil {
				t.Errorf("%q as %q is taken as %+v", c.text, c.format, got.Death)
			}
		case "none":
			if c.format != "" && c.format != "iso" && (err != nil || got.Death != (record.Death{}) || got.BirthDate.Said()) {
				t.Errorf("%q as %q: %+v %v", c.text, c.format, got.Death, err)
			}
		default:
			born, precision, _ := strings.Cut(c.want, " ")
			if err != nil || got.Death.Precision != precision || got.BirthDate.Value != born {
				t.Errorf("%q as %q: %q %+v %v", c.text, c.format, got.BirthDate.Value, got.Death, err)
			}
		}
	}
}

func TestDatesInParts(t *testing.T) {
	m := Map{Death: Death{Date: Date{Year: "a", Month: "b", Day: "c", Unknown: []string{"9999", "99"}}}}
	for parts, want := range map[string]string{
		"2024 05 06": "2024-05-05T22:00:00Z day", "2024 05 99": "2024-04-30T22:00:00Z month", "2024 99 06": "2023-12-31T23:00:00Z year",
		"2024  ": "2023-12-31T23:00:00Z year", "9999 99 99": "none", "  ": "none", "2024 13 01": "", "2024 02 30": "", "20x4 01 01": "",
	} {
		p := strings.Split(parts, " ")
		got, err := read(t, m, p[0], p[1], p[2])
		seen := "none"
		if err != nil {
			seen = ""
		} else if got.Death.Precision != "" {
			seen = got.Death.Earliest.Format(time.RFC3339) + " " + got.Death.Precision
		}
		if seen != want {
			t.Errorf("%s: %q, want %q", parts, seen, want)
		}
	}
}

func TestTimesOfDay(t *testing.T) {
	m := Map{Death: Death{Date: Date{Column: "a", Format: "yyyymmdd", Time: "b", Unknown: []string{"9999"}}}}
	for text, want := range map[string]string{
		"0708": "minute", "07:08": "minute", "070859": "minute", "9999": "day", "": "day", "2508": "", "7": "",
		"2400": "", "2359": "minute", "2360": "", "235960": "minute", "235961": "", "07085": "", "0708590": "", "0x08": "",
	} {
		got, err := read(t, m, "20240506", text, "")
		if got.Death.Precision != want || (err == nil) != (want != "") {
			t.Errorf("%q: %+v %v", text, got.Death, err)
		}
	}
	got, _ := read(t, m, "20240506", "0708", "")
	expect(t, got.Death.Period, record.Period{Earliest: at("2024-05-06T05:08:00Z"), Latest: at("2024-05-06T05:09:00Z"), Precision: "minute"})
}

// If a date is not known, its time is not known either.
func TestNoTimeOfNoDate(t *testing.T) {
	for _, d := range []Date{{Column: "a", Format: "yyyymmdd", Time: "c", Unknown: []string{"9999"}}, {Year: "a", Month: "b", Time: "c", Unknown: []string{"9999"}}} {
		got, err := read(t, Map{Death: Death{Date: d}, BirthDate: d, Recorded: d}, "9999", "", "25:08")
		expect(t, err, nil)
		expect(t, []any{got.Death, got.BirthDate, got.Order}, []any{record.Death{}, record.Text{}, record.Order{}})
		if _, err = read(t, Map{Death: Death{Date: d}}, "2024", "", "25:08"); err == nil {
			t.Error("the 26th hour is taken")
		}
	}
	d := Date{Column: "a", Unknown: []string{"9999-12-31"}}
	got, err := read(t, Map{Death: Death{Date: d}}, "9999-12-31", "", "")
	expect(t, err, nil)
	expect(t, got.Death, record.Death{})
}

func TestABirthDate(t *testing.T) {
	day := Date{Column: "a", Format: "dd.mm.yyyy"}
	got, err := read(t, Map{BirthDate: day, Delete: []string{"NULL"}}, "NULL", "", "")
	expect(t, err, nil)
	expect(t, got.BirthDate, record.Deleted)
	_, err = read(t, Map{BirthDate: day}, "31.02.1950", "", "")
	expect(t, fmt.Sprint(err), "A: not a date as declared")
	// If the patient is dead it is left out, with a warning.
	for _, c := range []struct {
		birth   Date
		a, b    string
		refused bool
	}{
		{birth: day, a: "31.02.1950"},
		{birth: day, a: "ward 12", refused: true},
		{birth: Date{Year: "a", Month: "b"}, a: "1950", b: "13"},
		{birth: Date{Year: "a", Month: "b"}, a: "1950", b: "ward", refused: true},
	} {
		got, err = read(t, Map{BirthDate: c.birth, Death: Death{Always: true}}, c.a, c.b, "")
		if (err != nil) != c.refused || !c.refused && (got.BirthDate.Said() || len(got.Warnings) != 1) {
			t.Errorf("%s %s: %+v %v, %v", c.a, c.b, got.BirthDate, got.Warnings, err)
		}
	}
}

// A site's placeholders are not dates, in every form that a date may have.
func TestPlaceholdersOfADeath(t *testing.T) {
	for _, d := range []Date{{Column: "a"}, {Column: "a", Format: "yyyy-mm-dd"}} {
		m := Map{Key: Identifier{Column: "key"}, Death: Death{Date: d}}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		set, err := charset.Of("")
		if err != nil {
			t.Fatal(err)
		}
		site := record.Site{Source: "ward", Zone: time.UTC, Charset: set, Rules: record.Rules{Placeholders: []string{"1900-01-01"}}}
		mapper, err := m.New([]string{"Key", "A"}, " ", site)
		if err != nil {
			t.Fatal(err)
		}
		for text, precision := range map[string]string{"1900-01-01": "", "1900-01-02": "day"} {
			got, err := mapper.Record(record.Where{Line: 3}, [][]byte{[]byte("7"), []byte(text)})
			if err != nil || got.Death.Precision != precision {
				t.Errorf("%s as %q: %+v %v", text, d.Format, got.Death, err)
			}
		}
	}
}

func TestVitalStatus(t *testing.T) {
	day := record.Period{Earliest: at("2024-05-05T22:00:00Z"), Latest: at("2024-05-06T22:00:00Z"), Precision: "day"}
	codes := Code{Column: "a", Values: map[string]string{"Y": record.Formal, "N": record.Alive, "V": record.Void, "U": ""}}
	for _, c := range []struct {
		death        Death
		code, date   string
		want         record.Death
		wantedReason string
	}{
		{Death{Status: codes}, "Y", "", record.Death{Status: record.Formal}, ""},
		{Death{Status: codes}, "N", "", record.Death{Status: record.Alive}, ""},
		{Death{Status: codes}, "V", "", record.Death{Status: record.Void}, ""},
		{Death{Status: codes}, "U", "", record.Death{}, ""},
		{Death{Status: codes}, "", "", record.Death{}, ""},
		{Death{Status: codes}, "Secret", "", record.Death{}, "A: a code that is not declared"},
		{Death{Status: codes}, "NULL", "", record.Death{Status: record.Alive}, ""},
		{Death{Status: codes}, "Y", "2024-05-06", record.Death{Status: record.Formal, Period: day}, ""},
		{Death{Status: codes}, "", "2024-05-06", record.Death{Status: record.Informal, Period: day}, ""},
		{Death{Status: codes}, "N", "2024-05-06", record.Death{}, "a date of death with a status that says alive"},
		{Death{Status: codes}, "V", "2024-05-06", record.Death{}, "a date of death with a status that says alive"},
		{Death{Status: codes}, "Y", "NULL", record.Death{Status: record.Formal, NoDate: true}, ""},
		{Death{}, "", "2024-05-06", record.Death{Status: record.Informal, Period: day}, ""},
		{Death{As: record.Formal}, "", "2024-05-06", record.Death{Status: record.Formal, Period: day}, ""},
		{Death{}, "", "", record.Death{}, ""},
		{Death{Always: true}, "", "", record.Death{Status: record.Informal}, ""},
		{Death{Status: Code{Column: "a"}}, "formal", "", record.Death{Status: record.Formal}, ""},
		{Death{Status: Code{Column: "a"}}, "Secret", "", record.Death{}, "A: a code that is not declared"},
		{Death{}, "", "Secret", record.Death{}, "B: " + date.ErrFHIR.Error()},
		{Death{Status: codes, Always: true}, "N", "", record.Death{Status: record.Alive}, ""},
		{Death{Status: codes, Always: true, As: record.Formal}, "", "", record.Death{Status: record.Formal}, ""},
		{Death{Status: codes}, "formal", "", record.Death{}, "A: a code that is not declared"},
		{Death{Status: Code{Column: "a", Values: map[string]string{"": record.Formal}}}, "", "", record.Death{Status: record.Formal}, ""},
		{Death{Status: codes}, "N", "NULL", record.Death{Status: record.Alive}, ""},
		{Death{}, "", "NULL", record.Death{}, ""},
	} {
		c.death.Date = Date{Column: "b"}
		got, err := read(t, Map{Death: c.death, Delete: []string{"NULL"}}, c.code, c.date, "")
		if reason := fmt.Sprint(err); c.wantedReason != "" {
			expect(t, reason, c.wantedReason)
			continue
		}
		expect(t, err, nil)
		expect(t, got.Death, c.want)
	}
}

func TestSexAndMerges(t *testing.T) {
	m := Map{Sex: Code{Column: "a", Values: map[string]string{"1": "male", "": "unknown"}}, Merged: "b"}
	got, err := read(t, m, "1", "8", "")
	expect(t, err, nil)
	expect(t, got.Sex, record.Of("male"))
	expect(t, []any{got.Act, got.Retired}, []any{record.Merge, record.Identifier{Authority: "NGH", Type: "MR", Value: "8"}})
	got, _ = read(t, m, "", "", "")
	expect(t, got.Sex, record.Of("unknown"))
	expect(t, got.Act, record.Change)
	_, err = read(t, m, "Secret", "", "")
	expect(t, fmt.Sprint(err), "A: a code that is not declared")
	_, err = read(t, m, "1", "7", "")
	expect(t, fmt.Sprint(err), "a record that is merged into itself")
}

func TestOrderByTime(t *testing.T) {
	for text, want := range map[string]time.Time{"06.05.2024 07:08:09": at("2024-05-06T05:08:09Z"), "06.05.2024": at("2024-05-05T22:00:00Z"), "": {}} {
		got, err := read(t, Map{Recorded: Date{Column: "a", Format: "dd.mm.yyyy HH:MM:SS"}}, text, "", "")
		expect(t, err, nil)
		expect(t, got.Order, record.Order{Event: want})
	}
}

func TestMapsAreChecked(t *testing.T) {
	key := Identifier{Column: "a"}
	for want, m := range map[string]Map{
		"map.key.column: name the column with the partner's key of the patient":                               {},
		"map.sex.column: name the column with these values":                                                   {Key: key, Sex: Code{Values: map[string]string{"1": "male"}}},
		"map.sex.values.1: must be one of male, female, other, unknown":                                       {Key: key, Sex: Code{Column: "a", Values: map[string]string{"1": "m"}}},
		"map.death.status.values.1: must be one of none, informal, formal, void":                              {Key: key, Death: Death{Status: Code{Column: "a", Values: map[string]string{"1": "dead"}}}},
		"map.name: give either name, or family and given":                                                     {Key: key, Given: Columns{"b"}, Name: Joined{"a", "{family},{given}"}},
		"map.name.column: give column and pattern":                                                            {Key: key, Name: Joined{Column: "a"}},
		"map.name.pattern: must be like {family}*{given}/ or {family}, {given}":                               {Key: key, Name: Joined{"a", "{family}*{family}"}},
		"map.death.void.values.1: must be one of valid, void":                                                 {Key: key, Death: Death{Void: Code{Column: "a", Values: map[string]string{"1": "yes"}}}},
		`map.death.void.values: say which values mean void and valid, such as {"1": void, "0": valid}`:        {Key: key, Death: Death{Void: Code{Column: "a"}}},
		"map.death.as: must be one of informal, formal":                                                       {Key: key, Death: Death{As: "x"}},
		"map.empty: must be one of unsaid, deleted":                                                           {Key: key, Empty: "x"},
		"map.identifiers.0: name its column":                                                                  {Key: key, Identifiers: []Identifier{{}}},
		"map.recorded.year: give either column, or year with month and day":                                   {Key: key, Recorded: Date{Column: "a", Year: "b"}},
		"map.birth_date.year: name the year's column, too":                                                    {Key: key, BirthDate: Date{Month: "b"}},
		`map.birth_date.format: hh is no part of a date; write HH`:                                            {Key: key, BirthDate: Date{Column: "b", Format: "dd.mm.yyyy hh:mi"}},
		"map.birth_date.format: yy can't be read, for it does not say the century; ask for yyyy":              {Key: key, BirthDate: Date{Column: "b", Format: "dd/mm/yy"}},
		"map.death.date.format: mm and mm both give the month; write one of them (months are mm, minutes MM)": {Key: key, Death: Death{Date: Date{Column: "b", Format: "dd.mm.yyyy HH:mm"}}},
	} {
		expect(t, fmt.Sprint(m.Check()), want)
	}
}

func TestColumnsInYAML(t *testing.T) {
	var m Map
	err := yaml.Load([]byte("family: a\ngiven: [b, c]\n"), &m, yaml.WithKnownFields())
	expect(t, err, nil)
	expect(t, []Columns{m.Family, m.Given}, []Columns{{"a"}, {"b", "c"}})
	expect(t, m.Names(), []string{"A", "B", "C"})
}

// For any text and layout, a date that is read exists in the calendar.
func FuzzDates(f *testing.F) {
	f.Add("dd/mm/yyyy", "06/05/2024")
	f.Add("yyyymmddHHMM", "202405060708")
	f.Add("d-mon-yyyy", "6-may-2024")
	f.Fuzz(func(t *testing.T, text, written string) {
		l, err := parseLayout(text)
		if err != nil || l.iso {
			return
		}
		d, err := l.Parse(written, "99")
		if err != nil || d.IsZero() {
			return
		}
		if born, err := birth(d); err == nil && !d.Exists() {
			t.Errorf("%q: %q", written, born)
		}
		if p, err := record.PeriodOf(d, time.UTC); err == nil && !p.Earliest.Before(p.Latest) {
			t.Errorf("%q: %v", written, p)
		}
	})
}
