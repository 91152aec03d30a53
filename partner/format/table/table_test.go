package table

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/partner/format/charset"
	"waybill/partner/format/lines"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// readRows returns a text's rows. For a row that can't be read it returns the line and the reason.
func readRows(t testing.TB, text string, r rows) (all [][]string) {
	t.Helper()
	r.lines = lines.New(strings.NewReader(text), 1<<20)
	for {
		one, err := r.next()
		if errors.Is(err, io.EOF) && one.line == 0 {
			return all
		}
		if err != nil {
			all = append(all, []string{fmt.Sprintf("line %d: %v", one.line, err)})
			continue
		}
		var fields []string
		for _, field := range one.fields {
			fields = append(fields, string(field))
		}
		all = append(all, fields)
	}
}

func TestRows(t *testing.T) {
	ab := []string{"a", "b"}
	for name, c := range map[string]struct {
		text string
		want [][]string
	}{
		"plain":               {"a,b\nc,d\n", [][]string{ab, {"c", "d"}}},
		"no last line end":    {"a,b\nc,d", [][]string{ab, {"c", "d"}}},
		"CR LF":               {"a,b\r\nc,d\r\n", [][]string{ab, {"c", "d"}}},
		"CR alone":            {"a,b\rc,d\r", [][]string{ab, {"c", "d"}}},
		"blank lines":         {"\n\na,b\n \r\nc,d\n\n", [][]string{ab, {"c", "d"}}},
		"the end of DOS":      {"a,b\r\n\x1a", [][]string{ab}},
		"mark":                {"\ufeffa,b", [][]string{ab}},
		"mark before a quote": {"\ufeff\"a\",b", [][]string{ab}},
		"empty fields":        {",\n\"\",\n", [][]string{{"", ""}, {"", ""}}},
		"quoted":              {`"a,""b""",c`, [][]string{{`a,"b"`, "c"}}},
		"quoted over lines":   {"\"a\r\n\nb\",c\nd,e", [][]string{{"a\n\nb", "c"}, {"d", "e"}}},
		"stray quote":         {"a,5\" nail\nb,c", [][]string{{"line 1: a quote inside the unquoted field 2"}, {"b", "c"}}},
		"text after a quote":  {"\"a\"x,b\nb,c", [][]string{{"line 1: text after the closing quote of field 1"}, {"b", "c"}}},
		// Rows after an open quote are not swallowed.
		"quote left open":            {"a,b\nc,\"d\ne,f\ng,h", [][]string{ab, {"line 2: a quote that is not closed"}, {"e", "f"}, {"g", "h"}}},
		"closed by the next":         {"a,\"b\nc,\"d\"\ne,f", [][]string{{"line 1: text after the closing quote of field 2"}, {"c", "d"}, {"e", "f"}}},
		"two rows made one":          {"a,b\n\"c,d\ne,f\",g,h\ni,j", [][]string{ab, {"line 2: a quote that is not closed"}, {"line 3: a quote inside the unquoted field 2"}, {"i", "j"}}},
		"open for too many lines":    {"\"a\n1\n2\n3\n4\",b", [][]string{{"line 1: a quote that is not closed"}, {"1"}, {"2"}, {"3"}, {"line 5: a quote inside the unquoted field 1"}}},
		"open again in what is left": {"\"a\n\"b\n\"c\"x\n", [][]string{{"line 1: text after the closing quote of field 1"}, {"line 2: text after the closing quote of field 1"}, {"line 3: text after the closing quote of field 1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := rows{delimiter: ',', quote: '"', multiline: 4}
			if name == "two rows made one" {
				r.width = 2
			}
			expect(t, readRows(t, c.text, r), c.want)
		})
	}
}

// A quote that opens in one row and closes in the next must not join the two, even if the width is right.
func TestAStrayQuoteJoinsNoRows(t *testing.T) {
	expect(t, readRows(t, "1,\"Adler,,\n2,Bussard\",Max,dead\n3,\"a\nb\",c,d\n", rows{delimiter: ',', quote: '"', multiline: 4, width: 4}),
		[][]string{{"line 1: a quote that is not closed"}, {"line 2: a quote inside the unquoted field 2"}, {"3", "a\nb", "c", "d"}})
	// The same holds if there are more fields, or fewer.
	for _, text := range []string{"1,2,3,\"x\ny\",z\n5,6,7,8", "1,\"x\ny\",z\n5,6,7,8"} {
		expect(t, readRows(t, text, rows{delimiter: ',', quote: '"', multiline: 4, width: 4}),
			[][]string{{"line 1: a quote that is not closed"}, {"line 2: a quote inside the unquoted field 1"}, {"5", "6", "7", "8"}})
	}
	// A line in between that is a row by itself stays one, though the quote closes behind it.
	expect(t, readRows(t, "1,\"x,3\n4,5,6\n7\",8", rows{delimiter: ',', quote: '"', multiline: 4, width: 3}),
		[][]string{{"line 1: a quote that is not closed"}, {"4", "5", "6"}, {"line 3: a quote inside the unquoted field 1"}})
}

// A line that is too long for a row is refused, also one that comes while the end of a quote is looked for.
func TestALineThatIsTooLongIsOneRefusedRow(t *testing.T) {
	long := strings.Repeat("x", 1<<20+1)
	refused := []string{"line 2: a line longer than 1048576 bytes"}
	for name, c := range map[string]struct {
		text string
		want [][]string
	}{
		"after a row":             {"a,b\n" + long + "\nc,d", [][]string{{"a", "b"}, refused, {"c", "d"}}},
		"after an open quote":     {"a,\"b\n" + long + "\nc,d", [][]string{{"line 1: a quote that is not closed"}, refused, {"c", "d"}}},
		"twice":                   {"\"a\n" + long + "\n" + long, [][]string{{"line 1: a quote that is not closed"}, refused, {"line 3: a line longer than 1048576 bytes"}}},
		"and after another quote": {"\"a\n" + long + "\n\"b\nc,d", [][]string{{"line 1: a quote that is not closed"}, refused, {"line 3: a quote that is not closed"}, {"c", "d"}}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, readRows(t, c.text, rows{delimiter: ',', quote: '"', multiline: 4}), c.want)
		})
	}
}

