package kit

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/google/uuid"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
	"waybill/partner/intake"
)

// example is a made-up statement about a made-up person, and what is wrong with it.
type example struct {
	record.Event
	mistake string
}

// right returns three good statements. The keys are made by number.
func right(keys func(n int) string, kind record.Kind, zone *time.Location) []example {
	return []example{
		of(kind, keys(1), 1, "Sample", "Anna", "1939-04-12", "female", "", zone),
		of(kind, keys(2), 2, "Example", "Ben", "1951-11-03", "male", "2026-02-27", zone),
		of(kind, keys(3), 3, "Testcase", "Cleo", "1944-06-30", "female", "2026-02-28", zone),
	}
}

// wrong returns statements that are set aside, as far as the rules can find what is wrong with them.
func wrong(keys func(n int) string, kind record.Kind, zone *time.Location) (all []example) {
	add := func(mistake, key, born, died string) {
		e := of(kind, key, len(all)+4, "Wrong", "Dana", born, "female", died, zone)
		e.mistake = mistake
		all = append(all, e)
	}
	add("the patient's number is missing", "", "1950-01-02", "")
	add("the patient's number is what a spreadsheet writes for none", "#N/A", "1950-01-02", "2026-02-26")
	add("the death lies in the future", keys(4), "1950-01-02", "2999-12-31")
	add("the death lies before the birth", keys(5), "1950-01-02", "1949-01-02")
	add("the birth date is no day of the calendar", keys(6), "1950-02-31", "")
	add("the patient was born in the future", keys(7), "2999-01-02", "")
	return all
}

func of(kind record.Kind, key string, n int, family, given, born, sex, died string, zone *time.Location) example {
	e := record.Event{
		Type: "updated", Version: int64(n), Status: record.Alive, RecordedAt: time.Date(2026, 3, 2, 8, 0, n, 0, zone),
		Person: record.Person{
			Identifiers: []record.Identifier{{Authority: kind.Authority, Type: kind.Type, Value: key}},
			Family:      family, Given: given, BirthDate: born, Sex: sex,
			Address: record.PostalAddress{Line: "1 Sample Street", City: "Sampleton", Postcode: "12345", Country: "XX"},
		},
	}
	e.Patient = uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, "kit ", n, key))
	if died != "" {
		e.Status = record.Informal
		day, _ := date.ParseFHIR(died)
		e.Death, _ = record.PeriodOf(day, zone)
	}
	return example{Event: e}
}

// keyMakers return ways to make a number of a patient, the likeliest first. The caller must try which one the rules
// accept.
func keyMakers(f *intake.Format, width int) (makers []func(n int) string) {
	digits := min(max(width, 4), 22)
	makers = append(makers, func(n int) string { return fmt.Sprintf("%0*d", digits, 1000+n) }, nhsNumber)
	for _, form := range f.Forms {
		if pattern, err := syntax.Parse(form.Pattern, syntax.Perl); err == nil {
			makers = append(makers, func(n int) string { return textLike(pattern.Simplify(), n) })
		}
	}
	return makers
}

// nhsNumber returns an NHS number with a right check digit, of the range that is kept for tests (999).
func nhsNumber(n int) string {
	for number := 999_000_000 + 10*n; ; number++ {
		sum := 0
		for i, digit := range fmt.Sprint(number) {
			sum += (10 - i) * int(digit-'0')
		}
		if check := (11 - sum%11) % 11; check < 10 {
			return fmt.Sprint(number, check)
		}
	}
}

// textLike returns a text that a regular expression matches, another for each n.
func textLike(r *syntax.Regexp, n int) string {
	var b strings.Builder
	var write func(r *syntax.Regexp)
	write = func(r *syntax.Regexp) {
		switch r.Op {
		case syntax.OpLiteral:
			b.WriteString(string(r.Rune))
		case syntax.OpCharClass:
			b.WriteRune(r.Rune[0] + rune(n+b.Len())%(r.Rune[1]-r.Rune[0]+1))
		case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
			b.WriteRune('a' + rune(n+b.Len())%26)
		case syntax.OpAlternate, syntax.OpCapture, syntax.OpPlus:
			write(r.Sub[0])
		case syntax.OpConcat:
			for _, part := range r.Sub {
				write(part)
			}
		}
	}
	write(r)
	return b.String()
}
