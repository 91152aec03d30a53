package charset

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/unicode/norm"
)

// Rule says what happens to a character that can't be written.
type Rule string

// The rules.
const (
	Refuse        Rule = "refuse"        // the file is not written
	Replace       Rule = "replace"       // by the replacement
	Transliterate Rule = "transliterate" // by a table; a character that the table lacks is replaced if there is a replacement, else refused
)

// Config declares a charset and what happens to characters that can't be written.
type Config struct {
	Name        string // one of [Names]
	Rule        Rule
	Replacement string            // one or more characters, or ""
	Table       map[string]string // of single characters, before the built-in table
	// Forbidden, if set, are characters that the format can't carry: line ends in fixed width.
	Forbidden func(rune) bool
	// Blank leaves a value blank that can't be written, if the record does not need it.
	Blank bool
}

// Encoder writes text. It is for one goroutine.
type Encoder struct {
	Counted Count // since the encoder was made

	config Config
	set    Charset
	table  map[rune]string
}

// Count is how much could not be written as it is.
type Count struct {
	Replaced       int64 `json:"replaced"`       // characters
	Transliterated int64 `json:"transliterated"` // characters
	Cut            int64 `json:"cut"`            // values that were longer than their column
	Blank          int64 `json:"blank"`          // values that were left blank
	Escaped        int64 `json:"escaped"`        // values that a spreadsheet would have computed
}

// Unwritable is a value that a form can't hold: its field and the reason, never the value.
type Unwritable struct {
	Field  string
	Reason error
}

// Error renders "field: reason".
func (u *Unwritable) Error() string { return u.Field + ": " + u.Reason.Error() }

// Instead decides about a value that can't be written. If it returns nil, it has counted the value and the caller
// leaves it blank. Otherwise it returns an [*Unwritable]. A value that the record needs is never left blank.
func (e *Encoder) Instead(field string, needed bool, reason error) error {
	if needed || !e.config.Blank {
		return &Unwritable{field, reason}
	}
	e.Counted.Blank++
	return nil
}

// New checks the configuration.
func New(c Config) (*Encoder, error) {
	set, err := Of(c.Name)
	if err != nil {
		return nil, err
	}
	e := &Encoder{config: c, set: set, table: map[rune]string{}}
	if c.Rule == Replace && c.Replacement == "" {
		return nil, errors.New("replacing needs a replacement")
	}
	if at := e.firstLacking(c.Replacement); at != 0 {
		return nil, errors.New("the replacement can't be written either")
	}
	for from, to := range c.Table {
		from = norm.NFC.String(from)
		r, size := utf8.DecodeRuneInString(from)
		if size != len(from) || from == "" {
			return nil, errors.New("the table has something else than one character on a left side")
		}
		if e.firstLacking(to) != 0 {
			return nil, errors.New("the table has a right side that can't be written either")
		}
		e.table[r] = to
	}
	return e, nil
}

// ErrLacking says that a text has a character that the rule refuses.
var ErrLacking = errors.New("has a character that can't be written")

// Carry returns text as it can be written. It composes letters with their marks, because charsets have them as one
// character. Then it applies the rule to each character that can't be written.
func (e *Encoder) Carry(text string) (string, error) {
	text = norm.NFC.String(text)
	if e.firstLacking(text) == 0 {
		return text, nil
	}
	var b strings.Builder
	counted := e.Counted
	for _, r := range text {
		if e.can(r) {
			b.WriteRune(r)
			continue
		}
		to, err := e.instead(r)
		if err != nil {
			e.Counted = counted
			return "", err
		}
		b.WriteString(to)
	}
	return b.String(), nil
}

// firstLacking returns the first character that can't be written, or 0.
func (e *Encoder) firstLacking(text string) rune {
	for _, r := range text {
		if !e.can(r) {
			return max(r, 1)
		}
	}
	return 0
}

func (e *Encoder) can(r rune) bool {
	if unwritable(r) || e.config.Forbidden != nil && e.config.Forbidden(r) {
		return false
	}
	if e.set.page == nil {
		return true
	}
	_, ok := e.set.page.EncodeRune(r)
	return ok
}

