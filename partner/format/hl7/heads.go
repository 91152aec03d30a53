package hl7

import (
	"bufio"
	"bytes"
)

// heads counts the heads of messages, batches and files (MSH, BHS, FHS) in the bytes of a file, by the separators
// that each of them declares. It ignores lines, so it also counts a head that hides inside a line.
type heads struct {
	mark  []byte // MSH-1 and MSH-2 of the first head
	count int
	seam  []byte // the last bytes so far, in which a mark may begin
}

// usual is what nearly all files declare.
const usual = `|^~\&`

// newHeads takes the mark from the first line of a file. Two separators alone are no mark: they occur everywhere.
func newHeads(in *bufio.Reader) *heads {
	h := &heads{mark: []byte(usual)}
	first, _ := in.Peek(256) // an error comes again when the file is read
	first = trim(first)
	if end := bytes.IndexAny(first, "\r\n"); end >= 0 {
		first = first[:end]
	}
	if !isHead(first) && !isHeader(first) {
		return h
	}
	defined, _, _ := bytes.Cut(first[4:], first[3:4])
	if _, err := ParseSeparators(string(first[3 : 4+len(defined)])); err == nil && len(defined) >= 3 {
		h.mark = bytes.Clone(first[3 : 4+len(defined)])
	}
	return h
}

// Write counts the marks in the next bytes of the file.
func (h *heads) Write(p []byte) (int, error) {
	short := min(len(p), len(h.mark)-1)
	h.seam = append(h.seam, p[:short]...)
	h.count += count(h.seam, h.mark) + count(p, h.mark)
	last := p
	if short == len(p) {
		last = h.seam
	}
	h.seam = append(h.seam[:0], last[max(0, len(last)-len(h.mark)+1):]...)
	return len(p), nil
}

// count counts a mark of three separators or more in a text. It looks for the third, which divides repetitions and is rare.
func count(text, mark []byte) (n int) {
	for at := 2; at < len(text); at++ {
		next := bytes.IndexByte(text[at:], mark[2])
		if next < 0 {
			break
		}
		if at += next; bytes.HasPrefix(text[at-2:], mark) {
			n++
		}
	}
	return n
}

// declares reports whether Write counts a head that was read.
func (h *heads) declares(line []byte) bool { return bytes.HasPrefix(line[3:], h.mark) }
