package intake

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// readRecords returns a CSV text's records, and in their place the words of an error.
func readRecords(text string) (records [][]string) {
	r := &csvReader{lines: newLines(strings.NewReader(text)), comma: ','}
	for {
		fields, _, err := r.read()
		switch _, refused := errors.AsType[*Refused](err); {
		case err == nil:
			records = append(records, slices.Clone(fields))
		case errors.Is(err, io.EOF):
			return records
		default:
			records = append(records, []string{err.Error()})
			if !refused {
				return records
			}
		}
	}
}

func TestRecords(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want [][]string
	}{
		"plain":                 {"a,b\nc,d\n", [][]string{{"a", "b"}, {"c", "d"}}},
		"no last line end":      {"a,b\nc,d", [][]string{{"a", "b"}, {"c", "d"}}},
		"CR LF":                 {"a,b\r\nc,d\r\n", [][]string{{"a", "b"}, {"c", "d"}}},
		"CR alone":              {"a,b\rc,d\r", [][]string{{"a", "b"}, {"c", "d"}}},
		"blank lines":           {"\n\na,b\n\r\nc,d\n\n", [][]string{{"a", "b"}, {"c", "d"}}},
		"mark":                  {"\ufeffa,b", [][]string{{"a", "b"}}},
		"mark before a quote":   {"\ufeff\"a\",b", [][]string{{"a", "b"}}},
		"empty fields":          {",\n\"\",\n", [][]string{{"", ""}, {"", ""}}},
		"quoted":                {`"a,""b""",c`, [][]string{{`a,"b"`, "c"}}},
		"quoted over lines":     {"\"a\r\n\nb\",c\nd,e", [][]string{{"a\n\nb", "c"}, {"d", "e"}}},
		"stray quote":           {"a,5\" nail\nb,c", [][]string{{"line 1: a quote inside the unquoted field 2"}, {"b", "c"}}},
		"text after a quote":    {"\"a\"x,b\nb,c", [][]string{{"line 1: text after the closing quote of field 1"}, {"b", "c"}}},
		"quote left open":       {"a,b\nc,\"d\ne,f\n", [][]string{{"a", "b"}, {"a quote opened in the record of line 2 is never closed"}}},
		"bad bytes in a record": {"a,b\nc\xff,d\ne,f", [][]string{{"a", "b"}, {"line 2: not UTF-8; convert the file first"}, {"e", "f"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, readRecords(c.text), c.want) })
	}
}

func TestAnOpenQuoteIsNotReadForEver(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("a,\""), repeating("0123456789\n"))
	r := &csvReader{lines: newLines(endless), comma: ','}
	if _, _, err := r.read(); !strings.Contains(err.Error(), "never closed") {
		t.Fatal(err)
	}
}

func TestALineIsNotReadForEver(t *testing.T) {
	_, err := newLines(repeating("0123456789")).next()
	expect(t, fmt.Sprint(err), "line 1 is longer than 16 MiB")
}

// repeating is a reader without an end.
type repeating string

func (r repeating) Read(p []byte) (int, error) {
	n := 0
	for len(p)-n >= len(r) {
		n += copy(p[n:], r)
	}
	if n == 0 {
		return copy(p, r), nil
	}
	return n, nil
}

// What the standard library reads without complaint, this reads as the same records.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{"a,b\nc,d", "\"a\",b\r\n", "\"a\n\"\"b\",c\n", ",,\n", "a,\"b\"x\n", "\"", "a\rb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := readRecords(text)
		// Lone CRs, byte order marks and bytes that are no text are read differently on purpose.
		if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") || strings.HasPrefix(text, "\ufeff") {
			return
		}
		if strings.Contains(text, "\x00") || !bytes.Equal([]byte(text), bytes.ToValidUTF8([]byte(text), nil)) {
			return
		}
		standard := csv.NewReader(strings.NewReader(text))
		standard.FieldsPerRecord = -1
		want, err := standard.ReadAll()
		if err == nil {
			expect(t, got, want)
		}
	})
}
