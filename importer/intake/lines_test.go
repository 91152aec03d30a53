package intake

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// However the bytes come, the lines and their numbers are the same.
func TestLineEnds(t *testing.T) {
	for text, want := range map[string][]string{
		"a\nb\n":         {"a", "b"},
		"a\r\nb":         {"a", "b"},
		"a\rb\r":         {"a", "b"},
		"a\r\r\n\nb\n\r": {"a", "", "", "b", ""},
		"\ufeffa\ufeff":  {"a\ufeff"},
	} {
		for name, r := range map[string]io.Reader{
			"at once":      strings.NewReader(text),
			"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		} {
			in := newLines(r)
			var got []string
			for {
				line, err := in.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(line))
			}
			t.Run(name, func(t *testing.T) { expect(t, got, want) })
			expect(t, in.number, len(want))
		}
	}
}
