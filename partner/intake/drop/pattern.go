package drop

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Pattern is how a partner names files: text with the tokens {sequence} or {sequence:4} (of so many
// digits), {yyyy} {yy} {mm} {dd} {HH} {MM} {SS} and {partner}, and * for any letters.
type Pattern struct {
	text     string
	whole    *regexp.Regexp
	sequence int // the group that holds the number; 0: none
	dated    bool
	sample   string
}

const sequenceToken = "sequence"

// dateTokens are what the tokens of dates match.
var dateTokens = map[string]string{
	"yyyy": `[12][0-9]{3}`, "yy": `[0-9]{2}`, "mm": `(?:0[1-9]|1[0-2])`, "dd": `(?:0[1-9]|[12][0-9]|3[01])`,
	"HH": `(?:[01][0-9]|2[0-3])`, "MM": `[0-5][0-9]`, "SS": `(?:[0-5][0-9]|60)`,
}

var dateSamples = map[string]string{"yyyy": "2026", "yy": "26", "mm": "03", "dd": "01", "HH": "12", "MM": "00", "SS": "00"}

// ParsePattern reads a pattern for the files of a partner.
func ParsePattern(text, partner string) (Pattern, error) {
	if text == "" {
		return Pattern{}, errors.New("there is none; * takes every file")
	}
	if strings.Contains(text, "/") {
		return Pattern{}, errors.New("names have no folder; `folder` is a setting of its own")
	}
	p := Pattern{text: text}
	var expression strings.Builder
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return p, errors.New("a } stands without its {")
		}
		expression.WriteString(strings.ReplaceAll(regexp.QuoteMeta(literal), `\*`, `.*`))
		p.sample += strings.ReplaceAll(literal, "*", "x")
		if !found {
			break
		}
		token, behind, closed := strings.Cut(after, "}")
		if !closed {
			return p, errors.New("a { stands without its }")
		}
		part, err := p.token(token, partner)
		if err != nil {
			return p, err
		}
		expression.WriteString(part)
		rest = behind
	}
	var err error
	p.whole, err = regexp.Compile("^(?s:" + expression.String() + ")$")
	return p, err
}

func (p *Pattern) token(token, partner string) (string, error) {
	name, width, sized := strings.Cut(token, ":")
	switch {
	case name == sequenceToken:
		if p.sequence++; p.sequence > 1 {
			return "", errors.New("there is more than one {sequence}")
		}
		if !sized {
			p.sample += "1"
			return `([0-9]{1,18})`, nil
		}
		digits, err := strconv.Atoi(width)
		if err != nil || digits < 1 || digits > 18 {
			return "", errors.New("{sequence:N} has 1 to 18 digits")
		}
		p.sample += fmt.Sprintf("%0*d", digits, 1)
		return fmt.Sprintf(`([0-9]{%d})`, digits), nil
	case token == "partner":
		p.sample += partner
		return regexp.QuoteMeta(partner), nil
	case dateTokens[token] != "":
		p.dated = true
		p.sample += dateSamples[token]
		return dateTokens[token], nil
	}
	return "", fmt.Errorf("there is no token {%s}; there are {sequence}, {partner}, {yyyy} {yy} {mm} {dd} {HH} {MM} {SS}, and * for anything", token)
}

// Numbered reports whether names have a sequence number.
func (p Pattern) Numbered() bool { return p.sequence > 0 }

// Dated reports whether names have a date, or a part of one.
func (p Pattern) Dated() bool { return p.dated }

// Match reports whether a name fits, and its sequence number; -1 where the pattern has none.
func (p Pattern) Match(name string) (sequence int64, ok bool) {
	found := p.whole.FindStringSubmatch(name)
	if found == nil {
		return -1, false
	}
	if p.sequence == 0 {
		return -1, true
	}
	sequence, err := strconv.ParseInt(found[p.sequence], 10, 64)
	return sequence, err == nil
}

// Sample returns a name that fits.
func (p Pattern) Sample() string { return p.sample }

// extension is what all names end in, from the last dot; "": they may differ in it.
func (p Pattern) extension() string {
	dot := strings.LastIndexByte(p.text, '.')
	if dot < 1 || strings.ContainsAny(p.text[dot:], "*{}") {
		return ""
	}
	return p.text[dot:]
}

// companion returns the name that a pattern of {name} or {stem} gives for a file.
func companion(pattern, name string) string {
	return strings.NewReplacer("{name}", name, "{stem}", stem(name)).Replace(pattern)
}

// stem is a name without its last extension.
func stem(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		return name[:dot]
	}
	return name
}
