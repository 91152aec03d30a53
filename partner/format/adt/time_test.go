package adt

import (
	"strings"
	"testing"
	"time"

	"waybill/partner/format/record"
)

// MSH-7's offset is that of a message's times, and a time that clocks skip or show twice is said to be one.
func TestZones(t *testing.T) {
	for name, c := range map[string]struct{ sent, at, want string }{
		"the partner's":                  {"20240506", "202405061000", "2024-05-06T08:00:00Z"},
		"the message's":                  {"20240506070809-0500", "202405061000", "2024-05-06T15:00:00Z"},
		"its own":                        {"20240506070809-0500", "202405061000+0100", "2024-05-06T09:00:00Z"},
		"the same on another day":        {"20240506070809+0200", "202401061000", "2024-01-06T09:00:00Z"},
		"the day of the message's":       {"20240506070809-0500", "20240506", "2024-05-06T05:00:00Z"},
		"skipped":                        {"20240506", "202403310230", "PID-29: a time that the clocks of the zone skip; it needs an offset"},
		"twice":                          {"20240506", "202310290230", "PID-29: a time that the clocks of the zone show twice; it needs an offset"},
		"twice, but the offset is known": {"20240506070809-0500", "202310290230", "2023-10-29T07:30:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, strings.Replace(hl7Text("A08", vital(c.at, "Y")), "20240506070809+0200", c.sent, 1), Options{})
			for _, r := range rows {
				refused = append(refused, r.Death.Earliest.Format(time.RFC3339))
			}
			expect(t, refused, []string{c.want})
		})
	}
}

// A placeholder is no date, no matter what the indicator says.
func TestPlaceholders(t *testing.T) {
	where := site(t, "")
	where.Placeholders = []string{"9999-12-31", "00000000"}
	for of, want := range map[string]record.Death{"": {}, "Y": {Status: record.Informal}, "N": {Status: record.Alive}} {
		for _, date := range []string{"99991231", "999912310000", "00000000"} {
			for r, err := range Read(strings.NewReader(hl7Text("A08", vital(date, of))), &Options{}, where) {
				expect(t, err, nil)
				expect(t, r.Death, want)
			}
		}
	}
}
