package date

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLayouts(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "write at least yyyy; dates are written with " + Words,
		"dd.mm":              "write at least yyyy; dates are written with " + Words,
		"yyyy-dd":            "the day needs the month: mm, m or mon; dates are written with " + Words,
		"yyyy HH:MM":         "HH needs dd or d; dates are written with " + Words,
		"yyyy-mm-ddZZ":       "ZZ needs HH and MM; dates are written with " + Words,
		"yyyyyyyy":           "yyyy and yyyy both give the year; write one of them (months are mm, minutes MM)",
		"yyyy-mm-dd yy":      "yyyy and yy both give the year; write one of them (months are mm, minutes MM)",
		"dd.mm.yyyy HH:mm":   "mm and mm both give the month; write one of them (months are mm, minutes MM)",
		"MM/dd/yyyy":         "MM is the minute and needs HH; write mm for the month",
		"dd.mm.yyyy HH:SS":   "SS is the second and needs HH and MM",
		"dd.mm.yyyy hh:mi":   `hh is no part of a date; write HH`,
		"dd.mm.yyyy HH:mi":   `mi is no part of a date; write MM`,
		"dd.mm.yyyy HH24:MM": "",
		"DD.MM.YYYY":         `DD is no part of a date; write dd`,
		"dd-MON-yyyy":        `MON is no part of a date; write mon`,
		"yyyy-mm-ddTHH:MMZ":  "Z is no part of a date; write it with " + Words,
		"dd.mm.yyyy Uhr":     "U is no part of a date; write it with " + Words,
		"dd.mm.yyyy":         "", "yyyymmddHHMMSS": "", "yyyy-mm-ddTHH:MM:SSZZ": "", "d mon yyyy": "", "mm/yy": "", "yyyymmddHH": "",
	} {
		_, err := ParseLayout(text)
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"dd.mm.yy": "yy can't be read, for it does not say the century; ask for yyyy",
		"dmyyyy":   "d must not be followed by digits; write dd",
		"yyyy.m1":  "m must not be followed by digits; write mm",
	} {
		l, err := ParseLayout(text)
		if err != nil || fmt.Sprint(l.CheckRead()) != want {
			t.Errorf("%q: %v %v", text, err, l.CheckRead())
		}
	}
}

// Unknown parts of a date are left out with their separators, and are never made up.
func TestDatesAreAsExactAsTheyAreKnown(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	for layout, want := range map[string][4]string{ // year, month, day, minute
		"yyyy-mm-dd":          {"2026", "2026-02", "2026-02-03", "2026-02-03"},
		"dd.mm.yyyy":          {"2026", "02.2026", "03.02.2026", "03.02.2026"},
		"dd/mm/yy":            {"26", "02/26", "03/02/26", "03/02/26"},
		"d/m/yyyy":            {"2026", "2/2026", "3/2/2026", "3/2/2026"},
		"dd-mon-yyyy":         {"2026", "Feb-2026", "03-Feb-2026", "03-Feb-2026"},
		"yyyymmddHHMM":        {"2026", "202602", "20260203", "202602030405"},
		"yyyy-mm-ddTHH:MM:SS": {"2026", "2026-02", "2026-02-03", "2026-02-03T04:05:06"},
		"dd.mm.yyyy HH:MM":    {"2026", "02.2026", "03.02.2026", "03.02.2026 04:05"},
		"yyyy-mm-ddTHH:MMZZ":  {"2026", "2026-02", "2026-02-03", "2026-02-03T04:05+01:00"},
		"(mm/dd/yyyy HH:MM)":  {"2026", "02/2026", "02/03/2026", "(02/03/2026 04:05)"},
		"(yyyy)":              {"(2026)", "(2026)", "(2026)", "(2026)"},
	} {
		l, err := ParseLayout(layout)
		if err != nil {
			t.Errorf("%q: %v", layout, err)
			continue
		}
		for i, precision := range []string{"year", "month", "day", "minute"} {
			if got := l.Format(Of(at, precision)); got != want[i] {
				t.Errorf("%s to the %s is %q, want %q", layout, precision, got, want[i])
			}
		}
	}
}

