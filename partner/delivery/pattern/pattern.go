// Package pattern is how partners' file names, header and trailer records and trigger files are
// declared: text with tokens in braces, and dates by a layout.
package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Values are what tokens stand for.
type Values struct {
	Sequence int64
	At       time.Time // when the file was planned, in the partner's zone
	Partner  string
	Rows     int64 // records of the file
	Lines    int64 // records with header and trailer
	Bytes    int64
	SHA256   string
	Name     string // of the data file, without its folder
}

// Which tokens a pattern may have depends on what is known when it is written.
var (
	Naming  = []string{"sequence", "partner"}
	Heading = append([]string{"name"}, Naming...)
	Ending  = append([]string{"rows", "lines"}, Heading...)
	Trigger = append([]string{"bytes", "sha256", "stem"}, Ending...)
)

// Pattern is text with tokens. The zero Pattern is empty.
type Pattern struct{ pieces []piece }

// piece is literal text or, if token is set, what that stands for.
type piece struct {
	text  string
	token string
	width int // digits of a number; 0: as many as it has
}

// Parse reads a pattern that may have the named tokens and those of dates.
func Parse(text string, tokens []string) (Pattern, error) {
	var p Pattern
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return p, errors.New("a } stands without its {")
		}
		if literal != "" {
			p.pieces = append(p.pieces, piece{text: literal})
		}
		if !found {
			break
		}
		token, after, closed := strings.Cut(rest, "}")
		if !closed {
			return p, errors.New("a { stands without its }")
		}
		next, err := parseToken(token, tokens)
		if err != nil {
			return p, err
		}
		p.pieces, text = append(p.pieces, next), after
	}
	return p, nil
}

func parseToken(text string, tokens []string) (piece, error) {
	name, width, sized := strings.Cut(text, ":")
	p := piece{token: name}
	known := goLayout[name] != ""
	for _, t := range tokens {
		known = known || t == name
	}
	if !known {
		return p, fmt.Errorf("there is no {%s} here; there are {%s} and {yyyy} {yy} {mm} {dd} {HH} {MM} {SS}", name, strings.Join(tokens, "} {"))
	}
	if !sized {
		return p, nil
	}
	var err error
	if p.width, err = strconv.Atoi(width); err != nil || p.width < 1 || p.width > 18 || !numeric[name] {
		return p, fmt.Errorf("{%s} is no number of 1 to 18 digits", text)
	}
	return p, nil
}

var numeric = map[string]bool{"sequence": true, "rows": true, "lines": true, "bytes": true}

// Has reports whether the token occurs.
func (p Pattern) Has(token string) bool {
	for _, piece := range p.pieces {
		if piece.token == token {
			return true
		}
	}
	return false
}

// Sequence returns the digits of the token {sequence}: 0 if none are declared, -1 if it does not occur.
func (p Pattern) Sequence() int {
	for _, piece := range p.pieces {
		if piece.token == "sequence" {
			return piece.width
		}
	}
	return -1
}

// Format puts in the values. A number that needs more digits than declared is an error.
func (p Pattern) Format(v Values) (string, error) {
	var b strings.Builder
	for _, piece := range p.pieces {
		if piece.token == "" {
			b.WriteString(piece.text)
			continue
		}
		text := v.text(piece.token)
		if piece.width > 0 {
			if len(text) > piece.width {
				return "", fmt.Errorf("%s is %s, and has %d digits at most", piece.token, text, piece.width)
			}
			text = strings.Repeat("0", piece.width-len(text)) + text
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (v Values) text(token string) string {
	switch token {
	case "sequence":
		return strconv.FormatInt(v.Sequence, 10)
	case "rows":
		return strconv.FormatInt(v.Rows, 10)
	case "lines":
		return strconv.FormatInt(v.Lines, 10)
	case "bytes":
		return strconv.FormatInt(v.Bytes, 10)
	case "partner":
		return v.Partner
	case "sha256":
		return v.SHA256
	case "name":
		return v.Name
	case "stem":
		return Stem(v.Name)
	default:
		return v.At.Format(goLayout[token])
	}
}

// Stem returns a file's name without its last extension.
func Stem(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		return name[:dot]
	}
	return name
}

// goLayout are the tokens of dates.
var goLayout = map[string]string{"yyyy": "2006", "yy": "06", "mm": "01", "dd": "02", "HH": "15", "MM": "04", "SS": "05", "ZZ": "-07:00"}
