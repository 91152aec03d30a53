package adt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func site(t testing.TB, set string) record.Site {
	t.Helper()
	c, err := charset.Of(set)
	if err != nil {
		t.Fatal(err)
	}
	return record.Site{Source: "ward", Charset: c, Zone: berlin(t), Note: func(string) {}}
}

// read returns a file's records, and the reasons of those refused.
func read(t testing.TB, text string, o Options) (rows []record.Record, refused []string) {
	t.Helper()
	for r, err := range Read(strings.NewReader(text), &o, site(t, "")) {
		if bad, ok := errors.AsType[*record.Refused](err); ok {
			refused = append(refused, bad.Reason)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows, refused
}

// one returns the only record of an ADT message.
func one(t testing.TB, event string, segments ...string) record.Record {
	t.Helper()
	rows, refused := read(t, hl7Text(event, segments...), Options{})
	if len(rows) != 1 {
		t.Fatalf("%d records, refused: %q", len(rows), refused)
	}
	return rows[0]
}

func hl7Text(event string, segments ...string) string {
	return `MSH|^~\&|PAS|NGH|WB|HUB|20240506070809+0200||ADT^` + event + `|17|P|2.5` + "\r" + strings.Join(segments, "\r") + "\r"
}

// pid returns a PID with the given fields, from PID-3 on.
func pid(fields ...string) string { return "PID|1||" + strings.Join(fields, "|") }

// vital returns a PID with PID-29 and PID-30.
func vital(at, indicator string) string {
	return "PID|||7^^^NGH^MR" + strings.Repeat("|", 26) + at + "|" + indicator
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestAPatient(t *testing.T) {
	got := one(t, "A08",
		"EVN|A08|20240506070500",
		pid(`7^3^M11^NGH&1.2.3&ISO^MR~9434765919^^^NHS^NH~^^^X`, "", `Quill&&&&Reed^Ada^May^^Ms^^L~Old^Name^^^^^M`, "",
			"195002031200", "F", "", "", `1 Wharf Lane^Flat 2^Porthaven^^PH1 2AB^XX^BA~2 Quay\T\Dock^^Porthaven^^PH2^GB^H`))
	if got.Message == nil || got.Message.Hash == [32]byte{} {
		t.Fatal("no head")
	}
	got.Message.Hash = [32]byte{}
	expect(t, got, record.Record{
		Where: record.Where{Line: 1, From: 0, To: got.To, Control: "17"},
		Message: &record.Message{
			SendingApplication: "PAS", SendingFacility: "NGH", ReceivingApplication: "WB", ReceivingFacility: "HUB",
			Control: "17", Processing: "P", Version: "2.5", Type: "ADT", Event: "A08",
		},
		Order:     record.Order{Event: at("2024-05-06T05:05:00Z"), Sent: at("2024-05-06T05:08:09Z")},
		Key:       record.Identifier{Authority: "NGH", Type: "MR", Value: "7"},
		Family:    record.Of("Quill"),
		Given:     record.Of("Ada May"),
		BirthDate: record.Of("1950-02-03"),
		Sex:       record.Of("female"),
		Address: record.Address{
			Line: record.Of("2 Quay&Dock"), City: record.Of("Porthaven"), Postcode: record.Of("PH2"), Country: record.Of("GB"),
		},
		Identifiers: []record.Identifier{{Authority: "NGH", Type: "MR", Value: "7"}, {Authority: "NHS", Type: "NH", Value: "9434765919"}},
	})
}

func TestTextHasThreeStates(t *testing.T) {
	unsaid, deleted := record.Text{}, record.Deleted
	for name, c := range map[string]struct {
		fields                   []string
		family, given, born, sex record.Text
		city                     record.Text
	}{
		"empty":           {[]string{"7"}, unsaid, unsaid, unsaid, unsaid, unsaid},
		"deleted":         {[]string{"7", "", `""`, "", `""`, `""`, "", "", `""`}, deleted, deleted, deleted, deleted, deleted},
		"parts deleted":   {[]string{"7", "", `Quill^""`, "", "", "", "", "", `1 Lane^^""`}, record.Of("Quill"), deleted, unsaid, unsaid, deleted},
		"one of two":      {[]string{"7", "", `Quill^Ada^""`}, record.Of("Quill"), record.Of("Ada"), unsaid, unsaid, unsaid},
		"month of birth":  {[]string{"7", "", "", "", "195002", "u"}, unsaid, unsaid, record.Of("1950-02"), record.Of("unknown"), unsaid},
		"year of birth":   {[]string{"7", "", "", "", "1950", "A"}, unsaid, unsaid, record.Of("1950"), record.Of("other"), unsaid},
		"birth with zone": {[]string{"7", "", "", "", "19500203100000+0200", "X"}, unsaid, unsaid, record.Of("1950-02-03"), record.Of("other"), unsaid},
	} {
		t.Run(name, func(t *testing.T) {
			got := one(t, "A31", pid(c.fields...))
			expect(t, []record.Text{got.Family, got.Given, got.BirthDate, got.Sex, got.Address.City}, []record.Text{c.family, c.given, c.born, c.sex, c.city})
		})
	}
}

func TestVitalStatus(t *testing.T) {
	minute := record.Period{Earliest: at("2024-05-06T05:08:00Z"), Latest: at("2024-05-06T05:09:00Z"), Precision: "minute"}
	day := record.Period{Earliest: at("2024-05-05T22:00:00Z"), Latest: at("2024-05-06T22:00:00Z"), Precision: "day"}
	month := record.Period{Earliest: at("2024-04-30T22:00:00Z"), Latest: at("2024-05-31T22:00:00Z"), Precision: "month"}
	year := record.Period{Earliest: at("2023-12-31T23:00:00Z"), Latest: at("2024-12-31T23:00:00Z"), Precision: "year"}
	for _, c := range []struct {
		at, indicator string
		want          record.Death
	}{
		{"", "", record.Death{}}, // an empty value is not a retraction
		{"", "Y", record.Death{Status: record.Informal}},
		{"", "DECEASED", record.Death{Status: record.Informal}},
		{"", " y ", record.Death{Status: record.Informal}},
		{`""`, "Y", record.Death{Status: record.Informal, NoDate: true}},
		{"", "N", record.Death{Status: record.Alive}},
		{"", "NO ", record.Death{Status: record.Alive}},
		{"", `""`, record.Death{Status: record.Alive}},
		{`""`, `""`, record.Death{Status: record.Alive}},
		{`""`, "N", record.Death{Status: record.Alive}},
		{"20240506070809", "", record.Death{Status: record.Informal, Period: minute}},
		{"20240506070809", "Y", record.Death{Status: record.Informal, Period: minute}},
		{"202405060508Z"[:12] + "+0000", "Y", record.Death{Status: record.Informal, Period: minute}},
		{"20240506012359.9-0344", "Y", record.Death{Status: record.Informal, Period: record.Period{Earliest: at("2024-05-06T05:07:00Z"), Latest: at("2024-05-06T05:08:00Z"), Precision: "minute"}}},
		{"2024050607", "Y", record.Death{Status: record.Informal, Period: day}}, // an hour counts as a day
		{"20240506", "Y", record.Death{Status: record.Informal, Period: day}},
		{"202405", "Y", record.Death{Status: record.Informal, Period: month}},
		{"2024", "Y", record.Death{Status: record.Informal, Period: year}},
	} {
		for _, event := range []string{"A01", "A03", "A08", "A28", "A31"} {
			expect(t, one(t, event, vital(c.at, c.indicator)).Death, c.want)
		}
		for _, event := range []string{"A11", "A13"} {
			got := one(t, event, vital(c.at, c.indicator))
			expect(t, got.Death, record.Death{})
			expect(t, len(got.Warnings) > 0, c.at+c.indicator != "")
		}
		for _, event := range []string{"A29", "A23"} {
			expect(t, one(t, event, vital(c.at, c.indicator)).Act, record.Pass)
		}
	}
	rows, _ := read(t, hl7Text("A01", vital("", "Y")), Options{Deaths: record.Formal})
	expect(t, rows[0].Death.Status, record.Formal)
}

// Each of these holds the word Secret where patient data would be; a reason never repeats it.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ segments, want string }{
		"N with a date":         {vital("20240506", "N"), errContradiction.Error()},
		"NO with a date":        {vital("20240506", "NO "), errContradiction.Error()},
		`"" with a date`:        {vital("20240506", `""`), errContradiction.Error()},
		"the date alone goes":   {vital(`""`, ""), "PID-29 deletes the time of death, and PID-30 does not say whether there was one"},
		"neither yes nor no":    {vital("", "Secret"), "PID-30 is neither yes nor no"},
		"no date":               {vital("Secret", "Y"), "PID-29: " + date.ErrHL7.Error()},
		"no day":                {vital("20240230", "Y"), "PID-29: " + date.ErrHL7.Error()},
		"unknown parts":         {vital("20240000", "Y"), "PID-29: " + date.ErrHL7.Error()},
		"half an offset":        {vital("20240506070809+02", "Y"), "PID-29: " + date.ErrHL7.Error()},
		"a death of long ago":   {vital("1799", "Y"), "date of death: not within the years 1800 to 9999"},
		"birth":                 {pid("7", "", "", "", "196203520"), "PID-7: " + date.ErrHL7.Error()},
		"birth of half an hour": {pid("7", "", "", "", "19620520100"), "PID-7: " + date.ErrHL7.Error()},
		"birth of 16 digits":    {pid("7", "", "", "", "1962052010000000"), "PID-7: " + date.ErrHL7.Error()},
		"no PID":                {"PV1|1", "no PID"},
		"no identifier":         {pid(""), "PID-3: no identifier of the key's authority and type"},
		"a deleted identifier":  {pid(`""`), "PID-3: no identifier of the key's authority and type"},
		"a long name":           {pid("7", "", strings.Repeat("Secret", 40)), "family name: longer than 200 characters"},
		"bad bytes":             {pid("7", "", "Secret\xfc\xfd"), "2 characters that are not utf-8"},
		"a NUL":                 {pid("7", "", "Sec\x00ret"), "holds a NUL character"},
		"a line break":          {pid("7", "", "Secret\nname"), "a line that is no segment"},
		"a placeholder as key":  {pid("1111111111^^^NHS^NH"), "the id is a filler, a spreadsheet's error, or a number that a spreadsheet rounded"},
		"the second of two":     {pid("7") + "\r" + vital("", "Secret"), "a second PID, which this event does not have: two messages may have become one"},
		"a second EVN":          {"EVN|A08\rEVN|A08\r" + pid("7"), "a second EVN: two messages may have become one"},
		"an escape of no UTF-8": {pid("7", "", `Secret\XFF\`), "family name: not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, hl7Text("A08", strings.Split(c.segments, "\r")...)+hl7Text("A08", pid("8")), Options{})
			expect(t, len(rows), 1) // the next message is read
			expect(t, refused, []string{c.want})
		})
	}
}

func TestARefusalSaysWhereItWas(t *testing.T) {
	text := hl7Text("A08", pid("7")) + hl7Text("A08", "PV1|1")
	for _, err := range Read(strings.NewReader(text), &Options{}, site(t, "")) {
		bad, ok := errors.AsType[*record.Refused](err)
		if !ok {
			continue
		}
		expect(t, bad.Where, record.Where{Line: 3, From: int64(len(hl7Text("A08", pid("7")))), To: int64(len(text)), Control: "17"})
		expect(t, bad.Message.SendingApplication, "PAS")
		expect(t, string(bad.Raw), text[bad.From:bad.To])
	}
}

func TestKeys(t *testing.T) {
	list := "1^^^A^PI~2^^^B&1.2.3&ISO^MR~3^^^&1.2.3&ISO^MR~4^^^^SS"
	for want, key := range map[string]record.Kind{
		"A PI 1": {}, "B MR 2": {Type: "MR"}, "oid MR 3": {Authority: "oid"}, "ward SS 4": {Authority: "ward"},
	} {
		rows, refused := read(t, hl7Text("A08", pid(list)), Options{Key: key, Authorities: map[string]string{"1.2.3": "oid"}})
		if len(rows) != 1 {
			t.Fatal(refused)
		}
		expect(t, fmt.Sprintf("%s %s %s", rows[0].Key.Authority, rows[0].Key.Type, rows[0].Key.Value), want)
		expect(t, len(rows[0].Identifiers), 4)
	}
	if got := one(t, "A01", "PID|1|5^^^X|"); got.Key.Value != "5" {
		t.Errorf("PID-2 of old versions: %v", got.Key)
	}
}

func TestNHSNumbers(t *testing.T) {
	got := one(t, "A08", pid("7~9434765918^^^NHS^NH~0000000000^^^NHS^NH"))
	expect(t, got.Warnings, []string{"an identifier that is a filler or a spreadsheet's error was left out", "an NHS number with a wrong check digit"})
	expect(t, len(got.Identifiers), 2)
}

// Identifiers outside of PID-3 are taken if the partner has declared them. Otherwise a warning says that they are
// lost.
func TestFieldsOfIdentifiers(t *testing.T) {
	text := hl7Text("A28", "PID||9434765919^^^NHS~7|7^^^NGH^MR|5^^^ALT^AN"+strings.Repeat("|", 15)+"123-45-6789")
	rows, _ := read(t, text, Options{})
	expect(t, len(rows[0].Identifiers), 1)
	expect(t, rows[0].Warnings, []string{"hl7.identifiers does not name pid-2, pid-4, pid-19, whose identifiers were dropped"})
	rows, _ = read(t, text, Options{Identifiers: []string{"pid-2", "pid-3", "pid-19"}, Key: record.Kind{Authority: "NGH"}})
	expect(t, rows[0].Identifiers, []record.Identifier{
		{Authority: "NGH", Type: "MR", Value: "7"}, {Authority: "NHS", Value: "9434765919"}, {Authority: "ward", Value: "7"}, {Authority: "ward", Type: "SS", Value: "123-45-6789"},
	})
	expect(t, len(rows[0].Warnings), 1)
	expect(t, rows[0].Key.Value, "7")
	for _, nothing := range []string{"7^^^NGH^MR", "^^^NGH^MR", `""`, `""^^^NGH^MR`} { // the same number, or none
		rows, _ = read(t, hl7Text("A28", "PID||"+nothing+"|7^^^NGH^MR|"+nothing), Options{})
		expect(t, rows[0].Warnings, []string(nil))
	}
}

func TestADeathDoesNotWaitForABirthDate(t *testing.T) {
	got := one(t, "A08", strings.Replace(vital("", "Y"), "|||||||||", "||||19510231|||||", 1))
	expect(t, got.Death.Status, record.Informal)
	expect(t, got.BirthDate, record.Text{})
	expect(t, got.Warnings, []string{"PID-7: " + date.ErrHL7.Error() + "; it was left out"})
}

func TestOtherCharsets(t *testing.T) {
	text := hl7Text("A08", pid("7", "", "M\xfcller^O\x92Neill\\X80\\"))
	for r, err := range Read(strings.NewReader(text), &Options{}, site(t, "windows-1252")) {
		if err != nil {
			t.Fatal(err)
		}
		expect(t, []string{r.Family.Value, r.Given.Value}, []string{"Müller", "O’Neill€"})
	}
}

// HAPI writes a line break as two bytes in hexadecimal. A death must not wait for it.
func TestALineBreakInAnAddress(t *testing.T) {
	got := one(t, "A08", strings.Replace(vital("", "Y"), "|||||||||", `||||||||1 Lane\X000d\flat 2|`, 1))
	expect(t, got.Death.Status, record.Informal)
	expect(t, got.Address.Line.Value, "1 Lane\rflat 2")
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		`hl7.deaths: must be one of informal, formal`:                   {Deaths: "sure"},
		`hl7.order: must be one of message, file`:                       {Order: "random"},
		`hl7.totals: must be one of warn, strict`:                       {Totals: "lax"},
		"hl7.sex.1: must be one of male, female, other, unknown":        {Sex: map[string]string{"1": "m"}},
		"hl7.max_message: must be 0 or more":                            {MaxMessage: -1},
		"hl7.identifiers.0: must be one of pid-2, pid-3, pid-4, pid-19": {Identifiers: []string{"pid-5"}},
		"<nil>": {Deaths: "formal", Sex: map[string]string{"1": "male"}},
	} {
		expect(t, fmt.Sprint(o.Check()), want)
	}
}

// For any bytes, every record that is taken keeps the contract, and no reason repeats refused data.
func FuzzRead(f *testing.F) {
	f.Add(hl7Text("A08", pid("7^^^NGH^MR", "", "Quill^Ada"), "PV1|"), "")
	f.Add(hl7Text("A40", pid("7"), "MRG|8", vital("20240506", "Y"), "MRG|9"), "windows-1252")
	f.Add("BHS|^~\\&\r"+hl7Text("A31", vital(`""`, "N"))+"BTS|2\r", "iso-8859-1")
	f.Fuzz(func(t *testing.T, text, set string) {
		if _, err := charset.Of(set); err != nil {
			return
		}
		where := site(t, set)
		for r, err := range Read(strings.NewReader(text), &Options{}, where) {
			if err == nil && r.Act != record.Pass && (r.Key.Value == "" || r.Finish(&where) != nil) {
				t.Errorf("%+v", r)
			}
			if r.Death.Precision != "" && (!r.Death.Dead() || !r.Death.Earliest.Before(r.Death.Latest)) {
				t.Errorf("death %+v", r.Death)
			}
		}
	})
}
