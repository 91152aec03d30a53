package part

import (
	"bytes"
	"encoding/hex"
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
	patient   int // positions of the columns that rules or counts speak of
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
	return c.period(row)
}

// period checks what the three columns of the period of death must be together.
func (c *checker) period(row []datum) (column int, reason string) {
	earliest, latest := &row[c.earliest], &row[c.latest]
	if earliest.null != latest.null || earliest.null != row[c.precision].null {
		return c.earliest, isPartial
	}
	if !earliest.null && latest.n <= earliest.n {
		return c.latest, isBackwards
	}
	return -1, ""
}

// eventType returns the position of the row's event type in the contract's list, or -1.
func (c *checker) eventType(row []datum) int {
	if row[c.event].null {
		return -1
	}
	return indexOf(c.columns[c.event].Enum, row[c.event].b)
}

// patientID returns the row's patient in the usual notation, or "".
func (c *checker) patientID(row []datum) string {
	id := row[c.patient].b
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
	// No text has more characters than bytes, so most need no counting.
	if col.MaxLength > 0 && len(b) > col.MaxLength && utf8.RuneCount(b) > col.MaxLength {
		return isTooLong
	}
	if col.Pattern != nil && !col.Pattern.Match(b) {
		return hasBadForm
	}
	return ""
}

func checkBytes(b []byte) string {
	switch {
	case len(b) > schemas.MaxValueBytes:
		return isTooLong
	case !utf8.Valid(b):
		return isNotUTF8
	case bytes.IndexByte(b, 0) >= 0:
		return hasNUL
	}
	return ""
}
