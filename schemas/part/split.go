package part

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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
