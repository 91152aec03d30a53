package format_test

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/fixed"
	"waybill/partner/format/mapping"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

var berlin = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return zone
}()

var everything = &record.Allowed{Fields: record.Personal, Identifiers: []record.Kind{{Authority: "*"}}}

// texts are made from characters that the charset has, and from ones with a meaning in the file.
func texts(name string) *rapid.Generator[string] {
	runes := []rune("aZ09 äöüßÉ|^~\\&\"';,.#\t" + `F\S\`)
	if strings.HasPrefix(name, "utf") {
		runes = append(runes, []rune("Łşж中😀\u0301")...)
	}
	some := rapid.StringOfN(rapid.SampledFrom(runes), 0, 12, -1)
	return rapid.Custom(func(t *rapid.T) string {
		// Readers drop blanks around a value, and writers compose its letters with their marks.
		return norm.NFC.String(strings.TrimSpace(rapid.OneOf(some, rapid.SampledFrom([]string{"", `""`, `\`, "null", `\X41\`})).Draw(t, "text")))
	})
}

func periods(t *rapid.T) record.Period {
	year := rapid.IntRange(1932, 2026).Draw(t, "year")
	month, day := rapid.IntRange(1, 12).Draw(t, "month"), rapid.IntRange(1, 28).Draw(t, "day")
	var p record.Period
	var err error
	switch rapid.SampledFrom([]string{"", "year", "month", "day", "minute"}).Draw(t, "precision") {
	case "year":
		p, err = record.PeriodOf(date.Date{Year: year, Month: 0, Day: 0}, berlin)
	case "month":
		p, err = record.PeriodOf(date.Date{Year: year, Month: month, Day: 0}, berlin)
	case "day":
		p, err = record.PeriodOf(date.Date{Year: year, Month: month, Day: day}, berlin)
	case "minute":
		// Offsets have whole minutes: before 1900 local times had seconds, which files can't say.
		p = record.Instant(time.Date(max(year, 1946), time.Month(month), day, rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute"), 0, 0, time.UTC))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func events(name string) *rapid.Generator[*record.Event] {
	text := texts(name)
	return rapid.Custom(func(t *rapid.T) *record.Event {
		e := &record.Event{
			Type: "updated", Patient: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Generation: 1,
			Version: rapid.Int64Range(1, 9).Draw(t, "version"), RecordedAt: time.Date(2026, 11, 22, 8, 0, 0, 1234e5, time.UTC),
		}
		e.Status = rapid.SampledFrom([]string{"none", "informal", "formal", "void"}).Draw(t, "status")
		if e.Dead() {
			e.Death, e.DeathNo = periods(t), 1
		}
		e.Family, e.Given = text.Draw(t, "family"), text.Draw(t, "given")
		e.Address = record.PostalAddress{Line: text.Draw(t, "line"), City: text.Draw(t, "city"), Postcode: text.Draw(t, "postcode"), Country: text.Draw(t, "country")}
		e.Sex = rapid.SampledFrom([]string{"", "male", "female", "other", "unknown"}).Draw(t, "sex")
		e.BirthDate = rapid.SampledFrom([]string{"", "1931", "1931-02", "1931-02-28"}).Draw(t, "birth")
		for _, value := range rapid.SliceOfN(text, 0, 2).Draw(t, "identifiers") {
			if value != "" {
				e.Identifiers = append(e.Identifiers, record.Identifier{Authority: "LAB", Type: "LN", Value: norm.NFC.String("id-" + strings.Map(seen, value))})
			}
		}
		return e
	})
}

// seen drops what a key can't have.
func seen(c rune) rune {
	if unicode.IsControl(c) {
		return -1
	}
	return c
}

// render writes events as a file would have them.
type writer interface {
	Begin([]byte, pattern.Values) ([]byte, error)
	Event([]byte, *record.Event, pattern.Values, *charset.Encoder) ([]byte, error)
	End([]byte, pattern.Values) ([]byte, error)
}

func render(t *rapid.T, w writer, e *charset.Encoder, events ...*record.Event) []byte {
	v := pattern.Values{Sequence: 7, At: time.Date(2026, 11, 22, 9, 0, 0, 0, berlin), Partner: "gp"}
	text, err := w.Begin(nil, v)
	for _, event := range events {
		if err == nil {
			v.Rows++
			text, err = w.Event(text, event, v, e)
		}
	}
	if err == nil {
		text, err = w.End(text, v)
	}
	data := e.BOM()
	if err == nil {
		data, err = e.Append(data, string(text))
	}
	if err != nil || e.Counted != (charset.Count{}) {
		t.Fatalf("%v, %+v", err, e.Counted)
	}
	return data
}

func encoder(t rapid.TB, c charset.Config) *charset.Encoder {
	c.Rule = charset.Refuse
	e, err := charset.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// records reads the only record of a file.
func only(t *rapid.T, name string, data []byte, open func(*bytes.Reader, record.Site) iter.Seq2[record.Record, error], reading charset.Charset) record.Record {
	site := record.Site{Source: "waybill", Charset: reading, Zone: berlin, Note: func(warning string) { t.Errorf("%s: %s", name, warning) }}
	var all []record.Record
	for r, err := range open(bytes.NewReader(data), site) {
		if err != nil {
			t.Fatalf("%s: %v\n%q", name, err, data)
		}
		all = append(all, r)
	}
	if len(all) != 1 {
		t.Fatalf("%s: %d records\n%q", name, len(all), data)
	}
	return all[0]
}

// told is what a reader has understood of an event.
type told struct {
	Patient, Retired string
	Status           string
	Period           record.Period
	Texts            []string
	Identifiers      []record.Identifier
}

func understood(r record.Record) told {
	a := r.Address
	return told{
		r.Key.Value, r.Retired.Value, r.Death.Status, r.Death.Period,
		[]string{r.Family.Value, r.Given.Value, r.BirthDate.Value, r.Sex.Value, a.Line.Value, a.City.Value, a.Postcode.Value, a.Country.Value},
		r.Identifiers,
	}
}

func meant(e *record.Event) told {
	a := e.Address
	w := told{
		e.Patient.String(), "", e.Status, e.Death,
		[]string{e.Family, e.Given, e.BirthDate, e.Sex, a.Line, a.City, a.Postcode, a.Country},
		nil,
	}
	w.Identifiers = append(w.Identifiers, e.Identifiers...)
	slices.SortFunc(w.Identifiers, record.Compare)
	w.Identifiers = slices.Compact(w.Identifiers)
	return w
}

func compare(t *rapid.T, name string, data []byte, got, want told) {
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s: %s\n%q", name, diff, data)
	}
}

// An independent reader understands what we write about a patient in HL7, with any values and any
// declared delimiters, version and charset.
func TestHL7IsUnderstood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"utf-8", "windows-1252", "iso-8859-1", "iso-8859-15"}).Draw(t, "charset")
		c := adt.Config{
			Delimiters: rapid.SampledFrom([]string{"", `|^~\&`, `#!*/'`, `,;:%.`}).Draw(t, "delimiters"),
			SegmentEnd: rapid.SampledFrom([]string{"", "lf", "crlf"}).Draw(t, "end"), Version: rapid.SampledFrom([]string{"", "2.3", "2.8"}).Draw(t, "version"),
			Trigger: rapid.SampledFrom([]string{"A08", "A31"}).Draw(t, "trigger"),
		}
		w, err := adt.New(c, name, everything, berlin)
		if err != nil {
			t.Fatal(err)
		}
		e := events(name).Draw(t, "event")
		data := render(t, w, encoder(t, charset.Config{Name: name}), e)
		reading, _ := charset.Of(name)
		options := &adt.Options{Key: record.Kind{Authority: "WAYBILL"}, Totals: "strict", Deaths: "formal"}
		r := only(t, "hl7", data, func(r *bytes.Reader, site record.Site) iter.Seq2[record.Record, error] {
			return adt.Read(r, options, site)
		}, reading)

		want := meant(e)
		want.Identifiers = append(want.Identifiers, record.Identifier{Authority: "WAYBILL", Type: "PI", Value: e.Patient.String()})
		slices.SortFunc(want.Identifiers, record.Compare)
		want.Status = map[string]string{"informal": "formal", "formal": "formal", "void": "none"}[e.Status] // as far as HL7 can say
		compare(t, "hl7", data, understood(r), want)
		for field, text := range map[string]record.Text{e.Family: r.Family, e.Sex: r.Sex, e.BirthDate: r.BirthDate, e.Address.City: r.Address.City} {
			if field == "" && !text.Deleted {
				t.Errorf("what is not there is not deleted\n%q", data)
			}
		}
	})
}

