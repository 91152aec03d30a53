package fixed

import (
	"errors"
	"io"

	"waybill/partner/format/lines"
	"waybill/partner/format/record"
)

// textLines are records that are lines.
type textLines struct {
	*lines.Reader
	again lines.Count // a separate count of the lines
	seen  int
}

func (t *textLines) next() (piece, error) {
	text, err := t.Next()
	if errors.Is(err, io.EOF) && t.seen != t.again.N {
		return piece{}, record.Malformedf("%d lines were read, and the file has %d", t.seen, t.again.N)
	}
	if err == nil && !lines.IsBlank(text) {
		t.seen++
	} else if _, long := errors.AsType[*lines.TooLong](err); long {
		t.seen++
	}
	return piece{t.Line, t.From, t.To, t.Open, text}, err
}

// blocks are records that follow each other directly.
type blocks struct {
	r      io.Reader
	size   int
	pad    bool // the last may be short
	number int
	at     int64
	buf    []byte
}

// next returns the next block. If the last one is short and not blank, either it is cut off, or bytes were lost or
// added before it. Then the blocks after that place are not records.
func (b *blocks) next() (piece, error) {
	if b.buf == nil {
		b.buf = make([]byte, b.size)
	}
	n, err := io.ReadFull(b.r, b.buf)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
		if !b.pad && !lines.IsBlank(b.buf[:n]) {
			err = record.Malformedf("%d bytes are left over behind %d records of %d bytes", n, b.number, b.size)
		}
	}
	if err != nil {
		return piece{}, err
	}
	b.number++
	p := piece{number: b.number, from: b.at, to: b.at + int64(n), text: b.buf[:n]}
	b.at += int64(n)
	return p, nil
}