func TestOneLineARowByDefault(t *testing.T) {
	expect(t, readRows(t, "a,\"b\nc\",d\ne,f", rows{delimiter: ',', quote: '"', multiline: 1}),
		[][]string{{"line 1: a quote that is not closed"}, {"line 2: a quote inside the unquoted field 1"}, {"e", "f"}})
}

func TestWithoutQuotes(t *testing.T) {
	expect(t, readRows(t, "\"a|5\" nail\nb|\"", rows{delimiter: '|', multiline: 1}), [][]string{{`"a`, `5" nail`}, {"b", `"`}})
}

// Rows that the standard library reads without complaint read the same here.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"a,b\nc,d", "\"a\",b\r\n", "\"a\n\"\"b\",c\n", ",,\n", "a,\"b\"x\n", "\"", "a\rb", "\"\n\"\n\"\n\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := readRows(t, text, rows{delimiter: ',', quote: '"', multiline: 1000})
		// Lone CRs, byte order marks and lines of blanks are read differently on purpose.
		if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") || strings.Contains(text, "\ufeff") {
			return
		}
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSuffix(line, "\r"); line != "" && lines.IsBlank([]byte(line)) {
				return
			}
		}
		standard := csv.NewReader(strings.NewReader(text))
		standard.FieldsPerRecord = -1
		if want, err := standard.ReadAll(); err == nil && strings.Count(text, "\n") < 1000 {
			expect(t, got, want)
		}
	})
}

func layout() *Layout {
	return &Layout{Map: mapping.Map{
		Key: mapping.Identifier{Column: "Id", Authority: "NGH", Type: "MR"}, Family: mapping.Columns{"Name"},
		Optional: []string{"Name"},
	}}
}

func site(t testing.TB, set string, warnings *[]string) record.Site {
	t.Helper()
	c, err := charset.Of(set)
	if err != nil {
		t.Fatal(err)
	}
	return record.Site{Source: "ward", Charset: c, Zone: time.UTC, Note: func(w string) { *warnings = append(*warnings, w) }}
}

