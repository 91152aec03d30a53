package record

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/partner/format/date"
)

func TestPeriodsAreThoseOfTheSitesZone(t *testing.T) {
	for text, want := range map[string]Period{
		"2024":    {at("2023-12-31T23:00:00Z"), at("2024-12-31T23:00:00Z"), "year"},
		"2024-02": {at("2024-01-31T23:00:00Z"), at("2024-02-29T23:00:00Z"), "month"},
		"2024-12": {at("2024-11-30T23:00:00Z"), at("2024-12-31T23:00:00Z"), "month"},
		// The clocks go forward: a day of 23 hours.
		"2024-03-31": {at("2024-03-30T23:00:00Z"), at("2024-03-31T22:00:00Z"), "day"},
		// And back: a month of 31 days and one hour.
		"2024-10":                   {at("2024-09-30T22:00:00Z"), at("2024-10-31T23:00:00Z"), "month"},
		"2024-05-06T07:08:59+02:00": {at("2024-05-06T05:08:00Z"), at("2024-05-06T05:09:00Z"), "minute"},
		"2024-05-06T07:08:09.999Z":  {at("2024-05-06T07:08:00Z"), at("2024-05-06T07:09:00Z"), "minute"},
		"2024-05-06T23:30-09:30":    {at("2024-05-07T09:00:00Z"), at("2024-05-07T09:01:00Z"), "minute"},
		"2024-05-06T07:08:09":       {at("2024-05-06T05:08:00Z"), at("2024-05-06T05:09:00Z"), "minute"},
		"2024-12-06T07:08":          {at("2024-12-06T06:08:00Z"), at("2024-12-06T06:09:00Z"), "minute"},
	} {
		got, err := periodOf(text, berlin(t))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		expect(t, got, want)
	}
}

func TestPeriodsWithoutAnOffsetDependOnTheZone(t *testing.T) {
	got, err := periodOf("2024-05-06", time.FixedZone("", -5*3600))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, Period{at("2024-05-06T05:00:00Z"), at("2024-05-07T05:00:00Z"), "day"})
}

func TestWhatIsNoDate(t *testing.T) {
	for _, text := range []string{
		"", "24", "2024-13", "2024-00", "2024-02-30", "2023-02-29", "2024-1-1", "20240506", "06.05.2024", "05/06/2024",
		"2024-05-06T", "2024-05-06 07:08:09Z", "2024-05-06T25:00:00Z", "2024-05-06T07:61:00Z", "2024-05-06T07Z", "2024-05-06T07:08:09+0200", "yesterday!",
	} {
		if p, err := periodOf(text, time.UTC); err == nil {
			t.Errorf("%q is taken as %v", text, p)
		}
	}
}

// These zones have changed their clocks at midnight, or skipped a day.
func TestDaysTileAndBeginOnTheirDate(t *testing.T) {
	skipped := map[string]string{"Pacific/Apia": "2011-12-30"}
	for _, name := range []string{"Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		end := StartOf(time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC), zone)
		for day := range 3 * 365 {
			date := time.Date(2011, 1, 1+day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			p, err := periodOf(date, zone)
			if date == skipped[name] {
				if err == nil {
					t.Errorf("%s: %s is taken as %v", name, date, p)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %s: %v", name, date, err)
			}
			if got := p.Earliest.In(zone).Format(time.DateOnly); !p.Earliest.Equal(end) || got != date {
				t.Errorf("%s: %s begins on %s at %s, the day before ends at %s", name, date, got, p.Earliest, end)
			}
			end = p.Latest
		}
	}
}

func periodOf(text string, zone *time.Location) (Period, error) {
	d, err := date.ParseFHIR(text)
	if err != nil {
		return Period{}, err
	}
	return PeriodOf(d, zone)
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Every text that is a date names a period that is not empty and holds its own first instant.
func FuzzPeriod(f *testing.F) {
	for _, text := range []string{"2024", "2024-05", "2024-05-06", "2024-05-06T07:08:09+02:00", "2011-12-30", "0000", "0000-02", "0000-02-29", "0001", "9999-12-31T23:59:60Z"} {
		f.Add(text)
	}
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := periodOf(text, zone)
		if err != nil {
			return
		}
		d, _ := date.ParseFHIR(text)
		first, err := InstantOf(d, zone)
		if err != nil || first.Before(p.Earliest) || !first.Before(p.Latest) {
			t.Errorf("%q: %v %v not in %v", text, first, err, p)
		}
	})
}

// Times in the hour that clocks show twice have no order among themselves, and are between those before and after.
func TestTimesOfTheHourShownTwiceAreEqual(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, text := range []string{"202610250159", "202610250200", "202610250230", "20261025021000", "2026102502", "202610250230+0100", "202610250300"} {
		d, err := date.ParseHL7(text)
		if err != nil {
			t.Fatal(err)
		}
		at, err := InstantOf(d, zone)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, at.Format("15:04"))
	}
	if want := []string{"23:59", "00:00", "00:00", "00:00", "00:00", "01:30", "02:00"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
