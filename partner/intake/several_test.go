package intake

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"waybill/partner/format/fixed"
	"waybill/partner/format/record"
)

// A record of several lines that was set aside is still one record when it is released.
func TestARecordOfSeveralLinesIsReleasedWhole(t *testing.T) {
	for end, set := range map[string]string{"\n": "", "\r\n": "utf-16", "": ""} {
		l := &fixed.Layout{Length: 10, Lines: &fixed.Lines{Head: "A", More: []string{"B"}}, Map: lab().CSV.Map, Fields: []fixed.Field{
			{Name: "ID", From: 2, Length: 3},
			{Name: "FAMILY", From: 5, Length: 6},
			{Name: "DIED", From: 2, Length: 4, Line: "B"},
		}}
		l.Map.Given, l.Map.BirthDate.Column = nil, ""
		f := &Format{Kind: "fixed", Charset: set, Fixed: l}
		text := "A007Quill " + end + "B2024     " + end + "C         " + end + "A008Reed  " + end
		if end == "" {
			l.Ends = "none"
		}
		if set != "" {
			l.Unit = "characters"
			wide := "\xff\xfe"
			for _, c := range text {
				wide += string(c) + "\x00"
			}
			text = wide
		}
		opened, err := f.Open("the file", "source", time.Now(), bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		for _, err := range opened.All() {
			if bad, is := errors.AsType[*record.Refused](err); is {
				raw = bad.Raw
			}
		}
		l.Lines.More = append(l.Lines.More, "C") // the partner's file was corrected
		expect(t, statements(t, f.OfOneRecord(), raw), []string{"007 died 2024-07-02"})
	}
}
