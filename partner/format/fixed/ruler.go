package fixed

import (
	"unicode/utf8"

	"waybill/partner/format/charset"
)

// ruler finds fields in a text, by bytes or by characters.
type ruler struct {
	characters bool  // places count characters, which may have several bytes
	wide       bool  // places count bytes, and a character may have several
	starts     []int // of the characters of the text, and its end; empty: each character is a byte
}

func newRuler(l *Layout, set charset.Charset) ruler {
	return ruler{characters: l.Unit == "characters" && !set.Single(), wide: l.Unit != "characters" && !set.Single()}
}

func (r *ruler) unit() string {
	if r.characters {
		return "characters"
	}
	return "bytes"
}

// measure prepares for a text, and returns its length.
func (r *ruler) measure(text []byte) int {
	r.starts = r.starts[:0]
	if !r.characters || utf8.RuneCount(text) == len(text) {
		return len(text)
	}
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRune(text[at:])
		r.starts = append(r.starts, at)
		at += size
	}
	r.starts = append(r.starts, len(text))
	return len(r.starts) - 1
}

// cut returns the text between two places, counted from 0, as far as the text reaches.
func (r *ruler) cut(text []byte, from, to int) []byte {
	if n := len(r.starts); n > 0 {
		return text[r.starts[min(from, n-1)]:r.starts[min(to, n-1)]]
	}
	return text[min(from, len(text)):min(to, len(text))]
}

// field returns a field of the text that was measured.
func (r *ruler) field(text []byte, f Field) []byte {
	return r.cut(text, f.From-1, f.From-1+f.Length)
}

// splits reports whether a field begins or ends inside a character.
func (r *ruler) splits(text []byte, f Field) bool {
	inside := func(at int) bool { return at < len(text) && !utf8.RuneStart(text[at]) }
	return r.wide && (inside(f.From-1) || inside(f.From-1+f.Length))
}
