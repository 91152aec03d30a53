package part

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"waybill/schemas"
)

// A list of objects has the members that the contract names, each once, and text that PostgreSQL can store. All else is malformed.
func TestListsOfObjects(t *testing.T) {
	t.Parallel()
	col := &schemas.Column{Type: schemas.JSON, Members: []string{"system", "value"}, MaxLength: 2}
	one := func(value string) string { return `[{"system":"s","value":"` + value + `"}]` }
	for _, c := range []struct{ text, reason string }{
		{`[]`, ""},
		{" [\t\n\r] ", ""},
		{one("v"), ""},
		{one(""), ""},
		{`[ { "value" : "v" , "system" : "s" , "more" : "m" } ]`, ""},
		{`[{"system":"s","value":"v","more":"1","more":"2"}]`, ""},
		{`[{"system":"s","value":"v"},{"system":"s","value":"v"}]`, ""},
		{`[{"system":"s","value":"v"},{"system":"s","value":"v"},{"system":"s","value":"v"}]`, isTooLong},
		{one(`\"\\\/\b\f\n\r\t`), ""},
		{one(`\u00e4\u00E4\u00fF`), ""},
		{one(`\ud83d\ude00`), ""},
		{one(`\uD83D\uDE00`), ""},
		{one(`\u0001`), ""},
		{one("ä"), ""},
		{one("\x7f"), ""},
		{one(`\`), hasBadForm},
		{one(`\x`), hasBadForm},
		{one(`\u`), hasBadForm},
		{one(`\u12`), hasBadForm},
		{one(`\u12g4`), hasBadForm},
		{one(`\u12G4`), hasBadForm},
		{one(`\u0000`), hasBadForm},
		{one(`\ud83d`), hasBadForm},
		{one(`\ude00`), hasBadForm},
		{one(`\ud83d\u0041`), hasBadForm},
		{one(`\ud83dxude00`), hasBadForm},
		{one(`\ude00\ud83d`), hasBadForm},
		{one(`\u12/4`), hasBadForm},
		{one(`\u12:4`), hasBadForm},
		{one("\x1f"), hasBadForm},
		{one("\n"), hasBadForm},
		{one("\x00"), hasNUL},
		{one("\xff"), isNotUTF8},
		{`[{"system":"s"}]`, hasBadForm},
		{`[{"value":"v"}]`, hasBadForm},
		{`[{}]`, hasBadForm},
		{`[{"system":"s","value":"v","value":"w"}]`, hasBadForm},
		{`[{"system":"s","\u0076alue":"v","value":"w"}]`, hasBadForm},
		{`[{"system":"s","value":1}]`, hasBadForm},
		{`[{"system":"s","value":null}]`, hasBadForm},
		{`[{"system":"s","value":"v",}]`, hasBadForm},
		{`[{"system":"s" "value":"v"}]`, hasBadForm},
		{`[{"system" "s","value":"v"}]`, hasBadForm},
		{`[{system:"s","value":"v"}]`, hasBadForm},
		{`[{"system":"s","value":"v"}`, hasBadForm},
		{`[{"system":"s","value":"v"`, hasBadForm},
		{`[{"system":"s","value":"v`, hasBadForm},
		{`[{"system":"s","value":"v"},]`, hasBadForm},
		{`[,]`, hasBadForm},
		{`[`, hasBadForm},
		{``, hasBadForm},
		{`{}`, hasBadForm},
		{`[] x`, hasBadForm},
		{`["x"]`, hasBadForm},
		{one("v") + "]", hasBadForm},
		{`[{"system":"s","value":"v"}{"system":"s","value":"v"}]`, hasBadForm},
		{"null", hasBadForm},
		{one(strings.Repeat("v", schemas.MaxValueBytes)), isTooLong},
	} {
		if got := checkObjects(col, []byte(c.text)); got != c.reason {
			t.Errorf("%.60q: %q, want %q", c.text, got, c.reason)
		}
	}
}

// A field of a tuple is as long as its type, and a number at its ends stays there.
func TestFieldsOfATuple(t *testing.T) {
	t.Parallel()
	be := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	for _, c := range []struct {
		t     schemas.Type
		field []byte
		ok    bool
		n     int64
	}{
		{schemas.Text, nil, true, 0},
		{schemas.Text, []byte("abc"), true, 0},
		{schemas.UUID, make([]byte, 16), true, 0},
		{schemas.UUID, make([]byte, 15), false, 0},
		{schemas.UUID, make([]byte, 17), false, 0},
		{schemas.Bool, []byte{0}, true, 0},
		{schemas.Bool, []byte{1}, true, 1},
		{schemas.Bool, []byte{2}, false, 0},
		{schemas.Bool, nil, false, 0},
		{schemas.Bool, []byte{1, 0}, false, 0},
		{schemas.Int32, []byte{0xff, 0xff, 0xff, 0xfe}, true, -2},
		{schemas.Int32, []byte{0x7f, 0xff, 0xff, 0xff}, true, math.MaxInt32},
		{schemas.Int32, make([]byte, 3), false, 0},
		{schemas.Int32, make([]byte, 5), false, 0},
		{schemas.Int64, be(-2), true, -2},
		{schemas.Int64, be(math.MinInt64), true, math.MinInt64},
		{schemas.Int64, make([]byte, 7), false, 0},
		{schemas.Int64, make([]byte, 9), false, 0},
		{schemas.Int64, nil, false, 0},
		{schemas.Timestamp, be(0), true, pgEpoch},
		{schemas.Timestamp, be(-pgEpoch), true, 0},
		{schemas.Timestamp, be(math.MinInt64), true, math.MinInt64},
		{schemas.Timestamp, be(math.MaxInt64), true, math.MaxInt64},
		{schemas.Timestamp, be(math.MaxInt64 - pgEpoch), true, math.MaxInt64},
		{schemas.Timestamp, be(math.MaxInt64 - pgEpoch + 1), true, math.MaxInt64 - pgEpoch + 1},
		{schemas.Timestamp, be(math.MinInt64 + 1), true, math.MinInt64 + 1 + pgEpoch},
		{schemas.Timestamp, make([]byte, 4), false, 0},
		{schemas.JSON, []byte{1, '[', ']'}, true, 0},
		{schemas.JSON, []byte{2, '[', ']'}, false, 0},
		{schemas.JSON, nil, false, 0},
	} {
		var d datum
		if ok := d.decode(c.t, c.field); ok != c.ok || ok && d.n != c.n {
			t.Errorf("%s of % x: %v, %d; want %v, %d", c.t, c.field, ok, d.n, c.ok, c.n)
		}
	}
	a := datum{b: []byte("a"), n: 1}
	for _, other := range []datum{{b: []byte("b"), n: 1}, {b: []byte("a"), n: 2}, {b: []byte("a"), n: 1, null: true}, {b: []byte("ab"), n: 1}} {
		if a.same(&other) || !a.same(&datum{b: []byte("a"), n: 1}) {
			t.Errorf("%+v is the same as %+v", other, a)
		}
	}
}

// The length of a tuple is known once each field's length is there. A field of NULL has no bytes.
func TestTheLengthOfATuple(t *testing.T) {
	t.Parallel()
	whole := []byte{0, 2, 0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff}
	for n := range len(whole) {
		if got, err := tupleLength(whole[:n]); got != 0 || err != nil {
			t.Errorf("of %d bytes: %d, %v", n, got, err)
		}
	}
	long := func(n int) []byte { return binary.BigEndian.AppendUint32([]byte{0, 1}, uint32(n)) }
	for name, c := range map[string]struct {
		data []byte
		want int
		ok   bool
	}{
		"whole":                 {whole, len(whole), true},
		"whole, and more":       {append(whole[:len(whole):len(whole)], 1, 2, 3), len(whole), true},
		"the trailer":           {[]byte{0xff, 0xff}, 2, true},
		"the trailer, and more": {[]byte{0xff, 0xff, 0xff}, 2, true},
		"no fields":             {[]byte{0, 0}, 0, false},
		"less than none":        {[]byte{0xff, 0xfe}, 0, false},
		"as long as may be":     {long(maxTuple - 6), 0, true},
		"longer":                {long(maxTuple - 5), 0, false},
	} {
		if got, err := tupleLength(c.data); got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
	}
}

// A slim tuple has the slim columns in their order; a malformed one stays as it is.
func TestATupleIsNarrowed(t *testing.T) {
	t.Parallel()
	n := &Narrower{slim: []bool{false, true, true, false}}
	tuple := []byte{0, 4, 0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 'd'}
	want := string([]byte{0, 2, 0, 0, 0, 2, 'b', 'c', 0xff, 0xff, 0xff, 0xff})
	for range 2 { // the memory is used again
		if got := string(n.Narrow(tuple)); got != want {
			t.Errorf("% x, want % x", got, want)
		}
	}
	for size := range tuple {
		if got := n.Narrow(tuple[:size]); string(got) != string(tuple[:size]) {
			t.Errorf("of %d bytes: % x", size, got)
		}
	}
}

// A bad row is named with its part, if it has one.
func TestABadRowIsNamed(t *testing.T) {
	t.Parallel()
	bad := BadRow{Row: 3, Column: "sex", Reason: isMissing}
	if got := bad.Error(); got != `row 3: column "sex": is missing` {
		t.Error(got)
	}
	if bad.Part = "parts/x"; bad.Error() != `parts/x: row 3: column "sex": is missing` {
		t.Error(bad.Error())
	}
	if patientID(&datum{b: make([]byte, 15)}) != "" || patientID(&datum{b: []byte("0123456789abcdef")}) != "30313233-3435-3637-3839-616263646566" {
		t.Error("a patient's id in the usual notation")
	}
}
