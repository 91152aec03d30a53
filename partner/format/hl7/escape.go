package hl7

import (
	"bytes"
	"encoding/hex"
)

// Plain returns the value without escapes, in the sender's charset. An escape that it does not know stays as
// written: the switches of charset (\C…\, \M…\), local ones (\Z…\), and a lone escape character. Highlighting (\H\,
// \N\) is removed, and \.br\ becomes a line break.
func (v Value) Plain() []byte {
	if v.by.Escape == 0 || bytes.IndexByte(v.text, v.by.Escape) < 0 {
		return v.text
	}
	plain := make([]byte, 0, len(v.text))
	for text := v.text; ; {
		before, after, found := bytes.Cut(text, []byte{v.by.Escape})
		plain = append(plain, before...)
		if !found {
			return plain
		}
		sequence, rest, closed := bytes.Cut(after, []byte{v.by.Escape})
		meant, known := v.by.meaning(sequence)
		if !closed || !known {
			plain = append(plain, v.by.Escape)
			text = after // the closing character may open the next
			continue
		}
		plain, text = append(plain, meant...), rest
	}
}

func (s *Separators) meaning(sequence []byte) (meant []byte, known bool) {
	if len(sequence) == 0 {
		return nil, false
	}
	if len(sequence) > 1 {
		return extended(sequence)
	}
	switch sequence[0] {
	case 'F':
		return []byte{s.Field}, true
	case 'S':
		return []byte{s.Component}, true
	case 'T':
		return []byte{s.Subcomponent}, true
	case 'R':
		return []byte{s.Repetition}, true
	case 'E':
		return []byte{s.Escape}, true
	case 'H', 'N':
		return nil, true
	default:
		return nil, false
	}
}

func extended(sequence []byte) (meant []byte, known bool) {
	switch {
	case string(sequence) == ".br" || string(sequence) == ".sp":
		return []byte{'\n'}, true
	case sequence[0] == 'X':
		meant = make([]byte, hex.DecodedLen(len(sequence)-1))
		_, err := hex.Decode(meant, sequence[1:])
		return bytes.ReplaceAll(meant, []byte{0}, nil), err == nil // \X000d\ is how some write a CR, in two bytes
	default:
		return nil, false
	}
}
