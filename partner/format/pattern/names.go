package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Names recognises the names of a partner's files. Their pattern has the tokens of [Naming] and of
// dates, and * for any characters. The case of letters does not count: programs for Windows write both a.csv and A.CSV.
type Names struct {
	pattern   Pattern
	whole     *regexp.Regexp
	sample    string
	extension string
	suffixes  []string // that may follow
}

// ParseNames reads the pattern of a partner's names.
func ParseNames(text, partner string) (Names, error) {
	switch {
	case text == "":
		return Names{}, errors.New(`the pattern is missing; "*" matches every file`)
	case strings.Contains(text, "/"):
		return Names{}, errors.New("a name has no folder; write it as `folder:`")
	case strings.Count(text, "{sequence") > 1:
		return Names{}, errors.New("write {sequence} once")
	}
	p, err := Parse(text, Naming)
	if err != nil {
		return Names{}, err
	}
	n := Names{pattern: p}
	if dot := strings.LastIndexByte(text, '.'); dot > 0 && !strings.ContainsAny(text[dot:], "*{}") {
		n.extension = text[dot:]
	}
	sample, err := p.Format(Values{Sequence: 1, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Partner: partner})
	if err != nil {
		return Names{}, err
	}
	n.sample = strings.ReplaceAll(sample, "*", "x")
	var expression strings.Builder
	for _, piece := range p.pieces {
		expression.WriteString(piece.expression(partner))
	}
	n.whole, err = regexp.Compile("^(?is:" + expression.String() + ")$")
	return n, err
}

func (p piece) expression(partner string) string {
	switch {
	case p.text != "":
		return strings.ReplaceAll(regexp.QuoteMeta(p.text), `\*`, `.*`)
	case p.token == "partner":
		return regexp.QuoteMeta(partner)
	case p.token == "sequence" && p.width > 0:
		return fmt.Sprintf(`([0-9]{%d})`, p.width)
	case p.token == "sequence":
		return `([0-9]{1,18})`
	default:
		return p.date.Expression()
	}
}

// Numbered reports whether names have a sequence number.
func (n Names) Numbered() bool { return n.pattern.Sequence() >= 0 }

// Dated reports whether names have a date, or a part of one.
func (n Names) Dated() bool {
	for _, p := range n.pattern.pieces {
		if p.text == "" && p.token == "" {
			return true
		}
	}
	return false
}

// Followed returns names that may also end in one of the suffixes, in any letter case.
func (n Names) Followed(suffixes []string) Names {
	n.suffixes = suffixes
	if len(suffixes) > 0 {
		n.extension = ""
	}
	return n
}

// Match reports whether a name fits, and returns its sequence number, or -1 if names have none.
func (n Names) Match(name string) (sequence int64, ok bool) {
	found := n.whole.FindStringSubmatch(name)
	for i := 0; i < len(n.suffixes) && found == nil; i++ {
		if bare := len(name) - len(n.suffixes[i]); bare > 0 && strings.EqualFold(name[bare:], n.suffixes[i]) {
			found = n.whole.FindStringSubmatch(name[:bare])
		}
	}
	if found == nil || !n.Numbered() {
		return -1, found != nil
	}
	sequence, err := strconv.ParseInt(found[1], 10, 64)
	return sequence, err == nil
}

// Sample returns a name that fits.
func (n Names) Sample() string { return n.sample }

// Extension returns what all names end in, from the last dot; "": they may differ in it.
func (n Names) Extension() string { return n.extension }
