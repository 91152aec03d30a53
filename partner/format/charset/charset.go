// Package charset reads and writes text in the charset that a partner declares. Nothing is guessed,
// and nothing is replaced in silence: every character that the charset lacks is counted.
package charset

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Charset is one declared charset. The zero Charset is UTF-8.
type Charset struct {
	name   string
	page   *charmap.Charmap // of a charset of single bytes
	single *[256]rune       // its characters
	wide   bool             // UTF-16
	mark   unicode.BOMPolicy
	endian unicode.Endianness
}

// Names are the charsets that can be declared. A utf-16 file must have a byte order mark when it is read; it is
// written as utf-16le with its mark.
var Names = []string{"utf-8", "utf-16", "utf-16le", "utf-16be", "windows-1252", "iso-8859-1", "iso-8859-15"}

var pages = map[string]*charmap.Charmap{
	"windows-1252": charmap.Windows1252, "iso-8859-1": charmap.ISO8859_1, "iso-8859-15": charmap.ISO8859_15,
}

// Of returns the charset of a name, in any letter case. An empty name is UTF-8.
func Of(name string) (Charset, error) {
	c := Charset{name: cmp.Or(strings.ToLower(name), "utf-8"), endian: unicode.LittleEndian, mark: unicode.UseBOM}
	if !slices.Contains(Names, c.name) {
		return Charset{}, fmt.Errorf("unknown charset; known are %s", strings.Join(Names, ", "))
	}
	c.wide = strings.HasPrefix(c.name, "utf-16")
	switch c.name {
	case "utf-16":
		c.mark = unicode.ExpectBOM
	case "utf-16be":
		c.endian = unicode.BigEndian
	}
	if c.page = pages[c.name]; c.page != nil {
		c.single = tableOf(c.page)
	}
	return c, nil
}

// tableOf returns the character of each byte. The control characters 0x80 to 0x9F are not
// accepted: Windows-1252 leaves some of them undefined, and in a text declared as ISO 8859 they are
// nearly always letters of Windows-1252.
func tableOf(m *charmap.Charmap) *[256]rune {
	var table [256]rune
	for b := range table {
		table[b] = m.DecodeByte(byte(b))
		if r := table[b]; r >= 0x80 && r < 0xA0 {
			table[b] = utf8.RuneError
		}
	}
	return &table
}

// String returns the charset's name.
func (c Charset) String() string { return c.name }

// Wide reports whether characters take more than a byte each: such text must be decoded before it can be cut.
func (c Charset) Wide() bool { return c.wide }

// Single reports whether each character is one byte.
func (c Charset) Single() bool { return c.single != nil }

// ErrNoMark says that a UTF-16 has no byte order mark.
var ErrNoMark = unicode.ErrMissingBOM

// Reader returns text that can be cut at bytes before it is decoded: UTF-16 as UTF-8, all else
// unchanged. A UTF-16 without a byte order mark is an error, unless its byte order was declared.
func (c Charset) Reader(r io.Reader) io.Reader {
	if !c.wide {
		return r
	}
	return transform.NewReader(r, unicode.UTF16(c.endian, c.mark).NewDecoder())
}

// Append appends bytes that came from [Charset.Reader] as UTF-8 to dst and counts the characters
// that the charset lacks. U+FFFD counts, too: it shows that a character was lost before.
func (c Charset) Append(dst, raw []byte) (text []byte, bad int) {
	plain := ascii(raw)
	dst = append(dst, raw[:plain]...)
	raw = raw[plain:]
	if len(raw) == 0 {
		return dst, 0
	}
	if c.single == nil {
		return appendUTF8(dst, raw)
	}
	for _, b := range raw {
		r := c.single[b]
		if r == utf8.RuneError {
			bad++
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, bad
}

// Bad counts the characters of bytes that the charset lacks.
func (c Charset) Bad(raw []byte) (bad int) {
	raw = raw[ascii(raw):]
	if c.single != nil {
		for _, b := range raw {
			if c.single[b] == utf8.RuneError {
				bad++
			}
		}
		return bad
	}
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if r == utf8.RuneError {
			bad++
		}
		raw = raw[size:]
	}
	return bad
}

// Text returns bytes as UTF-8. [Charset.Bad] must have found nothing wrong with them.
func (c Charset) Text(raw []byte) string {
	if c.single == nil || ascii(raw) == len(raw) {
		return string(raw)
	}
	text, _ := c.Append(make([]byte, 0, len(raw)+len(raw)/2), raw)
	return string(text)
}

func appendUTF8(dst, raw []byte) (text []byte, bad int) {
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if r == utf8.RuneError {
			bad++
		}
		dst = utf8.AppendRune(dst, r)
		raw = raw[size:]
	}
	return dst, bad
}

// ascii returns how many bytes from the beginning are ASCII, looking at eight at a time.
func ascii(raw []byte) int {
	n := 0
	for len(raw)-n >= 8 {
		eight := raw[n : n+8 : n+8]
		if (eight[0]|eight[1]|eight[2]|eight[3]|eight[4]|eight[5]|eight[6]|eight[7])&0x80 != 0 {
			break
		}
		n += 8
	}
	if i := slices.IndexFunc(raw[n:], func(b byte) bool { return b >= utf8.RuneSelf }); i >= 0 {
		return n + i
	}
	return len(raw)
}
