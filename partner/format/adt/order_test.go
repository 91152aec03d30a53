package adt

import (
	"testing"

	"waybill/partner/format/record"
)

// EVN-2 comes first, then EVN-6 if EVN-2 is missing, then MSH-7 if both are missing or say the same.
func TestTheOrderOfMessages(t *testing.T) {
	const body = "\rPID|||7^^^NGH^MR\r"
	for text, want := range map[string]record.Order{
		"MSH|^~\\&|||||20240506070809+0000||ADT^A08|1\rEVN|A08|20240506070500+0000" + body: {Event: at("2024-05-06T07:05:00Z"), Sent: at("2024-05-06T07:08:09Z")},
		"MSH|^~\\&|||||20240506070809+0000||ADT^A08|1\rEVN|A08|20240506070809+0000" + body: {Event: at("2024-05-06T07:08:09Z"), Sent: at("2024-05-06T07:08:09Z")},
		"MSH|^~\\&|||||||ADT^A08|1\rEVN|A08|||||20240506070500+0000" + body:                {Event: at("2024-05-06T07:05:00Z")},
		"MSH|^~\\&|||||20240506070809+0000||ADT^A08|1\rEVN|A08" + body:                     {Event: at("2024-05-06T07:08:09Z"), Sent: at("2024-05-06T07:08:09Z")},
	} {
		rows, refused := read(t, text, Options{})
		if len(rows) != 1 || len(refused) > 0 {
			t.Fatalf("%q: %d rows, refused %q", text, len(rows), refused)
		}
		expect(t, rows[0].Order, want)
	}
}