func TestOffsetsAreRead(t *testing.T) {
	l, err := ParseLayout("yyyymmddTHHMMZZ")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"20260701T0830Z": "2026-07-01T08:30:00Z", "20260701T0830+02:00": "2026-07-01T06:30:00Z", "20260701t0830-0530": "2026-07-01T14:00:00Z",
		"20260701T0830": "", "20260701T0830+2": "", "20260701T0830ZZ": "", "20260701T0830+25:00": "",
	} {
		d, err := l.Parse(text)
		if got := d.Time(time.UTC).UTC().Format(time.RFC3339); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %s %v, want %s", text, got, err, want)
		}
	}
}

// In the hour that clocks show twice, only the offset says when it was.
func TestTheHourThatClocksShowTwice(t *testing.T) {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseLayout("yyyy-mm-ddTHH:MMZZ")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"} {
		at, err := time.Parse(time.RFC3339, want)
		if err != nil {
			t.Fatal(err)
		}
		written := l.Format(Of(at.In(zone), "minute"))
		d, err := l.Parse(written)
		if got := d.Time(zone).UTC().Format(time.RFC3339); err != nil || got != want {
			t.Errorf("%s is written %s, which is %s, %v", want, written, got, err)
		}
	}
}

// A minute may have a leap second. It counts as the second before it.
func TestTimesOfDayHaveBounds(t *testing.T) {
	for text, want := range map[string]string{
		"20261231T235959": "2026-12-31T23:59:59Z", "20261231T235960": "2026-12-31T23:59:59Z", "20261231T235961": "", "20261231T236000": "", "20261231T240000": "",
		"20261301T000000": "", "20261232T000000": "", "20261231T000000": "2026-12-31T00:00:00Z",
	} {
		l, err := ParseLayout("yyyymmddTHHMMSS")
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Parse(text)
		if got := d.Time(time.UTC).Format(time.RFC3339); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %s %v, want %q", text, got, err, want)
		}
	}
	for text, fits := range map[string]bool{"2359": true, "2360": false, "2400": false, "23:59:60": true, "235961": false, "": false, "23": false, "235": false, "23595": false} {
		var d Date
		if err := d.SetTime(text); (err == nil) != fits {
			t.Errorf("%q: %+v %v", text, d, err)
		}
	}
}

func TestDatesOfThreeColumns(t *testing.T) {
	for text, want := range map[string]string{"2026 12 31": "2026-12-31", "2026 13 1": "", "2026 12 32": "", "2026 0 0": "2026", "20261 1 1": "", " 1 1": "0000-01-01"} {
		p := strings.Split(text, " ")
		d, err := Join(p[0], p[1], p[2], nil)
		if got := d.ISO(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %s %v, want %q", text, got, err, want)
		}
	}
}

// layoutText draws any order of tokens of any spelling, with or without text between them.
func layoutText(t *rapid.T) string {
	words := []string{"yyyy"}
	pick := func(words ...string) string { return rapid.SampledFrom(words).Draw(t, "word") }
	depth := rapid.IntRange(0, 5).Draw(t, "depth")
	for i, more := range [][]string{{"mm", "m", "mon"}, {"dd", "d"}, {"HH"}, {"MM"}, {"SS", "ZZ"}} {
		if i < depth {
			words = append(words, pick(more...))
		}
	}
	var b strings.Builder
	separator := rapid.SampledFrom([]string{"", "", "-", ".", "/", " ", "T", ", ", "1"})
	for _, word := range rapid.Permutation(words).Draw(t, "words") {
		b.WriteString(separator.Draw(t, "separator") + word)
	}
	return b.String() + separator.Draw(t, "end")
}

// known returns the parts of a date that a layout can hold.
func (l Layout) known(d Date) (out Date) {
	has := func(u unit) bool {
		for _, p := range l.ways[0] {
			if p.is(u) {
				return true
			}
		}
		return false
	}
	for u, set := range map[unit]func(){
		year: func() { out.Year = d.Year }, month: func() { out.Month = d.Month }, day: func() { out.Day = d.Day },
		hour: func() { out.Hour = d.Hour }, minute: func() { out.Minute, out.Timed = d.Minute, d.Timed }, second: func() { out.Second = d.Second },
	} {
		if has(u) {
			set()
		}
	}
	if has(offset) {
		out.Zone = d.Zone
	}
	return out
}