// unwritable reports whether readers would treat a character as damage or as a mark: NUL, the control
// characters beyond ASCII, a byte order mark, and the replacement character U+FFFD.
func unwritable(r rune) bool {
	return r == 0 || r >= 0x80 && r < 0xa0 || r == 0xfeff || r == utf8.RuneError
}

func (e *Encoder) instead(r rune) (string, error) {
	if e.config.Rule == Transliterate {
		if to, ok := e.transliteration(r); ok {
			e.Counted.Transliterated++
			return to, nil
		}
	}
	if e.config.Rule == Refuse || e.config.Replacement == "" {
		return "", ErrLacking
	}
	e.Counted.Replaced++
	return e.config.Replacement, nil
}

// transliteration returns the text from the declared table, from the built-in one, or the letter without its marks.
// It reports whether that can be written.
func (e *Encoder) transliteration(r rune) (string, bool) {
	if to, ok := e.table[r]; ok {
		return to, true
	}
	to, ok := builtIn[r]
	if !ok {
		to = bare(r)
		ok = to != string(r)
	}
	return to, ok && e.firstLacking(to) == 0
}

// bare returns a letter without its marks, and "" for a mark alone.
func bare(r rune) string {
	return strings.Map(func(part rune) rune {
		if norm.NFD.PropertiesString(string(part)).CCC() != 0 {
			return -1
		}
		return part
	}, norm.NFD.String(string(r)))
}

// builtIn has texts for characters that are not letters with marks.
var builtIn = map[rune]string{
	'ß': "ss", 'ẞ': "SS", 'æ': "ae", 'Æ': "AE", 'œ': "oe", 'Œ': "OE", 'ø': "o", 'Ø': "O", 'ł': "l", 'Ł': "L",
	'đ': "d", 'Đ': "D", 'ð': "d", 'Ð': "D", 'þ': "th", 'Þ': "Th", 'ħ': "h", 'Ħ': "H", 'ı': "i", 'ŋ': "n", 'Ŋ': "N",
	'ŧ': "t", 'Ŧ': "T", 'ĸ': "k", 'ſ': "s", 'ŉ': "'n", 'ə': "e", 'Ə': "E",
	'‘': "'", '’': "'", '‚': "'", '‛': "'", 'ʼ': "'", 'ʻ': "'", '′': "'", '“': "\"", '”': "\"", '„': "\"", '″': "\"",
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "-", '−': "-", '…': "...", '€': "EUR", '•': "*", '™': "(TM)",
	'\u00a0': " ", '\u2007': " ", '\u2009': " ", '\u202f': " ", '\t': " ", '\n': " ", '\r': " ", '\v': " ", '\f': " ",
	'\u0085': " ", '\u2028': " ", '\u2029': " ",
}

// BOM returns the byte order mark with which a UTF-16 file begins; nil for other charsets.
func (e *Encoder) BOM() []byte {
	if !e.set.wide {
		return nil
	}
	return e.appendUTF16(nil, 0xfeff)
}

// ErrForeign is a character that was not passed through Carry and can't be written.
var ErrForeign = errors.New("a character is not in the charset")

// Append appends text that Carry returned, or the format's own text.
func (e *Encoder) Append(to []byte, text string) ([]byte, error) {
	if !e.set.wide && e.set.page == nil {
		return append(to, text...), nil
	}
	for _, r := range text {
		if e.set.wide {
			to = e.appendUTF16(to, r)
			continue
		}
		b, ok := e.set.page.EncodeRune(r)
		if !ok {
			return nil, ErrForeign
		}
		to = append(to, b)
	}
	return to, nil
}

func (e *Encoder) appendUTF16(to []byte, r rune) []byte {
	for _, unit := range utf16.AppendRune(nil, r) {
		if e.set.endian == unicode.LittleEndian {
			to = append(to, byte(unit), byte(unit>>8))
		} else {
			to = append(to, byte(unit>>8), byte(unit))
		}
	}
	return to
}
