package charset

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

func of(t testing.TB, name string) Charset {
	t.Helper()
	c, err := Of(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		charset, raw, want string
		bad                int
	}{
		{"", "plain text of more than eight bytes", "plain text of more than eight bytes", 0},
		{"utf-8", "Müller", "Müller", 0},
		{"utf-8", "M\xfcller", "M\ufffdller", 1},
		{"utf-8", "cut \xe2\x82", "cut \ufffd\ufffd", 2},
		{"utf-8", "lost before: \ufffd", "lost before: \ufffd", 1},
		{"Windows-1252", "M\xfcller \x80 O\x92Neill", "Müller € O’Neill", 0},
		{"windows-1252", "\x81\x8d\x8f\x90\x9d", "\ufffd\ufffd\ufffd\ufffd\ufffd", 5},
		{"iso-8859-1", "M\xfcller \xa4", "Müller ¤", 0},
		{"iso-8859-1", "O\x92Neill", "O\ufffdNeill", 1}, // the letter of another charset
		{"iso-8859-15", "M\xfcller \xa4 \xa6", "Müller € Š", 0},
		{"iso-8859-15", "\x80", "\ufffd", 1},
	} {
		set := of(t, c.charset)
		text, bad := set.Append(nil, []byte(c.raw))
		if string(text) != c.want || bad != c.bad || set.Bad([]byte(c.raw)) != c.bad {
			t.Errorf("%s: %q is %q, %d bad (%d), want %q, %d", c.charset, c.raw, text, bad, set.Bad([]byte(c.raw)), c.want, c.bad)
		}
		if got := set.Text([]byte(c.raw)); c.bad == 0 && got != c.want {
			t.Errorf("%s: %q is %q", c.charset, c.raw, got)
		}
	}
}

func TestUTF16(t *testing.T) {
	for name, c := range map[string]struct {
		charset, raw, want string
		err                error
	}{
		"little endian":          {"utf-16", "\xff\xfeM\x00\xfc\x00", "Mü", nil},
		"big endian":             {"utf-16", "\xfe\xff\x00M\x00\xfc", "Mü", nil},
		"no mark":                {"utf-16", "M\x00\xfc\x00", "", unicode.ErrMissingBOM},
		"no mark, but declared":  {"utf-16le", "M\x00\xfc\x00", "Mü", nil},
		"declared big endian":    {"utf-16be", "\x00M\x00\xfc", "Mü", nil},
		"half a character":       {"utf-16", "\xff\xfeM\x00\xfc", "M\ufffd", nil},
		"half of two surrogates": {"utf-16", "\xff\xfe\x3d\xd8M\x00", "\ufffdM", nil},
	} {
		text, err := io.ReadAll(of(t, c.charset).Reader(strings.NewReader(c.raw)))
		if string(text) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestUnknownCharset(t *testing.T) {
	if _, err := Of("ebcdic"); err == nil {
		t.Error("ebcdic is accepted as known")
	}
	for _, name := range Names {
		if got := of(t, name).String(); got != name {
			t.Errorf("%s is called %s", name, got)
		}
	}
}

// For any bytes, the text is UTF-8, and the count is the number of bad characters.
func FuzzText(f *testing.F) {
	f.Add("M\xfcller \x81", uint8(4))
	f.Add("plain text and \xe2\x82\xac", uint8(0))
	f.Fuzz(func(t *testing.T, raw string, n uint8) {
		set := of(t, Names[int(n)%len(Names)])
		text, bad := set.Append([]byte("before"), []byte(raw))
		if !utf8.Valid(text) || !strings.HasPrefix(string(text), "before") {
			t.Errorf("%q", text)
		}
		if n := strings.Count(string(text), "\ufffd"); n != bad || set.Bad([]byte(raw)) != bad {
			t.Errorf("%d bad, counted %d and %d", n, bad, set.Bad([]byte(raw)))
		}
		if bad == 0 && set.Text([]byte(raw)) != string(text[len("before"):]) {
			t.Errorf("%q and %q", set.Text([]byte(raw)), text)
		}
	})
}
