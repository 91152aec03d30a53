package date

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// standard is how a standard writes dates: parts of fixed width, of which the last ones may be missing.
type standard struct {
	before  [second]string // the text before each part
	offsets []int          // lengths of an offset from UTC
	hours   bool           // a time may be an hour alone, and a date may have an offset
	err     error
}

// Texts that are not dates of a standard, or that no calendar has.
var (
	ErrFHIR = errors.New("not a date or time of FHIR (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz)")
	ErrHL7  = errors.New("not a date or time of HL7 (YYYY[MM[DD[HHMM[SS[.SSSS]]]]][+/-ZZZZ])")
)

var (
	fhir = standard{[second]string{"", "-", "-", "T", ":", ":"}, []int{len("Z"), len("+01:00")}, false, ErrFHIR}
	hl7  = standard{[second]string{}, []int{len("+0100")}, true, ErrHL7}
)

// ParseFHIR reads a date or dateTime of FHIR (R4, chapter 2.24), whose dates are those of the contract, too.
func ParseFHIR(text string) (Date, error) { return fhir.parse(text) }

// IsPartial reports whether a text is a year, a month or a day of the calendar, as FHIR and the contract have dates of birth.
func IsPartial(text string) bool {
	d, err := ParseFHIR(text)
	return err == nil && !d.Timed
}

// ParseHL7 reads a DTM of HL7 (v2.5, chapter 2.A.22). An hour without its minute leaves the date untimed.
func ParseHL7(text string) (Date, error) { return hl7.parse(text) }

func (s *standard) parse(text string) (d Date, err error) {
	part := year
	for ; part <= second; part++ {
		rest, found := strings.CutPrefix(text, s.before[part-year])
		width := 2
		if part == year {
			width = 4
		}
		if !found || len(rest) < width || rest[0] < '0' || rest[0] > '9' {
			break
		}
		if !d.set(part, rest[:width]) || part == month && d.Month == 0 || part == day && d.Day == 0 {
			return d, s.err
		}
		text = rest[width:]
	}
	if fraction, found := strings.CutPrefix(text, "."); found && part > second {
		text = strings.TrimLeft(fraction, "0123456789")
		digits := fraction[:len(fraction)-len(text)]
		if digits == "" {
			return d, s.err
		}
		d.Nanosecond, _ = strconv.Atoi((digits + "00000000")[:9])
	}
	unfinished := part == minute && !s.hours
	zoned := text == "" || (d.Timed || s.hours) && slices.Contains(s.offsets, len(text)) && d.readOffset(text)
	if unfinished || !zoned || !d.Exists() {
		return d, s.err
	}
	return d, nil
}
