package lines

import "bytes"

// IsBlank reports whether a line holds nothing: blanks, NULs, a byte order mark, or the end of a file in DOS.
func IsBlank(line []byte) bool {
	return len(line) == 0 || (line[0] <= ' ' || line[0] >= 0x80) && len(bytes.Trim(line, " \t\v\f\x00\x1a\r\n\ufeff")) == 0
}

// Count counts the lines that are not blank in what is written to it. It checks the result of a [Reader], so it
// shares no code that cuts lines with it.
type Count struct {
	N    int
	half bool // the last line so far was counted and has no end yet
}

// Write counts the lines in the next bytes of a file.
func (c *Count) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		for ended || len(line) > 0 {
			part, more, again := bytes.Cut(line, []byte{'\r'})
			if !c.half && !IsBlank(part) {
				c.N++
				c.half = true
			}
			if again || ended {
				c.half = false
			}
			if line = more; !again {
				break
			}
		}
		rest = after
	}
	return len(p), nil
}
