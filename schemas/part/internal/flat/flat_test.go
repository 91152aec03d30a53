package flat

import (
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	pqrle "github.com/parquet-go/parquet-go/encoding/rle"
	"pgregory.net/rapid"
)

// Runs are compared with those of a general library's encoder.
func TestHybridReadsWhatOthersWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 31).Draw(t, "width")
		value := rapid.Int32Range(0, int32(1<<width-1))
		var values []int32
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			v := value.Draw(t, "value")
			for range rapid.IntRange(1, 40).Draw(t, "times") {
				values = append(values, v)
			}
			values = append(values, rapid.SliceOfN(value, 0, 20).Draw(t, "single")...)
		}
		encoded, err := (&pqrle.Encoding{BitWidth: width}).EncodeInt32(nil, values)
		if err != nil {
			t.Fatal(err)
		}
		h := newHybrid(encoded, uint(width))
		for i, want := range values {
			got, ok := h.next()
			if !ok || got != uint32(want) {
				t.Fatalf("value %d of %d: %d, %v; want %d", i, len(values), got, ok, want)
			}
		}
	})
}

func TestHybridEndsWithItsBytes(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":              {},
		"run of nothing":       {0x00},
		"run without a value":  {0x08},
		"endless header":       bytes.Repeat([]byte{0xff}, 11),
		"packed of 2^60":       {0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10},
		"packed of 2^62":       {0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01},
		"packed without bytes": {0x03},
	} {
		h := newHybrid(b, 3)
		if v, ok := h.next(); ok {
			t.Errorf("%s: gave %d", name, v)
		}
	}
	// A dictionary of one entry has indexes of no bits at all.
	h := newHybrid([]byte{0x03}, 0)
	for i := range 9 {
		if v, ok := h.next(); v != 0 || ok != (i < 8) {
			t.Errorf("value %d of no bits: %d, %v", i, v, ok)
		}
	}
}

// A page may decompress to more than its header says; the header is believed, not the page.
func TestDecompressionIsBounded(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := w.EncodeAll(make([]byte, 1<<30), nil)
	for name, src := range map[string][]byte{
		"a gigabyte":        bomb,
		"many small frames": bytes.Repeat(w.EncodeAll(make([]byte, 1<<20), nil), 1000),
		"shorter":           w.EncodeAll(make([]byte, 99), nil),
		"no zstd":           []byte("not compressed at all"),
	} {
		s, err := NewScanner()
		if err != nil {
			t.Fatal(err)
		}
		c := NewCursor(s)
		c.codec = zstandard
		if out, err := c.decompress(nil, src, 100, false); err == nil || cap(out) > 2*maxPage {
			t.Errorf("%s: %d bytes, %v", name, cap(out), err)
		}
		s.Close()
	}
}

func TestBuffersHaveOneBudget(t *testing.T) {
	s, err := NewScanner()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := 0; ; i++ {
		_, err := s.grow(nil, maxPage)
		if err == nil {
			continue
		}
		if i != maxMemory/maxPage || !strings.Contains(err.Error(), "at once") {
			t.Errorf("after %d pages: %v", i, err)
		}
		return
	}
}