func columns() []mapping.Column {
	return []mapping.Column{
		{Field: "patient_id"},
		{Field: "retired"},
		{Field: "death_status"},
		{Field: "death_date"},
		{Field: "family_name"},
		{Field: "given_name"},
		{Field: "birth_date"},
		{Field: "sex"},
		{Field: "address_line"},
		{Field: "address_city"},
		{Field: "address_postcode"},
		{Field: "address_country"},
		{Identifier: &record.Kind{Authority: "LAB", Type: "LN"}},
	}
}

func names() (list []string) {
	for _, c := range columns() {
		list = append(list, cmp.Or(c.Field, "nhs"))
	}
	return list
}

func mapped() mapping.Map {
	return mapping.Map{
		Key: mapping.Identifier{Column: "patient_id", None: true}, Merged: "retired", Family: mapping.Columns{"family_name"}, Given: mapping.Columns{"given_name"},
		BirthDate: mapping.Date{Column: "birth_date"}, Sex: mapping.Code{Column: "sex"},
		Address:     mapping.Address{Line: mapping.Columns{"address_line"}, City: "address_city", Postcode: "address_postcode", Country: "address_country"},
		Death:       mapping.Death{Status: mapping.Code{Column: "death_status"}, Date: mapping.Date{Column: "death_date"}},
		Identifiers: []mapping.Identifier{{Column: "nhs", Authority: "LAB", Type: "LN"}}, Empty: "deleted",
	}
}

