package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"waybill/exchange"
)

func TestExactlyYieldsABodyOfTheRightSize(t *testing.T) {
	for _, text := range []string{"", "a", "ab", strings.Repeat("x", 100_000)} {
		for name, body := range map[string]io.Reader{
			"plain":            strings.NewReader(text),
			"byte by byte":     iotest.OneByteReader(strings.NewReader(text)),
			"data with an end": iotest.DataErrReader(strings.NewReader(text)),
		} {
			got, err := io.ReadAll(exchange.Exactly(t.Context(), body, int64(len(text))))
			if err != nil || string(got) != text {
				t.Errorf("%s of %d bytes: %d bytes, %v", name, len(text), len(got), err)
			}
		}
	}
}

func TestExactlyWithholdsTheEndOfAnyOther(t *testing.T) {
	const size = 100
	broken := errors.New("broken")
	data := bytes.Repeat([]byte("x"), size)
	for name, body := range map[string]io.Reader{
		"empty":                    strings.NewReader(""),
		"short by one":             bytes.NewReader(data[1:]),
		"long by one":              io.MultiReader(bytes.NewReader(data), strings.NewReader("y")),
		"broken at its end":        io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)),
		"broken with its last":     &lastWith{data, broken},
		"broken before its end":    io.MultiReader(bytes.NewReader(data[1:]), iotest.ErrReader(broken)),
		"long by one, in pieces":   iotest.OneByteReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("y"))),
		"broken at its end, split": iotest.HalfReader(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken))),
	} {
		got, err := io.ReadAll(exchange.Exactly(t.Context(), body, size))
		if err == nil || len(got) >= size {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := io.ReadAll(exchange.Exactly(t.Context(), strings.NewReader("y"), 0)); err == nil {
		t.Error("one byte where none is due is no error")
	}
}

// lastWith returns everything together with an error that is not the end.
type lastWith struct {
	data []byte
	err  error
}

func (r *lastWith) Read(p []byte) (int, error) {
	n := copy(p, r.data)
	r.data = r.data[n:]
	if len(r.data) == 0 {
		return n, r.err
	}
	return n, nil
}

func TestExactlyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := exchange.Exactly(ctx, strings.NewReader("abc"), 3)
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// A wrong body never leaves as many bytes as were announced: its last read fails, whether or not its end comes with the last byte.
func TestExactlyReadsNothingAfterItsEnd(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 3} {
		r := exchange.Exactly(t.Context(), strings.NewReader("abc"[:size]), size)
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Errorf("an empty read at the start: %d, %v", n, err)
		}
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != size {
			t.Errorf("%q, %v", data, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %d, %v", n, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := exchange.Exactly(done, strings.NewReader("abc"), 3).Read(make([]byte, 3)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("of a call that has ended: %d, %v", n, err)
	}
	if _, err := io.ReadAll(exchange.Exactly(t.Context(), strings.NewReader("abcde"), 3)); err == nil || !strings.Contains(err.Error(), "at least 4 bytes, not 3") {
		t.Errorf("too long: %v", err)
	}
	if _, err := io.ReadAll(exchange.Exactly(t.Context(), strings.NewReader("abcde"), 7)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d bytes, not %d", 5, 7)) {
		t.Errorf("too short: %v", err)
	}
}