func same(a, b Date) bool {
	zone := (a.Zone == nil) == (b.Zone == nil) && a.Time(time.UTC).Equal(b.Time(time.UTC))
	a.Zone, b.Zone = nil, nil
	return zone && a == b
}

func roundTrip(t rapid.TB, text string, at time.Time, precision string) {
	l, err := ParseLayout(text)
	if err != nil || l.CheckRead() != nil {
		return
	}
	d := Of(at, precision)
	written := l.Format(d)
	if read, err := l.Parse(written); err != nil || !same(read, l.known(d)) {
		t.Fatalf("%q of %+v is %q, read as %+v (%v)", text, l.known(d), written, read, err)
	}
}

func TestWhatIsWrittenIsReadTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(-2e9, 4e9).Draw(t, "seconds")
		zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "zone"))
		roundTrip(t, layoutText(t), time.Unix(seconds, 0).In(zone), rapid.SampledFrom([]string{"year", "month", "day", "minute"}).Draw(t, "precision"))
	})
}

// For any text and layout, a date that is read stays the same when it is written and read again.
func FuzzLayouts(f *testing.F) {
	f.Add("dd/mm/yyyy", "06/05/2024", int64(0))
	f.Add("yyyymmddHHMM", "202405060708", int64(1e9))
	f.Add("d-mon-yyyy HH:MMZZ", "6-may-2024 01:02+01:00", int64(-1e9))
	f.Fuzz(func(t *testing.T, text, written string, seconds int64) {
		for _, precision := range []string{"year", "month", "day", "minute"} {
			if at := time.Unix(seconds%4e9, 0).UTC(); at.Year() > 0 && at.Year() < 10000 {
				roundTrip(t, text, at, precision)
			}
		}
		l, err := ParseLayout(text)
		if err != nil || l.CheckRead() != nil {
			return
		}
		if d, err := l.Parse(written, "99"); err == nil && (d.Month > 12 || d.Day > 31 || d.Hour > 23 || d.Minute > 59 || d.Year > 9999) {
			t.Errorf("%q as %q: %+v", written, text, d)
		}
	})
}

func TestDatesOfStandards(t *testing.T) {
	for _, c := range []struct{ text, fhir, hl7 string }{
		{"2024", "2024", "2024"},
		{"2024-02-29", "2024-02-29", ""},
		{"20240229", "", "2024-02-29"},
		{"2023-02-29", "", ""},
		{"0000", "", ""},
		{"2024-00", "", ""},
		{"2024-05-00", "", ""},
		{"20240500", "", ""},
		{"2024-05-06T07", "", ""},
		{"2024050607", "", "2024-05-06"},
		{"20240506070", "", ""},
		{"2024-05-06T07:08Z", "2024-05-06 07:08:00 +0000", ""},
		{"2024-05-06+01:00", "", ""},
		{"20240506+0100", "", "2024-05-06"},
		{"20240506070809Z", "", ""},
		{"20240506070809.5-0330", "", "2024-05-06 07:08:09.5 -0330"},
		{"2024-05-06T23:59:60.+14:00", "", ""},
		{"2024-05-06T23:59:60.25+14:00", "2024-05-06 23:59:59.25 +1400", ""},
		{"2024-05-06T23:59:59+14:30", "", ""},
		{"202405060708.5", "", ""},
	} {
		for i, parse := range []func(string) (Date, error){ParseFHIR, ParseHL7} {
			got := ""
			if d, err := parse(c.text); err == nil && d.Timed {
				got = d.Time(time.UTC).Format("2006-01-02 15:04:05.999 -0700")
			} else if err == nil {
				got = d.ISO()
			}
			if want := []string{c.fhir, c.hl7}[i]; got != want {
				t.Errorf("%s is %q, want %q", c.text, got, want)
			}
		}
	}
}
