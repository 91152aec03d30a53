package fixed

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/partner/format/charset"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// layout is a record of ten bytes: an id of four and a name of six.
func layout(change func(*Layout)) *Layout {
	l := &Layout{
		Length: 10, Fields: []Field{{"id", 1, 4}, {"name", 5, 6}},
		Map: mapping.Map{Key: mapping.Identifier{Column: "ID"}, Family: mapping.Columns{"Name"}},
	}
	if change != nil {
		change(l)
	}
	return l
}

// read returns what a text holds: each record as "key name", each refusal, warnings, and what ended it.
func read(t testing.TB, text string, l *Layout, set string) (seen []string) {
	t.Helper()
	expect(t, l.Check(), nil)
	c, err := charset.Of(set)
	if err != nil {
		t.Fatal(err)
	}
	var warnings []string
	note := func(w string) { warnings = append(warnings, w) }
	to := int64(0)
	for r, err := range Read(strings.NewReader(text), l, record.Site{Source: "ward", Charset: c, Zone: time.UTC, Note: note}) {
		bad, refused := errors.AsType[*record.Refused](err)
		switch {
		case refused:
			seen = append(seen, bad.Error())
			r.Where = bad.Where
			if !strings.Contains(text[bad.From:bad.To], string(bad.Raw)) {
				t.Errorf("raw %q of %q", bad.Raw, text[bad.From:bad.To])
			}
		case err != nil:
			return append(append(seen, "end: "+err.Error()), warnings...)
		default:
			seen = append(seen, r.Key.Value+" "+r.Family.Value)
		}
		if r.From < to || r.To <= r.From || r.To > int64(len(text)) {
			t.Errorf("bytes %d to %d after %d", r.From, r.To, to)
		}
		to = r.To
	}
	return append(seen, warnings...)
}

