// Package pattern is how a partner's file declares texts that differ from file to file: names, header
// and trailer records, trigger files. A pattern is text with tokens in braces; dates are written with
// the tokens of package date.
package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"waybill/partner/format/date"
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

// piece is literal text, or what a token stands for.
type piece struct {
	text  string     // if it is no token
	token string     // one of Trigger
	width int        // digits of a number; 0: as many as it has
	date  date.Token // of a date
}

// Parse reads a pattern that may have the named tokens and those of dates.
func Parse(text string, tokens []string) (Pattern, error) {
	var p Pattern
	var dates []date.Token
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return p, errors.New("a } has no {")
		}
		if literal != "" {
			p.pieces = append(p.pieces, piece{text: literal})
		}
		if !found {
			break
		}
		token, after, closed := strings.Cut(rest, "}")
		if !closed {
			return p, errors.New("a { has no }")
		}
		next, err := parseToken(token, tokens)
		if err != nil {
			return p, err
		}
		if next.token == "" {
			dates = append(dates, next.date)
		}
		p.pieces, text = append(p.pieces, next), after
	}
	return p, date.Check(dates)
}

func parseToken(text string, tokens []string) (piece, error) {
	if t, found := date.Lookup(text); found {
		return piece{date: t}, nil
	}
	name, width, sized := strings.Cut(text, ":")
	p := piece{token: name}
	if !slices.Contains(tokens, name) {
		return p, fmt.Errorf("{%s} is unknown here; write {%s}, or a date with {%s}", name, strings.Join(tokens, "} {"), strings.ReplaceAll(date.Words, " ", "} {"))
	}
	if !sized {
		return p, nil
	}
	var err error
	if p.width, err = strconv.Atoi(width); err != nil || p.width < 1 || p.width > 18 || !slices.Contains(numbers, name) {
		return p, fmt.Errorf("{%s} can't have that width; write 1 to 18 digits, like {sequence:4}", text)
	}
	return p, nil
}

var numbers = []string{"sequence", "rows", "lines", "bytes"}

// Sequence returns the number of digits of the token {sequence}: 0 if the token declares no digits, -1 if the token
// is missing.
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
		text := v.text(piece)
		if piece.width > 0 {
			if len(text) > piece.width {
				return "", fmt.Errorf("%s is %s, which has more than %d digits", piece.token, text, piece.width)
			}
			text = strings.Repeat("0", piece.width-len(text)) + text
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (v Values) text(p piece) string {
	switch p.token {
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
	}
	if p.text != "" {
		return p.text
	}
	return p.date.Format(v.At)
}

// Stem returns a file's name without its last extension.
func Stem(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		return name[:dot]
	}
	return name
}