func TestCSVIsUnderstood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"utf-8", "utf-16le", "utf-16be", "windows-1252", "iso-8859-15"}).Draw(t, "charset")
		c := table.Config{
			Delimiter: rapid.SampledFrom([]string{"", ";", "|", "tab"}).Draw(t, "delimiter"), Quote: rapid.SampledFrom([]string{"", "'"}).Draw(t, "quote"),
			Quoting: rapid.SampledFrom([]string{"", "all"}).Draw(t, "quoting"), LineEnd: rapid.SampledFrom([]string{"", "lf", "cr"}).Draw(t, "end"),
			Frame: mapping.Frame{Last: "TRAILER", Merges: "survivor"},
		}
		if c.Delimiter != "" && c.Delimiter != "tab" {
			c.Last += c.Delimiter + "{rows}"
		}
		for i, column := range columns() {
			c.Columns = append(c.Columns, table.Column{Name: names()[i], Column: column})
		}
		w, err := table.New(c, everything, berlin)
		if err != nil {
			t.Fatal(err)
		}
		e := events(name).Draw(t, "event")
		e.Identifiers = e.Identifiers[:min(1, len(e.Identifiers))]
		data := render(t, w, encoder(t, charset.Config{Name: name, Forbidden: w.Forbidden}), e)
		layout := &table.Layout{Delimiter: c.Delimiter, Quote: c.Quote, Trailer: &table.Trailer{Starts: "TRAILER"}, Map: mapped()}
		if err := layout.Check(); err != nil {
			t.Fatal(err)
		}
		reading, _ := charset.Of(name)
		r := only(t, "csv", data, func(r *bytes.Reader, site record.Site) iter.Seq2[record.Record, error] {
			return table.Read(reading.Reader(r), layout, site)
		}, reading)
		compare(t, "csv", data, understood(r), meant(e))
	})
}

