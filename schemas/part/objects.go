package part

import (
	"bytes"
	"unicode/utf16"

	"waybill/schemas"
)

// checkObjects checks a JSON value of the only shape that a contract has: an array of objects whose
// members are strings, with at least the column's members in each. It decodes nothing.
func checkObjects(col *schemas.Column, b []byte) string {
	if reason := checkBytes(b); reason != "" {
		return reason
	}
	s := objectScanner{b: b, members: col.Members}
	n, ok := s.array()
	switch {
	case !ok:
		return hasBadForm
	case col.MaxLength > 0 && n > col.MaxLength:
		return isTooLong
	}
	return ""
}

type objectScanner struct {
	b       []byte
	members []string
}

// array returns the number of objects, and false unless the whole text is one array.
func (s *objectScanner) array() (n int, ok bool) {
	if !s.eat('[') {
		return 0, false
	}
	if s.eat(']') {
		return 0, s.atEnd()
	}
	for {
		if !s.object() {
			return 0, false
		}
		n++
		if !s.eat(',') {
			return n, s.eat(']') && s.atEnd()
		}
	}
}

func (s *objectScanner) object() bool {
	if !s.eat('{') {
		return false
	}
	seen := uint64(0)
	for {
		key, ok := s.string()
		// An escaped key could repeat a member unseen.
		if !ok || bytes.IndexByte(key, '\\') >= 0 || !s.eat(':') {
			return false
		}
		if i := indexOf(s.members, key); i >= 0 {
			if seen&(1<<i) != 0 {
				return false
			}
			seen |= 1 << i
		}
		if _, ok := s.string(); !ok {
			return false
		}
		if !s.eat(',') {
			return s.eat('}') && seen == 1<<len(s.members)-1
		}
	}
}

// string returns what is between the quotes, as written.
func (s *objectScanner) string() ([]byte, bool) {
	if !s.eat('"') {
		return nil, false
	}
	for i := 0; i < len(s.b); {
		switch c := s.b[i]; {
		case c == '"':
			text := s.b[:i]
			s.b = s.b[i+1:]
			return text, true
		case c == '\\':
			n := escape(s.b[i:])
			if n == 0 {
				return nil, false
			}
			i += n
		case c < 0x20:
			return nil, false
		default:
			i++
		}
	}
	return nil, false
}

// escape returns the length of the escape sequence at the start of b, or 0 if PostgreSQL does not
// accept it: it can't store \u0000, and surrogates must come in pairs.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) < 0 {
			return 0
		}
		return 2
	}
	r, ok := unicodeEscape(b)
	switch {
	case !ok || r == 0:
		return 0
	case !utf16.IsSurrogate(r):
		return 6
	}
	low, ok := unicodeEscape(b[6:])
	if !ok || utf16.DecodeRune(r, low) == '\uFFFD' {
		return 0
	}
	return 12
}

func unicodeEscape(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// eat skips white space and then c, if it comes next.
func (s *objectScanner) eat(c byte) bool {
	s.space()
	if len(s.b) == 0 || s.b[0] != c {
		return false
	}
	s.b = s.b[1:]
	return true
}

func (s *objectScanner) atEnd() bool {
	s.space()
	return len(s.b) == 0
}

func (s *objectScanner) space() {
	for len(s.b) > 0 && (s.b[0] == ' ' || s.b[0] == '\t' || s.b[0] == '\n' || s.b[0] == '\r') {
		s.b = s.b[1:]
	}
}