// read returns what a text holds: each record as "key name", each refusal, the warnings, and the error that ended
// the file.
func read(t testing.TB, text string, l *Layout, set string) (seen []string) {
	t.Helper()
	expect(t, l.Check(), nil)
	var warnings []string
	to := int64(0)
	for r, err := range Read(strings.NewReader(text), l, site(t, set, &warnings)) {
		bad, refused := errors.AsType[*record.Refused](err)
		switch {
		case refused:
			seen = append(seen, bad.Error())
			r.Where = bad.Where
			if string(bad.Raw) != strings.TrimPrefix(strings.TrimRight(text[bad.From:bad.To], "\r\n"), "\ufeff") {
				t.Errorf("raw %q of %q", bad.Raw, text[bad.From:bad.To])
			}
		case err != nil:
			seen = append(seen, "end: "+err.Error())
			return append(seen, warnings...)
		default:
			seen = append(seen, strings.TrimSpace(r.Key.Value+" "+r.Family.Value))
		}
		if r.From < to || r.To < r.From || r.To > int64(len(text)) {
			t.Errorf("bytes %d to %d after %d", r.From, r.To, to)
		}
		to = r.To
	}
	return append(seen, warnings...)
}

func TestDialects(t *testing.T) {
	with := func(change func(*Layout)) *Layout {
		l := layout()
		change(l)
		return l
	}
	for name, c := range map[string]struct {
		text   string
		layout *Layout
		want   []string
	}{
		"plain":            {"ID,NAME\n1,Ada\n", layout(), []string{"1 Ada"}},
		"reordered, added": {"x, Name ,ID,\n5,Ada,1,\n", layout(), []string{"1 Ada"}},
		"optional":         {"id\n1\n", layout(), []string{"1"}},
		"missing":          {"name\nAda\n", layout(), []string{"end: the header lacks ID"}},
		"twice":            {"ID,NAME,id\n", layout(), []string{"end: the header has two columns ID, and the map reads it"}},
		"twice, optional":  {"ID,NAME, name\n", layout(), []string{"end: the header has two columns NAME, and the map reads it"}},
		"twice, renamed":   {"ID,Surname,NAME\n", with(func(l *Layout) { l.Renamed = map[string]string{"Surname": "Name"} }), []string{"end: the header has two columns NAME, and the map reads it"}},
		"twice, unused":    {"Code,ID,code,NAME,CODE\n9,1,8,Ada,7\n", layout(), []string{"1 Ada"}},
		"unused, again":    {"X,ID,X\n9,1,8\nX,ID,X\n7,2,6\n", layout(), []string{"1", "2", "line 3: the header again"}},
		"twice, exact":     {"X,ID,X\n9,1,8\n", with(func(l *Layout) { l.Header, l.Columns = "exact", []string{"x", "Id", "x"} }), []string{"1"}},
		"twice, no header": {"9,1,8\n", with(func(l *Layout) { l.Header, l.Columns = "none", []string{"x", "Id", "x"} }), []string{"1"}},
		"twice, declared":  {"X,ID,X\n9,1,8\n", with(func(l *Layout) { l.Added, l.Columns = "refuse", []string{"x", "x"} }), []string{"1"}},
		"twice, added":     {"X,ID,X\n9,1,8\n", with(func(l *Layout) { l.Added, l.Columns = "refuse", []string{"x"} }), []string{"end: the header has a column that is not declared: field 3"}},
		"nothing":          {"\n", layout(), []string{"end: the file has no header"}},
		"header broken":    {"\"ID\n1,2", layout(), []string{"end: the header can't be read: a quote that is not closed"}},
		"added refused":    {"ID,NAME,Secret\n", with(func(l *Layout) { l.Added = "refuse" }), []string{"end: the header has a column that is not declared: field 3"}},
		"added declared":   {"ID,NAME,x\n1,Ada,\n", with(func(l *Layout) { l.Added, l.Columns = "refuse", []string{"X"} }), []string{"1 Ada"}},
		"renamed":          {"No,Surname\n1,Ada\n", with(func(l *Layout) { l.Renamed = map[string]string{"no": "id", "SURNAME": "Name"} }), []string{"1 Ada"}},
		"exact":            {"ID,NAME\n1,Ada\n", with(func(l *Layout) { l.Header, l.Columns = "exact", []string{"Id", "Name"} }), []string{"1 Ada"}},
		"not exact":        {"NAME,ID\n", with(func(l *Layout) { l.Header, l.Columns = "exact", []string{"Id", "Name"} }), []string{"end: the header is not the declared one"}},
		"no header":        {"Ada,1\n", with(func(l *Layout) { l.Header, l.Columns = "none", []string{"Name", "Id"} }), []string{"1 Ada"}},
		"the header again": {"ID,NAME\n1,Ada\n\ufeffid, Name\n2,Tom\n", layout(), []string{"1 Ada", "2 Tom", "line 3: the header again"}},
		"another header":   {"ID,NAME\n1,Ada\nID,Surname\n2,Tom\n", layout(), []string{"1 Ada", "end: line 3: another header, which is not that of the file"}},
		"an unknown one":   {"Id,Name\n1,Ada\n", with(func(l *Layout) { l.Header, l.Columns = "none", []string{"ID", "NAME"} }), []string{"1 Ada", "line 1: the header again"}},
		"no last end":      {"ID,NAME\n1,Ada\n2,To", layout(), []string{"1 Ada", "line 3: the end of the file, without a line end: the row may be cut off"}},
		"no last end, but": {"ID,NAME,x\n1,Ada,\n2,Tom,", layout(), []string{"1 Ada", "2 Tom"}},
		"ended by trailer": {"ID,NAME\n1,Ada\nEOF,1", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2} }), []string{"1 Ada"}},
		"padded":           {"ID,NAME\n1,Ada\n\x00\x00\n\x1a\x00", layout(), []string{"1 Ada"}},
		"skipped lines":    {"report of 6 May\n\nID,NAME\n1,Ada\n", with(func(l *Layout) { l.Skip = 2 }), []string{"1 Ada"}},
		"tab":              {"ID\tNAME\n1\tAda, May\n", with(func(l *Layout) { l.Delimiter = "tab" }), []string{"1 Ada, May"}},
		"other quote":      {"ID;NAME\n1;'Ada; \"May\"'\n", with(func(l *Layout) { l.Delimiter, l.Quote = ";", "'" }), []string{`1 Ada; "May"`}},
		"ragged":           {"ID,NAME\n1\n2,Tom,3\n3,Iris\n", layout(), []string{"line 2: 1 fields where the header has 2", "line 3: 3 fields where the header has 2", "3 Iris"}},
		"ragged, padded":   {"ID,NAME\n1\n2,Tom,3\n", with(func(l *Layout) { l.Ragged = "pad" }), []string{"1", "line 3: 3 fields where the header has 2"}},
		"NUL":              {"ID,NAME\n1,Sec\x00ret\n2,Tom\n", layout(), []string{"line 2: holds a NUL byte", "2 Tom"}},
		"bad bytes":        {"ID,NAME\n1,Secr\xe9t\n2,Tom\n", layout(), []string{"line 2: 1 characters that are not utf-8", "2 Tom"}},
		"no key":           {"ID,NAME\n ,Ada\n", layout(), []string{"line 2: no id"}},
		"trailer":          {"ID,NAME\n1,Ada\nEOF,1\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2} }), []string{"1 Ada"}},
		"trailer of all":   {"ID,NAME\n1,Ada\nEOF,3\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2, Extra: 2} }), []string{"1 Ada"}},
		"refused count":    {"ID,NAME\n1\n2,Tom\nEOF,2\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2} }), []string{"line 2: 1 fields where the header has 2", "2 Tom"}},
		"cut off":          {"ID,NAME\n1,Ada\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF"} }), []string{"1 Ada", "end: the file has no trailer: it is cut off"}},
		"wrong count":      {"ID,NAME\n1,Ada\nEOF,7\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2} }), []string{"1 Ada", "end: the trailer declares 7 rows, and there are 1"}},
		"count of none":    {"ID,NAME\n1,Ada\nEOF,0\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2} }), []string{"1 Ada", "end: the trailer declares 0 rows, and there are 1"}},
		"wrong, warned":    {"ID,NAME\n1,Ada\nEOF,7\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2, Totals: "warn"} }), []string{"1 Ada", "the trailer declares 7 rows, and there are 1"}},
		"no count":         {"ID,NAME\nEOF,x\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF", Count: 2} }), []string{"end: the trailer has no count"}},
		"rows behind":      {"ID,NAME\nEOF\n1,Ada\nEOF,5\n", with(func(l *Layout) { l.Trailer = &Trailer{Starts: "EOF"} }), []string{"line 3: behind the trailer", "line 4: behind the trailer"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, read(t, c.text, c.layout, ""), c.want) })
	}
	expect(t, read(t, "ID,NAME\r1,M\xfcller\r2,\x81\r", layout(), "windows-1252"), []string{"1 Müller", "line 3: 1 characters that are not windows-1252"})
}