func TestFixedWidthIsUnderstood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"utf-8", "windows-1252", "iso-8859-1"}).Draw(t, "charset")
		c := fixed.Config{LineEnd: rapid.SampledFrom([]string{"", "lf", "none"}).Draw(t, "end"), Frame: mapping.Frame{First: "HEAD", Last: "TAIL{rows:6}", Merges: "survivor"}}
		layout := &fixed.Layout{
			Ends: "lines", Header: &fixed.Mark{Starts: "HEAD"},
			Trailer: &fixed.Mark{Starts: "TAIL", Count: fixed.Field{From: 5, Length: 6}}, Map: mapped(),
		}
		if c.LineEnd == "none" {
			layout.Ends = "none"
		}
		for i, column := range columns() {
			c.Columns = append(c.Columns, fixed.Column{Column: column, Width: 60})
			layout.Fields = append(layout.Fields, fixed.Field{Name: names()[i], From: layout.Length + 1, Length: 60})
			layout.Length += 60
		}
		if err := layout.Check(); err != nil {
			t.Fatal(err)
		}
		e := events(name).Draw(t, "event")
		e.Identifiers = e.Identifiers[:min(1, len(e.Identifiers))]
		for _, text := range []*string{&e.Family, &e.Given, &e.Address.Line, &e.Address.City, &e.Address.Postcode, &e.Address.Country} {
			*text = strings.ReplaceAll(*text, "\t", " ")
		}
		for i := range e.Identifiers {
			e.Identifiers[i].Value = strings.ReplaceAll(e.Identifiers[i].Value, "\t", " ")
		}
		encode := encoder(t, charset.Config{Name: name, Forbidden: fixed.Forbidden})
		w, err := fixed.New(c, everything, berlin, encode)
		if err != nil {
			t.Fatal(err)
		}
		data := render(t, w, encode, e)
		reading, _ := charset.Of(name)
		r := only(t, "fixed", data, func(r *bytes.Reader, site record.Site) iter.Seq2[record.Record, error] {
			return fixed.Read(r, layout, site)
		}, reading)
		compare(t, "fixed", data, understood(r), meant(e))
	})
}

// A merge names the survivor and the retired record.
func TestMergesAreUnderstood(t *testing.T) {
	retired, survivor := uuid.New(), uuid.New()
	merge := &record.Event{Type: "merged", Patient: retired, MergedInto: survivor, Generation: 1, Version: 3, Status: "none"}
	merge.Family = "Retired"
	merge.Survivor = &record.Event{Patient: survivor, Status: "none"}
	merge.Survivor.Family = "Survivor"
	after := &record.Event{Type: "updated", Patient: retired, MergedInto: survivor, Generation: 1, Version: 4, Status: "none"}
	rapid.Check(t, func(t *rapid.T) {
		w, err := adt.New(adt.Config{}, "utf-8", everything, berlin)
		if err != nil {
			t.Fatal(err)
		}
		// Nothing more is sent about a retired record: readers would treat it as news of the survivor.
		if data, err := w.Event(nil, after, pattern.Values{}, nil); err != nil || len(data) > 0 {
			t.Fatalf("%q, %v", data, err)
		}
		data := render(t, w, encoder(t, charset.Config{Name: "utf-8"}), merge)
		options := &adt.Options{Key: record.Kind{Authority: "WAYBILL"}, Totals: "strict"}
		r := only(t, "hl7", data, func(r *bytes.Reader, site record.Site) iter.Seq2[record.Record, error] {
			return adt.Read(r, options, site)
		}, charset.Charset{})
		if r.Act != record.Merge || r.Key.Value != survivor.String() || r.Retired.Value != retired.String() || r.Family.Value != "Survivor" || r.Death.Status != "" {
			t.Fatalf("%+v\n%q", r, data)
		}
	})
}

// Of the survivor's name a merge has the parts that the partner may have.
func TestAMergeHasTheNamesThatAreAllowed(t *testing.T) {
	merge := &record.Event{Type: "merged", Patient: uuid.New(), MergedInto: uuid.New(), Generation: 1, Version: 3, Status: "none"}
	merge.Survivor = &record.Event{Patient: merge.MergedInto, Status: "none"}
	merge.Survivor.Family, merge.Survivor.Given = "Survivor", "Sue"
	for want, fields := range map[string][]string{"Survivor^Sue": {"family_name", "given_name"}, "Survivor": {"family_name"}, "^Sue": {"given_name"}, "": nil} {
		w, err := adt.New(adt.Config{}, "utf-8", &record.Allowed{Fields: fields}, berlin)
		if err != nil {
			t.Fatal(err)
		}
		data, err := w.Event(nil, merge, pattern.Values{}, encoder(t, charset.Config{Name: "utf-8"}))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(data), "PID|1||")
		line, _, _ := strings.Cut(after, "\r")
		if _, name, _ := strings.Cut(line, "||"); name != want {
			t.Errorf("allowed %q: %q, want %q", fields, line, want)
		}
	}
}
