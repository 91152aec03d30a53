// Package lines cuts text into lines that end in LF, CR LF or CR, with their place in bytes, in
// bounded memory. It examines no byte twice.
package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// TooLong is a line that was skipped. Its bytes are [From, To).
type TooLong struct {
	Line     int
	From, To int64
	Max      int
}

// Error names the bound.
func (t *TooLong) Error() string { return fmt.Sprintf("a line longer than %d bytes", t.Max) }

// Reader reads lines. After Next, Line is the number of the line returned, from 1, and [From, To)
// its bytes with its end.
type Reader struct {
	Line     int
	From, To int64
	Open     bool // the line has no end: the file ends in it

	r      io.Reader
	max    int
	buf    []byte
	pos    int // of the next line in buf
	lf, cr int // the next LF and CR in buf at or after pos; len(buf) when there is none so far
	end    bool
	err    error
}

const chunk = 64 << 10

var byteOrderMark = []byte("\xef\xbb\xbf")

// New returns a reader of lines of at most limit bytes.
func New(r io.Reader, limit int) *Reader {
	return &Reader{r: r, max: limit, buf: make([]byte, 0, min(2*chunk, limit+chunk))}
}

// Next returns the next line without its end. It also drops a byte order mark at the beginning of the file, or of a
// file that was appended to another. The line is valid until the next call. The error is [io.EOF] at the end, a
// [*TooLong] for a skipped line, or that of the underlying reader.
func (l *Reader) Next() ([]byte, error) {
	line, err := l.next()
	return bytes.TrimPrefix(line, byteOrderMark), err
}

func (l *Reader) next() ([]byte, error) {
	l.From = l.To
	for {
		if line, size := l.cut(); size > 0 {
			l.take(size)
			l.Open = size == len(line)
			if len(line) > l.max {
				return nil, &TooLong{l.Line, l.From, l.To, l.max}
			}
			return line, nil
		}
		if min(l.lf, l.cr)-l.pos > l.max {
			return nil, l.passOver()
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// take moves past a line of size bytes, its end included.
func (l *Reader) take(size int) {
	l.pos += size
	l.To += int64(size)
	l.Line++
}

// cut returns the line at pos and its size with its end, or 0 when more must be read to know.
func (l *Reader) cut() (line []byte, size int) {
	l.seek()
	at := min(l.lf, l.cr)
	switch {
	case at < len(l.buf)-1 || at < len(l.buf) && (at == l.lf || l.end):
		line = l.buf[l.pos:at]
		if at == l.cr && l.lf == at+1 && l.lf < len(l.buf) {
			at++
		}
		return line, at + 1 - l.pos
	case at >= len(l.buf) && l.end && l.pos < len(l.buf):
		return l.buf[l.pos:], len(l.buf) - l.pos
	default:
		return nil, 0 // after a last CR an LF may follow
	}
}

// seek finds the next LF and CR, unless they are known from an earlier search.
func (l *Reader) seek() {
	if l.lf < l.pos {
		l.lf = l.index('\n', l.pos)
	}
	if l.cr < l.pos {
		l.cr = l.index('\r', l.pos)
	}
}

func (l *Reader) index(c byte, from int) int {
	if i := bytes.IndexByte(l.buf[from:], c); i >= 0 {
		return from + i
	}
	return len(l.buf)
}

// fill reads more into the buffer; at the end of the text it returns [io.EOF].
func (l *Reader) fill() error {
	if l.err != nil {
		return l.err
	}
	if l.end {
		return io.EOF
	}
	l.makeRoom()
	before := len(l.buf)
	n, err := io.ReadAtLeast(l.r, l.buf[before:cap(l.buf)], 1)
	l.buf = l.buf[:before+n]
	if l.lf == before {
		l.lf = l.index('\n', before)
	}
	if l.cr == before {
		l.cr = l.index('\r', before)
	}
	switch {
	case errors.Is(err, io.EOF):
		l.end = true
	case err != nil:
		l.err = err
	}
	return nil
}

// makeRoom moves what is left to the beginning, and grows the buffer when it is full of one line.
func (l *Reader) makeRoom() {
	if l.pos > 0 {
		n := copy(l.buf, l.buf[l.pos:])
		l.lf, l.cr = l.lf-l.pos, l.cr-l.pos
		l.buf, l.pos = l.buf[:n], 0
	}
	if cap(l.buf)-len(l.buf) < chunk/2 {
		l.buf = append(make([]byte, 0, 2*cap(l.buf)), l.buf...)
	}
}

// passOver skips a line that is too long, one buffer at a time.
func (l *Reader) passOver() error {
	size := 0
	for {
		l.seek()
		if at := min(l.lf, l.cr); at < len(l.buf) {
			break
		}
		size += len(l.buf) - l.pos
		l.pos = len(l.buf)
		if err := l.fill(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	l.To += int64(size)
	for {
		_, rest := l.cut()
		if rest > 0 || l.end {
			l.take(rest)
			return &TooLong{l.Line, l.From, l.To, l.max}
		}
		if err := l.fill(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
}