func TestFiles(t *testing.T) {
	counted := func(l *Layout) {
		l.Header = &Mark{Starts: "HDR", Count: Field{From: 5, Length: 3}}
		l.Trailer = &Mark{Starts: "TRL", Count: Field{From: 5, Length: 3}, Extra: 2}
	}
	for name, c := range map[string]struct {
		text, charset string
		change        func(*Layout)
		want          []string
	}{
		"lines":                  {"0007Quill \n0008Reed  \n", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"no last end":            {"0007Quill \n0008Reed  ", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"CR LF, end of DOS":      {"0007Quill \r\n0008Reed  \r\n\x1a", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"CR":                     {"0007Quill \r0008Reed  \r", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"blank lines":            {"\n          \n0007Quill \n\n", "", nil, []string{"0007 Quill"}},
		"NULs are blanks":        {"0007Quill\x00\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\n", "", nil, []string{"0007 Quill"}},
		"a NUL inside":           {"0007Qu\x00ll \n0008Reed  \n", "", nil, []string{"line 1: family name: holds a NUL character", "0008 Reed"}},
		"short":                  {"0007Qui\n0008Reed  \n", "", nil, []string{"line 1: 7 bytes of 10", "0008 Reed"}},
		"short, padded":          {"0007Qui\n0008\n", "", func(l *Layout) { l.Short = "pad" }, []string{"0007 Qui", "0008 "}},
		"no key":                 {"    Quill \n0008Reed  \n", "", nil, []string{"line 1: no id", "0008 Reed"}},
		"long":                   {"0007Quill12\n0008Reed  \n", "", nil, []string{"line 1: 11 bytes where a record has 10", "0008 Reed"}},
		"long, cut":              {"0007Quill12\n", "", func(l *Layout) { l.Long = "cut" }, []string{"0007 Quill1"}},
		"far too long":           {strings.Repeat("x", 3<<20) + "\n0008Reed  \n", "", func(l *Layout) { l.Long = "cut" }, []string{"line 1: a line longer than 1048576 bytes", "0008 Reed"}},
		"cut before decoded":     {"0007M\xfcll\xe9r\n", "iso-8859-1", nil, []string{"0007 Müllér"}},
		"bytes in UTF-8":         {"0007Mülle\n", "", nil, []string{"0007 Mülle"}}, // ten bytes, nine letters
		"bad bytes":              {"0007M\xfcller\n", "", nil, []string{"line 1: 1 characters that are not utf-8"}},
		"two in a line":          {"0007Quill 0008Reed  \n", "", func(l *Layout) { l.Long = "cut" }, []string{"line 1: as long as two records"}},
		"cut off":                {"0007Quill \n0008R", "", func(l *Layout) { l.Short = "pad" }, []string{"0007 Quill", "line 2: the end of the file, without a line end: the record may be cut off"}},
		"the header again":       {"HDR 002\n0007Quill \nHDR 002\n\ufeff0008Reed  \nTRL 004\n", "", counted, []string{"0007 Quill", "end: the header again, and no trailer before it"}},
		"the header, no trailer": {"HDR\n0007Quill \nHDR\n\ufeff0008Reed  \n", "", func(l *Layout) { l.Header = &Mark{Starts: "HDR"} }, []string{"0007 Quill", "0008 Reed", "the header again"}},
		"no line ends":           {"0007Quill 0008Reed  ", "", func(l *Layout) { l.Ends = "none" }, []string{"0007 Quill", "0008 Reed"}},
		"a last line end":        {"0007Quill 0008Reed  \r\n\x1a", "", func(l *Layout) { l.Ends = "none" }, []string{"0007 Quill", "0008 Reed"}},
		"half a record":          {"0007Quill 0008R", "", func(l *Layout) { l.Ends = "none" }, []string{"0007 Quill", "end: 5 bytes are left over behind 1 records of 10 bytes"}},
		"half a record, pad":     {"0007Quill 0008R", "", func(l *Layout) { l.Ends, l.Short = "none", "pad" }, []string{"0007 Quill", "0008 R"}},
		"header and trailer":     {"HDR 002\n0007Quill \n0008Reed  \nTRL 004\n", "", counted, []string{"0007 Quill", "0008 Reed"}},
		"refused ones count":     {"HDR 002\n0007Quill \n0008\nTRL 004\n", "", counted, []string{"0007 Quill", "line 3: 4 bytes of 10"}},
		"no header":              {"0007Quill \nTRL 004\n", "", counted, []string{"end: the file does not begin with its header"}},
		"nothing":                {"\n", "", counted, []string{"end: the file does not begin with its header"}},
		"no trailer":             {"HDR 001\n0007Quill \n", "", counted, []string{"0007 Quill", "end: the file has no trailer: it is cut off"}},
		"no count":               {"HDR xyz\n0007Quill \n", "", counted, []string{"end: the header or trailer has no count"}},
		"trailer is wrong":       {"HDR 001\n0007Quill \nTRL 004\n", "", counted, []string{"0007 Quill", "end: the trailer declares 4 records, and there are 3"}},
		"trailer of none":        {"HDR 001\n0007Quill \nTRL 000\n", "", counted, []string{"0007 Quill", "end: the trailer declares 0 records, and there are 3"}},
		"header of none":         {"HDR 000\n0007Quill \nTRL 003\n", "", counted, []string{"0007 Quill", "end: the header declares 0 records, and there are 1"}},
		"header is wrong":        {"HDR 009\n0007Quill \nTRL 003\n", "", counted, []string{"0007 Quill", "end: the header declares 9 records, and there are 1"}},
		"wrong, warned":          {"HDR 009\n0007Quill \nTRL 003\n", "", func(l *Layout) { counted(l); l.Header.Totals = "warn" }, []string{"0007 Quill", "the header declares 9 records, and there are 1"}},
		"behind the trailer":     {"TRL\n0007Quill \n", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL"} }, []string{"line 2: behind the trailer"}},
		"a trailer as record":    {"0007Quill \n", "", nil, []string{"0007 Quill"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, read(t, c.text, layout(c.change), c.charset), c.want) })
	}
}

func TestLayoutsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Layout){
		"fixed.length: must be 1 to 1048576 bytes":                                     func(l *Layout) { l.Length = 0 },
		"fixed.ends: must be one of lines, none":                                       func(l *Layout) { l.Ends = "x" },
		"fixed.short: must be one of refuse, pad":                                      func(l *Layout) { l.Short = "x" },
		"fixed.long: must be one of refuse, cut":                                       func(l *Layout) { l.Long = "x" },
		`fixed.fields.1: "name" must have a name and lie within the record's 10 bytes`: func(l *Layout) { l.Fields[1].Length = 7 },
		`fixed.fields.1: another field is called "ID", too`:                            func(l *Layout) { l.Fields[1].Name = "Id" },
		`fixed.map: there is no field "GIVEN"; declare it in fixed.fields`:             func(l *Layout) { l.Map.Given = mapping.Columns{"given"} },
		"fixed.header.starts: write the text that the record begins with":              func(l *Layout) { l.Header = &Mark{} },
		"fixed.trailer.count: must lie within the record, and extra must be 0 or more": func(l *Layout) { l.Trailer = &Mark{Starts: "x", Count: Field{Length: 3}} },
		"fixed.trailer.totals: must be one of strict, warn":                            func(l *Layout) { l.Trailer = &Mark{Starts: "x", Totals: "x"} },
		"fixed.map.key.column: name the column with the partner's key of the patient":  func(l *Layout) { l.Map = mapping.Map{} },
	} {
		expect(t, fmt.Sprint(layout(change).Check()), want)
	}
}

// Reading ends for any bytes, and every record lies after the previous one.
func FuzzRead(f *testing.F) {
	f.Add("HDR 001\n0007Quill \nTRL 003\n", true, true)
	f.Add("0007Quill 0008R\x00\x1a", false, false)
	f.Fuzz(func(t *testing.T, text string, inLines, marks bool) {
		read(t, text, layout(func(l *Layout) {
			if !inLines {
				l.Ends = "none"
			}
			if marks {
				l.Header, l.Trailer = &Mark{Starts: "HDR"}, &Mark{Starts: "TRL", Count: Field{From: 5, Length: 3}}
			}
		}), "windows-1252")
	})
}