func TestALineIsNotReadForEver(t *testing.T) {
	text := "ID,NAME\n1," + strings.Repeat("x", maxLine) + "\n2,Tom\n"
	var seen []string
	var warnings []string
	for r, err := range Read(strings.NewReader(text), layout(), site(t, "", &warnings)) {
		seen = append(seen, fmt.Sprint(r.Family.Value, err))
	}
	expect(t, seen, []string{"line 2: a line longer than 16777216 bytes", "Tom<nil>"})
}

func TestLayoutsAreChecked(t *testing.T) {
	good := layout().Map
	for want, l := range map[string]*Layout{
		"csv.delimiter: must be one ASCII character, or tab":                        {Delimiter: "ab", Map: good},
		"csv.quote: must be one ASCII character that is not the delimiter, or none": {Delimiter: ";", Quote: ";", Map: good},
		"csv.header: must be one of names, exact, none":                             {Header: "x", Map: good},
		"csv.columns: list all columns: there is no header to find them by":         {Header: "none", Map: good},
		"csv.columns: two are called ID, and the map reads it":                      {Header: "none", Columns: []string{"id", "x", "Id"}, Map: good},
		"csv.added: must be one of allow, refuse":                                   {Added: "x", Map: good},
		"csv.ragged: must be one of refuse, pad":                                    {Ragged: "x", Map: good},
		"csv.multiline: must be 1 to 1000":                                          {Multiline: 1001, Map: good},
		"csv.skip: must be 0 or more":                                               {Skip: -1, Map: good},
		"csv.trailer.starts: write the text that the trailer begins with":           {Trailer: &Trailer{}, Map: good},
		"csv.trailer.totals: must be one of strict, warn":                           {Trailer: &Trailer{Starts: "x", Totals: "x"}, Map: good},
		"csv.map.key.column: name the column with the partner's key of the patient": {},
	} {
		expect(t, fmt.Sprint(l.Check()), want)
	}
}

