package charset_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"waybill/partner/format/charset"
)

func TestRules(t *testing.T) {
	const text = "Łukasz Kühne – ☃"
	for _, test := range []struct {
		name   string
		config charset.Config
		want   string // in the charset
		count  charset.Count
	}{
		{"all of it", charset.Config{Name: "utf-8", Rule: charset.Refuse}, text, charset.Count{}},
		{"refused", charset.Config{Name: "windows-1252", Rule: charset.Refuse}, "", charset.Count{}},
		{"replaced", charset.Config{Name: "windows-1252", Rule: charset.Replace, Replacement: "?"}, "?ukasz K\xfchne \x96 ?", charset.Count{Replaced: 2}},
		{"transliterated, but for one", charset.Config{Name: "iso-8859-1", Rule: charset.Transliterate}, "", charset.Count{}},
		{"or replaced", charset.Config{Name: "iso-8859-15", Rule: charset.Transliterate, Replacement: "."}, "Lukasz K\xfchne - .", charset.Count{Transliterated: 2, Replaced: 1}},
		{
			"by a custom table",
			charset.Config{Name: "iso-8859-1", Rule: charset.Transliterate, Table: map[string]string{"Ł": "W", "☃": "", "–": "--"}},
			"Wukasz K\xfchne -- ",
			charset.Count{Transliterated: 3},
		},
		{
			"forbidden",
			charset.Config{Name: "utf-8", Rule: charset.Replace, Replacement: "_", Forbidden: func(r rune) bool { return r == ' ' }},
			"Łukasz_Kühne_–_☃",
			charset.Count{Replaced: 3},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := charset.New(test.config)
			if err != nil {
				t.Fatal(err)
			}
			carried, refused := e.Carry(text)
			got, err := e.Append(nil, carried)
			if err != nil || (refused != nil) != (test.want == "") || string(got) != test.want || e.Counted != test.count {
				t.Errorf("%q, %+v (%v, %v); want %q, %+v", got, e.Counted, err, refused, test.want, test.count)
			}
		})
	}
}

// Letters lose their marks if nothing better is known. Characters that are damaged already are never passed on.
func TestTransliteration(t *testing.T) {
	for text, want := range map[string]string{
		"Dvořák": "Dvor\xe1k", "Nguyễn": "Nguyen", "Ğ": "G", "ẞ": "SS", "\u0085": " ", "€": "EUR", "Ő": "O",
		"q\u0301": "q", "o\u0323\u0301": "o",
	} {
		e, err := charset.New(charset.Config{Name: "iso-8859-1", Rule: charset.Transliterate})
		if err != nil {
			t.Fatal(err)
		}
		carried, refused := e.Carry(text)
		got, err := e.Append(nil, carried)
		if err != nil || refused != nil || string(got) != want {
			t.Errorf("%q is %q (%v, %v), want %q", text, got, err, refused, want)
		}
		if e.Counted == (charset.Count{}) {
			t.Errorf("%q: nothing counted", text)
		}
	}
	for _, text := range []string{"ﬁ", "中", "é\ufffd", "\x00", "\ufeff"} {
		e, err := charset.New(charset.Config{Name: "iso-8859-1", Rule: charset.Transliterate})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Carry(text); !errors.Is(err, charset.ErrLacking) || e.Counted != (charset.Count{}) {
			t.Errorf("%q is carried as %q (%v), %+v", text, got, err, e.Counted)
		}
	}
}

// A letter followed by its mark becomes the single character that charsets have and that partners compare.
func TestTextIsComposed(t *testing.T) {
	for name, want := range map[string]string{"iso-8859-1": "Jos\xe9 M\xfcller", "windows-1252": "Jos\xe9 M\xfcller", "utf-8": "José Müller"} {
		e, err := charset.New(charset.Config{Name: name, Rule: charset.Refuse})
		if err != nil {
			t.Fatal(err)
		}
		carried, refused := e.Carry("Jose\u0301 Mu\u0308ller")
		if got, err := e.Append(nil, carried); err != nil || refused != nil || string(got) != want || e.Counted != (charset.Count{}) {
			t.Errorf("%s: %q (%v, %v), %+v", name, got, err, refused, e.Counted)
		}
	}
}

func TestUTF16(t *testing.T) {
	for name, want := range map[string][]byte{
		"utf-16le": {0xff, 0xfe, 'a', 0, 0x3d, 0xd8, 0, 0xde}, "utf-16be": {0xfe, 0xff, 0, 'a', 0xd8, 0x3d, 0xde, 0},
	} {
		e, err := charset.New(charset.Config{Name: name, Rule: charset.Refuse})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Append(e.BOM(), "a😀"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: % x (%v), want % x", name, got, err, want)
		}
	}
}

func TestWhatCantBeDeclared(t *testing.T) {
	for name, c := range map[string]charset.Config{
		"an unknown charset":               {Name: "ebcdic"},
		"no replacement":                   {Name: "utf-8", Rule: charset.Replace},
		"a replacement that it lacks":      {Name: "iso-8859-1", Rule: charset.Replace, Replacement: "☃"},
		"a table of words":                 {Name: "utf-8", Table: map[string]string{"ab": "c"}},
		"a table to what it lacks":         {Name: "iso-8859-1", Table: map[string]string{"ł": "ľ"}},
		"a replacement the format forbids": {Name: "utf-8", Rule: charset.Replace, Replacement: "\n", Forbidden: func(r rune) bool { return r == '\n' }},
	} {
		if _, err := charset.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	e, err := charset.New(charset.Config{Name: "iso-8859-1", Rule: charset.Refuse})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Append(nil, "☃"); err == nil {
		t.Error("a character that the charset lacks was appended")
	}
}

// Text that was carried and written reads the same, in every charset.
func TestWhatIsWrittenIsReadTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(charset.Names).Draw(t, "charset")
		e, err := charset.New(charset.Config{Name: name, Rule: charset.Transliterate, Replacement: "?"})
		if err != nil {
			t.Fatal(err)
		}
		carried, err := e.Carry(rapid.String().Draw(t, "text"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := e.Append(e.BOM(), carried)
		if err != nil {
			t.Fatal(err)
		}
		set, err := charset.Of(name)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(set.Reader(bytes.NewReader(data)))
		if read := set.Text(raw); err != nil || set.Bad(raw) > 0 || read != carried {
			t.Fatalf("%s: %q is read as %q (%v)", name, carried, read, err)
		}
	})
}
