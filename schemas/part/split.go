package part

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"waybill/schemas"
)

// TupleSplitter is an [io.Writer] for the output of COPY … TO STDOUT (FORMAT binary), in chunks of
// any size. It calls a function with each tuple.
type TupleSplitter struct {
	f       func(tuple []byte) error
	rest    []byte // the beginning of a tuple whose end is yet to come
	started bool
	ended   bool
	err     error
}

// NewTupleSplitter returns a splitter that hands each tuple to f, which may keep it only for
// the duration of the call. An error of f ends the copy and is returned as it is.
func NewTupleSplitter(f func(tuple []byte) error) *TupleSplitter {
	return &TupleSplitter{f: f}
}

// Write implements [io.Writer].
func (s *TupleSplitter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	data := p
	if len(s.rest) > 0 {
		s.rest = append(s.rest, p...)
		data = s.rest
	}
	used, err := s.split(data)
	if err != nil {
		s.err = err
		return 0, err
	}
	if len(s.rest) > 0 {
		s.rest = s.rest[:copy(s.rest, data[used:])]
	} else {
		s.rest = append(s.rest, data[used:]...)
	}
	return len(p), nil
}

// Close returns an error unless the stream has ended with its trailer.
func (s *TupleSplitter) Close() error {
	if s.err != nil {
		return s.err
	}
	if !s.ended {
		return errors.New("copy stream ended without its trailer")
	}
	return nil
}

// split passes on every whole tuple in data and returns how many bytes it has used.
func (s *TupleSplitter) split(data []byte) (used int, err error) {
	if !s.started {
		if len(data) < len(copyHeader) {
			return 0, nil
		}
		if !bytes.HasPrefix(data, []byte(copyHeader)) {
			return 0, errors.New("not a binary copy stream without OIDs and extensions")
		}
		s.started, used = true, len(copyHeader)
	}
	for used < len(data) {
		if s.ended {
			return used, errors.New("copy stream continues after its trailer")
		}
		n, err := tupleLength(data[used:])
		if err != nil {
			return used, err
		}
		switch {
		case n == 0:
			return used, nil
		case n == len(copyTrailer):
			s.ended = true
		default:
			if err := s.f(data[used : used+n : used+n]); err != nil {
				return used, err
			}
		}
		used += n
	}
	return used, nil
}

// tupleLength returns the length of the tuple or trailer at the start of data; 0 if it is
// incomplete. A tuple without fields doesn't occur, so a length of 2 is the trailer.
func tupleLength(data []byte) (int, error) {
	if len(data) < 2 {
		return 0, nil
	}
	fields := int16(binary.BigEndian.Uint16(data))
	if fields == -1 {
		return len(copyTrailer), nil
	}
	if fields <= 0 {
		return 0, fmt.Errorf("copy stream has a tuple of %d fields", fields)
	}
	n := 2
	for range fields {
		if len(data) < n+4 {
			return 0, nil
		}
		if length := int32(binary.BigEndian.Uint32(data[n:])); length > 0 {
			n += int(length)
		}
		if n += 4; n > maxTuple {
			return 0, fmt.Errorf("copy stream has a tuple of more than %d bytes", maxTuple)
		}
	}
	if n > len(data) {
		return 0, nil
	}
	return n, nil
}

// Narrower makes tuples of slim parts.
type Narrower struct {
	slim []bool // by column
	out  []byte
}

// NewNarrower returns a narrower of tuples that have the contract's columns.
func NewNarrower(c *schemas.Contract) *Narrower {
	n := &Narrower{}
	for _, col := range c.Columns {
		n.slim = append(n.slim, col.Slim)
	}
	return n
}

// Narrow returns the tuple with the columns of the slim contract only, valid until the next call. One that is malformed is returned
// as it is: a [Writer] refuses it.
func (n *Narrower) Narrow(tuple []byte) []byte {
	fields, count := tuple[min(2, len(tuple)):], uint16(0)
	n.out = append(n.out[:0], 0, 0)
	for _, slim := range n.slim {
		end := 4
		if len(fields) >= end {
			end += max(0, int(int32(binary.BigEndian.Uint32(fields)))) // NULL has the length -1 and no bytes
		}
		if len(fields) < end {
			return tuple
		}
		if slim {
			n.out = append(n.out, fields[:end]...)
			count++
		}
		fields = fields[end:]
	}
	binary.BigEndian.PutUint16(n.out, count)
	return n.out
}
