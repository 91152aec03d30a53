package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxLine bounds one line, and one record of several lines. Bulk exports carry photographs.
const maxLine = 16 << 20

var byteOrderMark = []byte("\xef\xbb\xbf")

// lines reads the lines of a text that end in LF, CR LF or CR alone, without their ends and
// without a byte order mark.
type lines struct {
	scan   *bufio.Scanner
	number int // of the line last returned, from 1
}

func newLines(r io.Reader) *lines {
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 64<<10), maxLine)
	scan.Split(splitLine)
	return &lines{scan: scan}
}

// next returns the next line, valid until the call after: [io.EOF] at the end, a [*Refused]
// when the line is not text that PostgreSQL can hold.
func (l *lines) next() ([]byte, error) {
	if !l.scan.Scan() {
		return nil, l.end()
	}
	l.number++
	line := l.scan.Bytes()
	if l.number == 1 {
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	if !utf8.Valid(line) {
		return nil, l.refuse("not UTF-8; convert the file first")
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, l.refuse("holds a NUL byte")
	}
	return line, nil
}

func (l *lines) end() error {
	switch err := l.scan.Err(); {
	case err == nil:
		return io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return &malformed{fmt.Sprintf("line %d is longer than %d MiB", l.number+1, maxLine>>20)}
	default:
		return err
	}
}

func (l *lines) refuse(format string, args ...any) *Refused {
	return &Refused{Line: l.number, Reason: fmt.Sprintf(format, args...)}
}

// splitLine is a [bufio.SplitFunc].
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	lf := bytes.IndexByte(data, '\n')
	before := data
	if lf >= 0 {
		before = data[:lf]
	}
	switch cr := bytes.IndexByte(before, '\r'); {
	case cr >= 0 && cr == len(data)-1 && !atEOF:
		return 0, nil, nil // an LF may follow
	case cr >= 0 && cr+1 == lf:
		return lf + 1, data[:cr], nil
	case cr >= 0:
		return cr + 1, data[:cr], nil
	case lf >= 0:
		return lf + 1, before, nil
	case atEOF && len(data) > 0:
		return len(data), data, nil
	default:
		return 0, nil, nil
	}
}
