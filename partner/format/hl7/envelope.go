package hl7

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"waybill/partner/format/record"
)

// envelope compares the headers and trailers of a file (HL7 v2, chapter 2.10.3) with what is between
// them. All of them are optional, a batch may have no messages, and wrong counts are common.
type envelope struct {
	totals   string // as in [Options]
	warnings []string

	messages int // of the current batch
	total    int // of the batches before it
	batches  int
	inFile   bool
	inBatch  bool
	ended    bool // the file's trailer was met
}

const maxWarnings = 100

// odd returns what is wrong: as an error if Totals is strict, otherwise as a warning.
func (e *envelope) odd(format string, args ...any) error {
	return e.judge(e.totals == Strict, format, args)
}

// missing reports a sign that a part of the file did not arrive: as a warning if Totals is warn, otherwise as an
// error.
func (e *envelope) missing(format string, args ...any) error {
	return e.judge(e.totals != Warn, format, args)
}

func (e *envelope) judge(refused bool, format string, args []any) error {
	if refused {
		return record.Malformedf(format, args...)
	}
	if len(e.warnings) < maxWarnings {
		e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
	}
	return nil
}

// take reads a header or trailer.
func (e *envelope) take(line []byte) error {
	count, stated, odd := declared(line)
	switch {
	case begins(line, "FHS"):
		return e.fileHeader()
	case begins(line, "BHS"):
		return e.batchHeader()
	case begins(line, "BTS"):
		return cmp.Or(e.unread(odd), e.batchTrailer(count, stated))
	default:
		return cmp.Or(e.unread(odd), e.fileTrailer(count, stated))
	}
}

func (e *envelope) fileHeader() error {
	var err error
	switch {
	case e.inBatch:
		err = e.missing("batch %d has no trailer (BTS)", e.batches)
	case e.inFile && !e.ended:
		err = e.missing("a file header (FHS) in a file that has no trailer (FTS) yet")
	case e.ended || e.messages+e.total > 0:
		err = e.odd("a file header (FHS) that is not at the beginning")
	}
	*e = envelope{totals: e.totals, warnings: e.warnings, inFile: true}
	return err
}

func (e *envelope) batchHeader() error {
	var err error
	if e.inBatch {
		err = e.missing("batch %d has no trailer (BTS)", e.batches)
	} else if e.messages > 0 {
		err = e.odd("%d messages before a batch header (BHS)", e.messages)
	}
	e.close()
	e.batches++
	e.inBatch = true
	return err
}

func (e *envelope) close() {
	e.total += e.messages
	e.messages, e.inBatch = 0, false
}

func (e *envelope) batchTrailer(count int, stated bool) error {
	var err error
	switch {
	case !e.inBatch:
		err = e.odd("a batch trailer (BTS) without a header")
	case stated && count > e.messages:
		err = e.missing("batch %d declares %d messages, and has %d", e.batches, count, e.messages)
	case stated && count < e.messages:
		err = e.odd("batch %d declares %d messages, and has %d", e.batches, count, e.messages)
	}
	e.close()
	return err
}

func (e *envelope) fileTrailer(count int, stated bool) error {
	var err error
	switch {
	case e.ended:
		err = e.odd("two file trailers (FTS)")
	case e.inBatch:
		err = e.missing("batch %d has no trailer (BTS)", e.batches)
	case !e.inFile:
		err = e.odd("a file trailer (FTS) without a header")
	case stated && count > e.batches && !e.isOneUnmarked(count):
		err = e.missing("the file declares %d batches, and has %d", count, e.batches)
	case stated && count < e.batches:
		err = e.odd("the file declares %d batches, and has %d", count, e.batches)
	}
	e.close()
	e.ended = true
	return err
}

// isOneUnmarked reports whether the sender counted messages without a batch header as one batch. Some senders do,
// others count none.
func (e *envelope) isOneUnmarked(count int) bool {
	return e.batches == 0 && e.messages > 0 && count == 1
}

// end is called at the end of the file. A file or batch that began must have ended; otherwise the rest is missing.
func (e *envelope) end() error {
	switch {
	case e.inBatch:
		e.inBatch = false
		return e.missing("batch %d has no trailer (BTS): the file may be cut off", e.batches)
	case e.inFile && !e.ended:
		e.ended = true
		return e.missing("the file has no trailer (FTS): it may be cut off")
	case e.ended && e.messages > 0:
		e.messages = 0
		return e.odd("messages behind the file's trailer (FTS)")
	}
	return nil
}

// unread returns an error if the count of a trailer can't be read: another head may be glued to it.
func (e *envelope) unread(odd bool) error {
	if !odd {
		return nil
	}
	return e.missing("a trailer (BTS or FTS) whose count can't be read")
}

// declared returns the count in a trailer's first field. stated says that the field has one, odd that it has other
// text.
func declared(line []byte) (count int, stated, odd bool) {
	if len(line) < 4 {
		return 0, false, false
	}
	field, _, _ := strings.Cut(string(line[4:]), string(line[3:4]))
	field = strings.TrimSpace(field)
	count, err := strconv.Atoi(field)
	return count, err == nil && count >= 0, err != nil && field != ""
}
