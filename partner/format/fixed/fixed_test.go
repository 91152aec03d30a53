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
		Length: 10, Fields: []Field{{Name: "id", From: 1, Length: 4}, {Name: "name", From: 5, Length: 6}},
		Map: mapping.Map{Key: mapping.Identifier{Column: "ID"}, Family: mapping.Columns{"Name"}},
	}
	if change != nil {
		change(l)
	}
	return l
}

// read returns what a text holds: each record as "key name", each refusal, the warnings, and the error that ended
// it.
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
			for line := range strings.SplitSeq(string(bad.Raw), "\n") {
				if !strings.Contains(text[bad.From:bad.To], line) {
					t.Errorf("raw %q of %q", line, text[bad.From:bad.To])
				}
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
		"lines":                   {"0007Quill \n0008Reed  \n", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"no last end":             {"0007Quill \n0008Reed  ", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"CR LF, end of DOS":       {"0007Quill \r\n0008Reed  \r\n\x1a", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"CR":                      {"0007Quill \r0008Reed  \r", "", nil, []string{"0007 Quill", "0008 Reed"}},
		"blank lines":             {"\n          \n0007Quill \n\n", "", nil, []string{"0007 Quill"}},
		"NULs are blanks":         {"0007Quill\x00\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\n", "", nil, []string{"0007 Quill"}},
		"a NUL inside":            {"0007Qu\x00ll \n0008Reed  \n", "", nil, []string{"line 1: family name: holds a NUL character", "0008 Reed"}},
		"short":                   {"0007Qui\n0008Reed  \n", "", nil, []string{"line 1: 7 bytes of 10", "0008 Reed"}},
		"short, padded":           {"0007Qui\n0008\n", "", func(l *Layout) { l.Short = "pad" }, []string{"0007 Qui", "0008 "}},
		"no key":                  {"    Quill \n0008Reed  \n", "", nil, []string{"line 1: no id", "0008 Reed"}},
		"long":                    {"0007Quill12\n0008Reed  \n", "", nil, []string{"line 1: 11 bytes where a record has 10", "0008 Reed"}},
		"long, cut":               {"0007Quill12\n", "", func(l *Layout) { l.Long = "cut" }, []string{"0007 Quill1"}},
		"far too long":            {strings.Repeat("x", 3<<20) + "\n0008Reed  \n", "", func(l *Layout) { l.Long = "cut" }, []string{"line 1: a line longer than 1048576 bytes", "0008 Reed"}},
		"cut before decoded":      {"0007M\xfcll\xe9r\n", "iso-8859-1", nil, []string{"0007 Müllér"}},
		"bytes in UTF-8":          {"0007Mülle\n", "", nil, []string{"0007 Mülle"}}, // ten bytes, nine letters
		"bad bytes":               {"0007M\xfcller\n", "", nil, []string{"line 1: 1 characters that are not utf-8"}},
		"two in a line":           {"0007Quill 0008Reed  \n", "", func(l *Layout) { l.Long = "cut" }, []string{"line 1: as long as two records"}},
		"cut off":                 {"0007Quill \n0008R", "", func(l *Layout) { l.Short = "pad" }, []string{"0007 Quill", "line 2: the end of the file, without a line end: the record may be cut off"}},
		"the header again":        {"HDR 002\n0007Quill \nHDR 002\n\ufeff0008Reed  \nTRL 004\n", "", counted, []string{"0007 Quill", "end: the header again, and no trailer before it"}},
		"the header, no trailer":  {"HDR\n0007Quill \nHDR\n\ufeff0008Reed  \n", "", func(l *Layout) { l.Header = &Mark{Starts: "HDR"} }, []string{"0007 Quill", "0008 Reed", "the header again"}},
		"no line ends":            {"0007Quill 0008Reed  ", "", func(l *Layout) { l.Ends = "none" }, []string{"0007 Quill", "0008 Reed"}},
		"a last line end":         {"0007Quill 0008Reed  \r\n\x1a", "", func(l *Layout) { l.Ends = "none" }, []string{"0007 Quill", "0008 Reed"}},
		"half a record":           {"0007Quill 0008R", "", func(l *Layout) { l.Ends = "none" }, []string{"0007 Quill", "end: 5 bytes are left over behind 1 records of 10 bytes"}},
		"half a record, pad":      {"0007Quill 0008R", "", func(l *Layout) { l.Ends, l.Short = "none", "pad" }, []string{"0007 Quill", "0008 R"}},
		"header and trailer":      {"HDR 002\n0007Quill \n0008Reed  \nTRL 004\n", "", counted, []string{"0007 Quill", "0008 Reed"}},
		"refused ones count":      {"HDR 002\n0007Quill \n0008\nTRL 004\n", "", counted, []string{"0007 Quill", "line 3: 4 bytes of 10"}},
		"no header":               {"0007Quill \nTRL 004\n", "", counted, []string{"end: the file does not begin with its header"}},
		"nothing":                 {"\n", "", counted, []string{"end: the file does not begin with its header"}},
		"no trailer":              {"HDR 001\n0007Quill \n", "", counted, []string{"0007 Quill", "end: the file has no trailer: it is cut off"}},
		"no count":                {"HDR xyz\n0007Quill \n", "", counted, []string{"end: the header or trailer has no count"}},
		"trailer is wrong":        {"HDR 001\n0007Quill \nTRL 004\n", "", counted, []string{"0007 Quill", "end: the trailer declares 4 records, and there are 3"}},
		"trailer of none":         {"HDR 001\n0007Quill \nTRL 000\n", "", counted, []string{"0007 Quill", "end: the trailer declares 0 records, and there are 3"}},
		"header of none":          {"HDR 000\n0007Quill \nTRL 003\n", "", counted, []string{"0007 Quill", "end: the header declares 0 records, and there are 1"}},
		"header is wrong":         {"HDR 009\n0007Quill \nTRL 003\n", "", counted, []string{"0007 Quill", "end: the header declares 9 records, and there are 1"}},
		"wrong, warned":           {"HDR 009\n0007Quill \nTRL 003\n", "", func(l *Layout) { counted(l); l.Header.Totals = "warn" }, []string{"0007 Quill", "the header declares 9 records, and there are 1"}},
		"joined with the trailer": {"0007Quill \nTRL   0008Reed  \n", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL"} }, []string{"0007 Quill", "end: the header or trailer is longer than a record: look for a missing line end"}},
		"joined with the header":  {"HDR       0007Quill \n0008Reed  \n", "", func(l *Layout) { l.Header, l.Long = &Mark{Starts: "HDR"}, "cut" }, []string{"end: the header or trailer is longer than a record: look for a missing line end"}},
		"hidden in the trailer":   {"0007Quill \nTRL\x00\x00000", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL"} }, []string{"0007 Quill", "end: the header or trailer has text behind a control character or byte order mark: look for a missing line end"}},
		"hidden in a count":       {"0007Quill \nTRL1\x00\x00000", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL", Count: Field{From: 4, Length: 3}} }, []string{"0007 Quill", "end: the header or trailer has text behind a control character or byte order mark: look for a missing line end"}},
		"a mark in the trailer":   {"0007Quill \nTRL\ufeff0008\n", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL"} }, []string{"0007 Quill", "end: the header or trailer has text behind a control character or byte order mark: look for a missing line end"}},
		"NULs behind the trailer": {"0007Quill \nTRL  1\x00\x00\x1a\n", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL", Count: Field{From: 4, Length: 3}} }, []string{"0007 Quill"}},
		"a padded trailer":        {"0007Quill \nTRL             \n", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL"} }, []string{"0007 Quill"}},
		"behind the trailer":      {"TRL\n0007Quill \n", "", func(l *Layout) { l.Trailer = &Mark{Starts: "TRL"} }, []string{"line 2: behind the trailer"}},
		"a trailer as record":     {"0007Quill \n", "", nil, []string{"0007 Quill"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, read(t, c.text, layout(c.change), c.charset), c.want) })
	}
}

// Characters are those of Unicode, whether they have two bytes or four.
func TestWidthIsCountedInCharacters(t *testing.T) {
	characters := func(l *Layout) { l.Unit = "characters" }
	counted := func(l *Layout) {
		l.Unit, l.Trailer = "characters", &Mark{Starts: "Ende ü", Count: Field{From: 8, Length: 3}}
	}
	for name, c := range map[string]struct {
		text, charset string
		change        func(*Layout)
		want          []string
	}{
		"letters":            {"0007Müller\n0008Reed  \n", "", characters, []string{"0007 Müller", "0008 Reed"}},
		"in the key":         {"Ä007Müller\n\ufeffÖ008Ææ𝄞   \n", "", characters, []string{"Ä007 Müller", "Ö008 Ææ𝄞"}},
		"short":              {"0007Mülle\n", "", characters, []string{"line 1: 9 characters of 10"}},
		"short, padded":      {"0007Mü\n", "", func(l *Layout) { characters(l); l.Short = "pad" }, []string{"0007 Mü"}},
		"long":               {"0007Müllerü\n", "", characters, []string{"line 1: 11 characters where a record has 10"}},
		"long, cut":          {"0007Müllerü\n", "", func(l *Layout) { characters(l); l.Long = "cut" }, []string{"0007 Müller"}},
		"two in a line":      {"0007Müller0008Ü     \n", "", characters, []string{"line 1: as long as two records"}},
		"bad bytes":          {"0007M\xfcller\n", "", characters, []string{"line 1: 1 characters that are not utf-8"}},
		"one byte each":      {"0007M\xfcller\n", "iso-8859-1", characters, []string{"0007 Müller"}},
		"a count behind one": {"0007Müller\nEnde ü 001\n", "", counted, []string{"0007 Müller"}},
		"a wrong count":      {"0007Müller\nEnde ü 002\n", "", counted, []string{"0007 Müller", "end: the trailer declares 2 records, and there are 1"}},
		"bytes, cut in half": {"0007Aadaü1\n", "", func(l *Layout) { l.Length = 11; l.Fields[1].Length = 5 }, []string{"line 1: NAME begins or ends inside a character: widths may be counted in characters"}},
		"bytes, an unread half": {"0007Adaaü1\n", "", func(l *Layout) {
			l.Length, l.Fields = 11, []Field{l.Fields[0], {Name: "name", From: 5, Length: 4}, {Name: "x", From: 1, Length: 9}}
		}, []string{"0007 Adaa"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, read(t, c.text, layout(c.change), c.charset), c.want) })
	}
}

// several is a record of a line 1 with the id, a line 2 with the id and the name, and lines 3 that the map does not
// read.
func several(l *Layout) {
	l.Lines = &Lines{At: 5, Head: "1", More: []string{"2", "3"}}
	l.Fields = []Field{{Name: "id", From: 1, Length: 4}, {Name: "ID", From: 1, Length: 4, Line: "2"}, {Name: "name", From: 6, Length: 5, Line: "2"}}
}

func TestRecordsOfSeveralLines(t *testing.T) {
	whole := func(l *Layout) {
		several(l)
		l.Header, l.Trailer = &Mark{Starts: "HDR"}, &Mark{Starts: "TRL", Count: Field{From: 5, Length: 3}}
	}
	const one, two = "00071xxxxx\n", "00072Quill\n"
	for name, c := range map[string]struct {
		text   string
		change func(*Layout)
		want   []string
	}{
		"two lines":              {one + two + "00081     \n00082Reed \n", several, []string{"0007 Quill", "0008 Reed"}},
		"the head alone":         {one + "00081     \n00082Reed \n", several, []string{"0007 ", "0008 Reed"}},
		"unread lines, any":      {one + "00073xxxxx\n00073xxxxx\n" + two + "00073xxxxx\n", several, []string{"0007 Quill"}},
		"blank lines between":    {one + "\n          \n" + two, several, []string{"0007 Quill"}},
		"no last end":            {one + "00072Quill", several, []string{"0007 Quill"}},
		"the continuation first": {two + one + two, several, []string{"line 1: a line without the first line of its record", "0007 Quill"}},
		"of another record":      {one + "00082Reed \n00091     \n", several, []string{"line 1: at line 2: ID is not that of the record's first line", "0009 "}},
		"without its id":         {one + "    2Reed \n", several, []string{"line 1: at line 2: ID is not that of the record's first line"}},
		"twice":                  {one + two + two, several, []string{"line 1: at line 3: a second line 2 of the record"}},
		"of no kind":             {one + two + "00074xxxxx\n00081     \n", several, []string{"line 1: at line 3: a line of a kind that is not declared", "0008 "}},
		"of no kind, first":      {"00074xxxxx\n" + two + one, several, []string{"line 1: a line of a kind that is not declared", "0007 "}},
		"short":                  {one + "00072Qu\n00081     \n", several, []string{"line 1: at line 2: 7 bytes of 10", "0008 "}},
		"too short for a code":   {one + "0\n", func(l *Layout) { several(l); l.Short = "pad" }, []string{"line 1: at line 2: a line of a kind that is not declared"}},
		"far too long":           {one + strings.Repeat("x", 9<<20) + "\n00081     \n", several, []string{"line 1: at line 2: a line longer than 1048576 bytes", "0008 "}},
		"cut off":                {one + "00072Q", func(l *Layout) { several(l); l.Short = "pad" }, []string{"line 1: at line 2: the end of the file, without a line end: the record may be cut off"}},
		"the head is bad":        {"00071\n" + two + "00081     \n", several, []string{"line 1: 5 bytes of 10", "0008 "}},
		"no line has its code":   {"0007\n" + two + "00081     \n", several, []string{"line 1: 4 bytes of 10", "0008 "}},
		"counted by records":     {"HDR\n" + one + two + "TRL 001\n", whole, []string{"0007 Quill"}},
		"counted by lines":       {"HDR\n" + one + two + "TRL 004\n", func(l *Layout) { whole(l); l.Trailer.Of, l.Trailer.Extra = "lines", 2 }, []string{"0007 Quill"}},
		"a count too low":        {"HDR\n" + one + two + "TRL 001\n", func(l *Layout) { whole(l); l.Trailer.Of = "lines" }, []string{"end: the trailer declares 1 records, and there are 2"}},
		"behind the trailer":     {"HDR\n" + one + "TRL 001\n" + two, whole, []string{"0007 ", "line 4: behind the trailer"}},
		"behind a header":        {"HDR\n" + one + "HDR\n" + two, func(l *Layout) { whole(l); l.Trailer = nil }, []string{"0007 ", "line 4: a line without the first line of its record", "the header again"}},
		"of its own length":      {"00071\n" + two + "00081 \n", func(l *Layout) { several(l); l.Lines.Lengths = map[string]int{"1": 5} }, []string{"0007 Quill", "line 3: 6 bytes where a record has 5"}},
		"no line ends":           {"00071     00072Quill00081     ", func(l *Layout) { several(l); l.Ends = "none" }, []string{"0007 Quill", "0008 "}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, read(t, c.text, layout(c.change), ""), c.want) })
	}
}

func TestLayoutsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Layout){
		"fixed.length: must be 1 to 1048576":                                                        func(l *Layout) { l.Length = 0 },
		"fixed.ends: must be one of lines, none":                                                    func(l *Layout) { l.Ends = "x" },
		"fixed.short: must be one of refuse, pad":                                                   func(l *Layout) { l.Short = "x" },
		"fixed.long: must be one of refuse, cut":                                                    func(l *Layout) { l.Long = "x" },
		`fixed.fields.1: "name" must have a name and lie within the record's length of 10`:          func(l *Layout) { l.Fields[1].Length = 7 },
		`fixed.fields.1: another field is called "ID", too`:                                         func(l *Layout) { l.Fields[1].Name = "Id" },
		`fixed.fields.1: there is no line "2"; declare it in fixed.lines`:                           func(l *Layout) { l.Fields[1].Line = "2" },
		"fixed.lines.more: list the codes of the lines that may follow the head":                    func(l *Layout) { l.Lines = &Lines{Head: "1"} },
		`fixed.lines.lengths: "4" must be one of the codes, and its length at most 10`:              func(l *Layout) { several(l); l.Lines.Lengths = map[string]int{"4": 5} },
		"fixed.lines: head and more must be codes within the line, and none may begin with another": func(l *Layout) { several(l); l.Lines.More = []string{"10"} },
		"fixed.unit: must be bytes where records follow each other without line ends":               func(l *Layout) { l.Unit, l.Ends = "characters", "none" },
		`fixed.map: there is no field "GIVEN"; declare it in fixed.fields`:                          func(l *Layout) { l.Map.Given = mapping.Columns{"given"} },
		"fixed.header.starts: write the text that the record begins with":                           func(l *Layout) { l.Header = &Mark{} },
		"fixed.trailer.count: must lie within the record, and extra must be 0 or more":              func(l *Layout) { l.Trailer = &Mark{Starts: "x", Count: Field{Length: 3}} },
		"fixed.trailer.totals: must be one of strict, warn":                                         func(l *Layout) { l.Trailer = &Mark{Starts: "x", Totals: "x"} },
		"fixed.map.key.column: name the column with the partner's key of the patient":               func(l *Layout) { l.Map = mapping.Map{} },
	} {
		expect(t, fmt.Sprint(layout(change).Check()), want)
	}
}

// Reading ends for any bytes, and every record lies after the previous one.
func FuzzRead(f *testing.F) {
	f.Add("HDR 001\n0007Quill \nTRL 003\n", true, true, false, false)
	f.Add("0007Quill 0008R\x00\x1a", false, false, false, false)
	f.Add("00071     \n00072M\u00fcller\n00082", true, false, true, true)
	f.Fuzz(func(t *testing.T, text string, inLines, marks, characters, many bool) {
		set := "windows-1252"
		read(t, text, layout(func(l *Layout) {
			if many {
				several(l)
			}
			if characters && inLines {
				l.Unit, set = "characters", ""
			}
			if !inLines {
				l.Ends = "none"
			}
			if marks {
				l.Header, l.Trailer = &Mark{Starts: "HDR"}, &Mark{Starts: "TRL", Count: Field{From: 5, Length: 3}}
			}
		}), set)
	})
}