// Reading ends for any bytes, every row lies after the previous one, and every line is in some row.
func FuzzRead(f *testing.F) {
	f.Add("ID,NAME\n1,Ada\n2,\"Tom\nReed\"\n3\nEOF,3\n", uint8(5))
	f.Add("id;name\r1;\"\r\"\"2\r", uint8(0))
	f.Fuzz(func(t *testing.T, text string, multiline uint8) {
		l := layout()
		l.Multiline = int(multiline)
		var warnings []string
		seen := map[int]bool{}
		for r, err := range Read(strings.NewReader(text), l, site(t, "", &warnings)) {
			if bad, ok := errors.AsType[*record.Refused](err); ok {
				r.Where = bad.Where
			} else if err != nil {
				return
			}
			if seen[r.Line] || r.To <= r.From || r.To > int64(len(text)) {
				t.Fatalf("%+v", r.Where)
			}
			number := r.Line
			for line := range strings.SplitAfterSeq(text[r.From:r.To], "\n") {
				if line != "" {
					seen[number] = true
					number++
				}
			}
		}
		if strings.Contains(text, "\r") {
			return
		}
		for i, line := range slices.Collect(strings.SplitSeq(text, "\n")) {
			if i > 0 && !seen[i+1] && !lines.IsBlank([]byte(line)) && strings.Trim(strings.Split(text, "\n")[0], " \t\x1a\ufeff") != "" {
				t.Fatalf("line %d is lost", i+1)
			}
		}
	})
}
