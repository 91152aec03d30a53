package lines

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// all returns what a reader makes of a text: its lines, with their numbers and places.
func all(t testing.TB, l *Reader, text string) (seen []string) {
	t.Helper()
	to := int64(0)
	for n := 1; ; n++ {
		line, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		what := fmt.Sprintf("%q", line)
		if _, long := errors.AsType[*TooLong](err); long {
			what = "too long"
		} else if err != nil {
			t.Fatal(err)
		} else if whole := strings.TrimRight(text[l.From:l.To], "\r\n"); whole != string(line) && whole != "\ufeff"+string(line) {
			t.Errorf("line %d: %q at %q", n, line, whole)
		}
		if l.Line != n || l.From != to || l.To <= l.From {
			t.Errorf("line %d: number %d, bytes %d to %d after %d", n, l.Line, l.From, l.To, to)
		}
		to = l.To
		seen = append(seen, what)
	}
	if to != int64(len(text)) {
		t.Errorf("%d of %d bytes were read", to, len(text))
	}
	return seen
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 5)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":           {"", nil},
		"no last end":       {"a\nb", []string{`"a"`, `"b"`}},
		"LF":                {"a\n\nb\n", []string{`"a"`, `""`, `"b"`}},
		"CR":                {"a\r\rb\r", []string{`"a"`, `""`, `"b"`}},
		"CR LF":             {"a\r\n\r\nb\r\n", []string{`"a"`, `""`, `"b"`}},
		"all three":         {"a\rb\nc\r\nd\n\re", []string{`"a"`, `"b"`, `"c"`, `"d"`, `""`, `"e"`}},
		"a byte order mark": {"\ufeffa\n\ufeffb", []string{`"a"`, `"b"`}},
		"as long as may be": {"xxxx\nb", []string{`"xxxx"`, `"b"`}},
		"too long":          {"a\n" + long + "\nb", []string{`"a"`, "too long", `"b"`}},
		"too long, CR LF":   {"a\r\n" + strings.Repeat(long, 50_000) + "\r\nb\r\n", []string{`"a"`, "too long", `"b"`}},
		"too long at last":  {"a\r" + strings.Repeat(long, 50_000), []string{`"a"`, "too long"}},
	} {
		t.Run(name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{"at once": strings.NewReader(c.text), "by bytes": iotest.OneByteReader(strings.NewReader(c.text))} {
				if diff := cmp.Diff(c.want, all(t, New(r, 4), c.text)); diff != "" {
					t.Errorf("%s: -want +got:\n%s", how, diff)
				}
			}
		})
	}
}

func TestAFailingReaderIsNotAnEnd(t *testing.T) {
	lost := errors.New("lost")
	l := New(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(lost)), 100)
	if line, err := l.Next(); string(line) != "a" || err != nil {
		t.Fatal(string(line), err)
	}
	for range 2 {
		if line, err := l.Next(); line != nil || !errors.Is(err, lost) {
			t.Fatal(string(line), err)
		}
	}
}

// The lines are the same for all sizes of reads, and equal to those of a simple split.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"a\nb", "a\r\nb\r\n", "\r", "\r\r\n\n", "\ufeff\n", strings.Repeat("x", 20) + "\ny"} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, limit uint8) {
		most := int(limit) + 3
		var want []string
		full := 0
		plain := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
		if plain != "" {
			for line := range strings.SplitSeq(strings.TrimSuffix(plain, "\n"), "\n") {
				what := fmt.Sprintf("%q", strings.TrimPrefix(line, "\ufeff"))
				if !IsBlank([]byte(line)) {
					full++
				}
				if len(line) > most {
					what = "too long"
				}
				want = append(want, what)
			}
		}
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			var count Count
			if diff := cmp.Diff(want, all(t, New(io.TeeReader(r, &count), most), text)); diff != "" {
				t.Fatal(diff)
			}
			if cut := strings.Contains(text, "\ufeff"); count.N != full && !cut {
				t.Fatalf("%d lines are counted, and %d are not blank", count.N, full)
			}
		}
	})
}

func BenchmarkLines(b *testing.B) {
	for name, end := range map[string]string{"LF": "\n", "CR": "\r", "CRLF": "\r\n"} {
		text := strings.Repeat(strings.Repeat("x", 100)+end, 100_000)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				l := New(strings.NewReader(text), 1<<20)
				for {
					if _, err := l.Next(); err != nil {
						break
					}
				}
			}
		})
	}
}
