package part

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"time"
	"unicode/utf8"

	"waybill/schemas"
)

// Reasons why a value breaks the contract.
const (
	isMissing    = "is missing"
	isNotAllowed = "is not one of the allowed values"
	isOutOfRange = "is out of range"
	isTooLong    = "is too long"
	isNotUTF8    = "is not valid UTF-8"
	hasNUL       = "has a NUL"
	hasBadForm   = "does not have the required form"
	isPartial    = "is given without the other two of the period of death"
	isBackwards  = "is not after the start of the period"
)

// checker compares a row with the contract.
type checker struct {
	columns   []schemas.Column
	patient   int // positions of the columns that rules or counts use
	event     int
	recorded  int
	earliest  int
	latest    int
	precision int
}

func newChecker(c *schemas.Contract) checker {
	return checker{
		columns:   c.Columns,
		patient:   c.Index("patient_id"),
		event:     c.Index("event"),
		recorded:  c.Index("recorded_at"),
		earliest:  c.Index("death_earliest"),
		latest:    c.Index("death_latest"),
		precision: c.Index("death_precision"),
	}
}

// row returns the first column whose value breaks the contract, and why; or -1.
func (c *checker) row(row []datum) (column int, reason string) {
	for i := range row {
		if reason := check(&c.columns[i], &row[i]); reason != "" {
			return i, reason
		}
	}
	return c.period(&row[c.earliest], &row[c.latest], &row[c.precision])
}

// batch checks the first n rows of a batch, which has its data by column. It returns the first row that breaks the
// contract, and what row would return for it; or the reason "".
func (c *checker) batch(data [][]datum, n int) (row, column int, reason string) {
	row = n
	for i := range data {
		// Rows after one that is bad already need no check.
		if k, why := checkColumn(&c.columns[i], data[i][:row]); why != "" {
			row, column, reason = k, i, why
		}
	}
	for k := range row {
		if i, why := c.period(&data[c.earliest][k], &data[c.latest][k], &data[c.precision][k]); why != "" {
			return k, i, why
		}
	}
	return row, column, reason
}

// checkColumn returns the first of a column's values that breaks its rules, and why; or the reason "".
func checkColumn(col *schemas.Column, data []datum) (row int, reason string) {
	for k := range data {
		if k > 0 && data[k].same(&data[k-1]) {
			continue
		}
		if reason := check(col, &data[k]); reason != "" {
			return k, reason
		}
	}
	return 0, ""
}

// period checks what the three columns of the period of death must be together.
func (c *checker) period(earliest, latest, precision *datum) (column int, reason string) {
	if earliest.null != latest.null || earliest.null != precision.null {
		return c.earliest, isPartial
	}
	if !earliest.null && latest.n <= earliest.n {
		return c.latest, isBackwards
	}
	return -1, ""
}

// eventType returns the position of an event's type in the contract's list, or -1.
func (c *checker) eventType(event *datum) int {
	if event.null {
		return -1
	}
	return indexOf(c.columns[c.event].Enum, event.b)
}

// patientID returns a patient's id in the usual notation, or "".
func patientID(patient *datum) string {
	id := patient.b
	if len(id) != 16 {
		return ""
	}
	x := hex.EncodeToString(id)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

func indexOf(enum []string, b []byte) int {
	for i, v := range enum {
		if string(b) == v {
			return i
		}
	}
	return -1
}

// check returns why a value breaks its column's rules, or "".
func check(col *schemas.Column, d *datum) string {
	if d.null {
		if col.Required {
			return isMissing
		}
		return ""
	}
	switch col.Type {
	case schemas.Int32, schemas.Int64, schemas.Timestamp:
		if d.n < col.Min || d.n > col.Max {
			return isOutOfRange
		}
	case schemas.Text:
		return checkText(col, d.b)
	case schemas.JSON:
		return checkObjects(col, d.b)
	}
	return ""
}

func checkText(col *schemas.Column, b []byte) string {
	if col.Enum != nil {
		if indexOf(col.Enum, b) < 0 {
			return isNotAllowed
		}
		return ""
	}
	if reason := checkBytes(b); reason != "" {
		return reason
	}
	// A text has at most as many characters as bytes, so most texts need no counting.
	if col.MaxLength > 0 && len(b) > col.MaxLength && utf8.RuneCount(b) > col.MaxLength {
		return isTooLong
	}
	if col.Pattern != nil && !isDay(b) && !col.Pattern.Match(b) {
		return hasBadForm
	}
	return ""
}

func checkBytes(b []byte) string {
	switch {
	case len(b) > schemas.MaxValueBytes:
		return isTooLong
	case isPlain(b):
		return ""
	case !utf8.Valid(b):
		return isNotUTF8
	case bytes.IndexByte(b, 0) >= 0:
		return hasNUL
	}
	return ""
}

// isPlain reports whether a text is of ASCII without NUL, as most are.
func isPlain(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		// Of eight bytes, one that is not ASCII has its highest bit set, and a NUL has it when 1 is subtracted.
		x := binary.LittleEndian.Uint64(b)
		if (x|(x-0x0101010101010101))&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c-1 >= 0x7f { // 0 becomes 255
			return false
		}
	}
	return true
}

// isDay reports whether a text is a day, written YYYY-MM-DD, of those that the month has in each year, but the 31st. Patterns for
// text are the calendar's, and take much longer; a test compares them.
func isDay(b []byte) bool {
	if len(b) != len(time.DateOnly) || b[4] != '-' || b[7] != '-' {
		return false
	}
	year, month, day := number(b[:4]), number(b[5:7]), number(b[8:])
	return year >= 1 && month >= 1 && month <= 12 && day >= 1 && (day <= 28 || day <= 30 && month != 2)
}

// number returns what digits say, or -1.
func number(digits []byte) (n int) {
	for _, c := range digits {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}
