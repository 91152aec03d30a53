package hl7

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waybill/partner/format/record"
)

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

const head = `MSH|^~\&|A|B|C|D|2024||ADT^A08|`

// read returns the messages of a text as MSH-10 and segments, the reasons of those refused, and the warnings.
func read(t testing.TB, text string, o Options) (seen, warnings []string, fatal error) {
	t.Helper()
	r := NewReader(strings.NewReader(text), o)
	to := int64(0)
	for {
		m, err := r.Next()
		if refused, ok := errors.AsType[*record.Refused](err); ok {
			seen = append(seen, refused.Error())
			if refused.From < to || refused.To < refused.From || refused.To > int64(len(text)) {
				t.Errorf("refused bytes %d to %d, after %d", refused.From, refused.To, to)
			}
			to = refused.To
			continue
		}
		if errors.Is(err, io.EOF) {
			return seen, r.Warnings(), nil
		}
		if err != nil {
			return seen, r.Warnings(), err
		}
		if m.From < to || m.To <= m.From || m.To > int64(len(text)) {
			t.Errorf("bytes %d to %d, after %d", m.From, m.To, to)
		}
		to = m.To
		seen = append(seen, summary(m))
	}
}

func summary(m *Message) string {
	names := []string{string(m.Segment(0).Field(10).Bytes())}
	for i := 1; i < m.Len(); i++ {
		names = append(names, m.Segment(i).Name())
	}
	return strings.Join(names, " ")
}

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text           string
		want, warnings []string
	}{
		"nothing":           {"", nil, nil},
		"one":               {head + "1\rPID|1\rZZZ|mine\r", []string{"1 PID ZZZ"}, nil},
		"no last end":       {head + "1\rPID|1\rPV1|1", []string{"1 PID PV1"}, nil},
		"cut off":           {head + "1\rPID|1", []string{"line 1: PID is the end of the file and has no line end: the message may be cut off"}, nil},
		"cut off before":    {head + "1", []string{"line 1: MSH is the end of the file and has no line end: the message may be cut off"}, nil},
		"cut off in EVN":    {head + "1\rEVN|A01", []string{"line 1: EVN is the end of the file and has no line end: the message may be cut off"}, nil},
		"cut off in MRG":    {head + "1\rPID|1\rMRG|2", []string{"line 1: MRG is the end of the file and has no line end: the message may be cut off"}, nil},
		"a head of nothing": {"MSH\rPID|1\r" + head + "2\r", []string{"line 1: segments without an MSH before them", "2"}, nil},
		"ended by MLLP":     {"\x0b" + head + "1\rPID|1\x1c", []string{"1 PID"}, nil},
		"LF":                {head + "1\nPID|1\n" + head + "2\nPID|2\n", []string{"1 PID", "2 PID"}, nil},
		"CR LF":             {head + "1\r\nPID|1\r\n" + head + "2\r\n", []string{"1 PID", "2"}, nil},
		"blank lines":       {"\r\n\r\n" + head + "1\r\r \nPID|1\r\n\r\n\r\n" + head + "2\r", []string{"1 PID", "2"}, nil},
		"byte order mark":   {"\ufeff" + head + "1\rPID|1\r\ufeff" + head + "2\rPID|1\r", []string{"1 PID", "2 PID"}, nil},
		"blanks and tabs":   {"  " + head + "1\r\tPID|1\r \t" + head + "2\r", []string{"1 PID", "2"}, nil},
		"NULs":              {"\x00" + head + "1\rPID|1\r\x00\x00" + head + "2\r\x00\x00", []string{"1 PID", "2"}, nil},
		"all before it":     {head + "1\r\x1c\r\x00 \ufeff\x0b\t" + head + "2\r", []string{"1", "2"}, nil},
		"lower case":        {head + "1\rPID|1\r" + strings.Replace(head, "MSH", "msh", 1) + "2\rpid|1\rPV1|\r", []string{"1 PID", "2 PID PV1"}, nil},
		"lower batch":       {"bhs|^~\\&\r" + head + "1\r bts|1\r", []string{"1"}, nil},
		"MLLP":              {"\x0b" + head + "1\rPID|1\r\x1c\r\x0b" + head + "2\rPID|2\x1c\r", []string{"1 PID", "2 PID"}, nil},
		"end of DOS":        {head + "1\r\nPID|1\r\n\x1a", []string{"1 PID"}, nil},
		"a line break":      {head + "1\rPID|one\ntwo|3\rPV1|1\r" + head + "2\r", []string{"line 1: a line that is no segment", "2"}, nil},
		"a part of a head":  {head + "1\rPID|1\rOBX|1MSH|^~\\", []string{"line 1: a part of another message's head"}, nil},
		"a damaged head":    {head + "1\rPID|1\rMS|^^\rEVN|A08\rPID|2\r", []string{"line 1: a line that is no segment"}, nil},
		"other separators": {
			"MSH*:+!%*A*B*C*D*2024**ADT:A08*1\rPID*1\r", []string{"1 PID"}, nil,
		},
		"no message":             {"hello\nworld\n" + head + "1\r", []string{"line 1: segments without an MSH before them", "1"}, nil},
		"a segment alone":        {"PID|1\r", []string{"line 1: segments without an MSH before them"}, nil},
		"no separators":          {"MSH||A|\r" + head + "1\r", []string{"line 1: MSH-2 does not define the separators", "1"}, nil},
		"twice the same":         {`MSH|^^\&|A` + "\r", []string{"line 1: MSH-1 and MSH-2 must be different punctuation marks"}, nil},
		"few separators":         {`MSH|^|A|B|C|D|2024||ADT^A08|1` + "\r", []string{"1"}, nil},
		"truncation is a sixth":  {`MSH|^~\&#|A|B|C|D|2024||ADT^A08|1` + "\r", []string{"1"}, nil},
		"a batch":                {"BHS|^~\\&\r" + head + "1\r" + head + "2\rBTS|2\r", []string{"1", "2"}, nil},
		"a batch of nothing":     {"BHS|^~\\&\rBTS|0\r", nil, nil},
		"a file of batches":      {"FHS|^~\\&\rBHS|^~\\&\r" + head + "1\rBTS|1\rBHS|^~\\&\rBTS|0\rFTS|2\r", []string{"1"}, nil},
		"a file without a batch": {"FHS|^~\\&\r" + head + "1\rFTS|1\r", []string{"1"}, nil},
		"none counted":           {"FHS|^~\\&\r" + head + "1\rFTS|0\r", []string{"1"}, nil},
		"no counts":              {"FHS|^~\\&\rBHS|^~\\&\r" + head + "1\rBTS\rFTS\r", []string{"1"}, nil},
		"wrong counts": {
			"FHS|^~\\&\rBHS|^~\\&\r" + head + "1\rBTS|96\rFTS|0\r",
			[]string{"1"},
			[]string{"batch 1 declares 96 messages, and has 1", "the file declares 0 batches, and has 1"},
		},
		"refused ones count":    {"BHS|^~\\&\r" + head + "1\rMSH||\rBTS|2\r", []string{"1", "line 3: MSH-2 does not define the separators"}, nil},
		"no trailers":           {"FHS|^~\\&\rBHS|^~\\&\r" + head + "1\r", []string{"1"}, []string{"batch 1 has no trailer (BTS): the file may be cut off"}},
		"no file's trailer":     {"FHS|^~\\&\r" + head + "1\r", []string{"1"}, []string{"the file has no trailer (FTS): it may be cut off"}},
		"two files in one":      {"FHS|^~\\&\r" + head + "1\rFHS|^~\\&\r" + head + "2\rFTS|0\r", []string{"1", "2"}, []string{"a file header (FHS) in a file that has no trailer (FTS) yet"}},
		"no headers":            {head + "1\rBTS|1\rFTS|1\r", []string{"1"}, []string{"a batch trailer (BTS) without a header", "a file trailer (FTS) without a header"}},
		"no trailer in between": {"BHS|^~\\&\r" + head + "1\rBHS|^~\\&\rBTS|0\r", []string{"1"}, []string{"batch 1 has no trailer (BTS)"}},
		"a header in between": {
			head + "1\rFHS|^~\\&\rPID|1\rFTS|0\r" + head + "2\r",
			[]string{"1", "line 3: segments without an MSH before them", "2"},
			[]string{"a file header (FHS) that is not at the beginning", "messages behind the file's trailer (FTS)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen, warnings, err := read(t, c.text, Options{Totals: Warn})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, seen, c.want)
			expect(t, warnings, c.warnings)
			_, _, err = read(t, c.text, Options{Totals: Strict})
			if strict := fmt.Sprint(err); (err != nil) != (len(c.warnings) > 0) || err != nil && strict != c.warnings[0] {
				t.Errorf("strictly: %v, warnings %q", err, c.warnings)
			}
		})
	}
}

// A sign that a part is missing refuses the file. Other oddities do not.
func TestAPartOfABatchIsMissing(t *testing.T) {
	const begin = "FHS|^~\\&\rBHS|^~\\&\r" + head + "1\r"
	for text, want := range map[string]string{
		begin + "BTS|1\rFTS|1\r":                  "<nil>",
		begin + "BTS|0\rFTS|0\r":                  "<nil>",
		begin + "BTS|1\rFTS|1FHS|^~":              "a trailer (BTS or FTS) whose count can't be read",
		begin + "BTS|2\rFTS|1\r":                  "batch 1 declares 2 messages, and has 1",
		begin + "BTS|1\rFTS|2\r":                  "the file declares 2 batches, and has 1",
		begin + "BTS|1\r":                         "the file has no trailer (FTS): it may be cut off",
		begin:                                     "batch 1 has no trailer (BTS): the file may be cut off",
		begin + "FTS|1\r":                         "batch 1 has no trailer (BTS)",
		begin + "BHS|^~\\&\rBTS|0\rFTS|2\r":       "batch 1 has no trailer (BTS)",
		head + "1\rBTS|1\r" + head + "2\rBTS|1\r": "<nil>",
	} {
		_, _, err := read(t, text, Options{})
		expect(t, fmt.Sprint(err), want)
	}
}

// A head that does not begin a line hides a message in the one before. Nothing of such a file is taken.
func TestEveryHeadIsMet(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		held, at int
	}{
		"no end before it":      {head + "1\rPID|1" + head + "2\rPID|2\r", 2, 1},
		"text before it":        {head + "1\rPID|1\r\u200b" + head + "2\rPID|2\r", 2, 1},
		"another name":          {head + "1\rPID|1\rMXH" + head[3:] + "2\rPID|2\r", 2, 1},
		"a batch":               {head + "1\rPID|1BHS|^~\\&\r" + head + "2\rBTS|1\r", 3, 2},
		"at the first chunk's":  {head + "1\rPID|1\rZZZ|" + strings.Repeat("x", 1<<17) + "\rPV1|" + head + "2\r", 2, 1},
		"with other separators": {"MSH$%!?+$A$B$C$D$2024$$ADT%A08$1\rPID$1$MSH$%!?+$A$B$C$D$2024$$ADT%A08$2\r", 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for pad := range 40 { // wherever the chunks end
				_, _, err := read(t, strings.Replace(c.text, "\rPV1|", "\rPV1|"+strings.Repeat("y", pad), 1), Options{})
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("holds %d heads", c.held)) || !strings.Contains(err.Error(), fmt.Sprintf("%d of them", c.at)) {
					t.Fatalf("%v", err)
				}
			}
		})
	}
}

func TestAMessageIsNotReadForEver(t *testing.T) {
	long := strings.Repeat("OBX|0123456789\r", 100)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"many segments": {head + "1\r" + long + head + "2\r", []string{"line 1: a message longer than 200 bytes", "2"}},
		"one segment":   {head + "1\rOBX|" + strings.Repeat("x", 1000) + "\rPID|1\r" + head + "2\r", []string{"line 1: a message longer than 200 bytes", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			seen, _, err := read(t, c.text, Options{MaxMessage: 200})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, seen, c.want)
		})
	}
}

func message(t testing.TB, text string) *Message {
	t.Helper()
	m, err := NewReader(strings.NewReader(text), Options{}).Next()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFields(t *testing.T) {
	m := message(t, "MSH|^~\\&|A|B&1.2&ISO|||2024\rPID|1||7^3^M11^X&1.2.3&ISO^MR~8^^^Y^SS|\"\"|whole^\rZZZ\r")
	pid := m.Segment(1)
	expect(t, string(m.Segment(0).Field(1).Bytes()), "|")
	expect(t, string(m.Segment(0).Field(2).Bytes()), `^~\&`)
	expect(t, string(m.Segment(0).Field(3).Bytes()), "A")
	expect(t, string(m.Segment(0).Field(4).Part(1).Part(2).Bytes()), "1.2")
	var seen []string
	for rep := range pid.Field(3).Repetitions {
		seen = append(seen, string(rep.Part(1).Bytes())+" "+string(rep.Part(4).Part(1).Bytes())+" "+string(rep.Part(4).Part(3).Bytes())+" "+string(rep.Part(5).Bytes()))
	}
	expect(t, seen, []string{"7 X ISO MR", "8 Y  SS"})
	expect(t, string(pid.Field(3).First().Part(1).Bytes()), "7")
	expect(t, []bool{pid.Field(2).Empty(), pid.Field(2).Deleted(), pid.Field(4).Empty(), pid.Field(4).Deleted()}, []bool{true, false, false, true})
	expect(t, string(pid.Field(5).Part(1).Bytes()), "whole")
	expect(t, []bool{pid.Field(6).Empty(), m.Segment(2).Field(1).Empty(), pid.Field(1).Part(2).Empty()}, []bool{true, true, true})
	expect(t, slices.Collect(func(yield func(string) bool) {
		for rep := range pid.Field(30).Repetitions {
			yield(string(rep.Bytes()))
		}
	}), []string{""})
}

func TestEscapes(t *testing.T) {
	for text, want := range map[string]string{
		``:                          ``,
		`plain`:                     `plain`,
		`A\T\E \F\\S\\R\\E\`:        `A&E |^~\`,
		`two\.br\lines`:             "two\nlines",
		`\H\bold\N\`:                `bold`,
		`\X4D\\X756C6C\`:            `Mull`,
		`one\X000d\two\X00\`:        "one\rtwo",
		`\Xnohex\`:                  `\Xnohex\`,
		`\X123\`:                    `\X123\`,
		`\C2842\\M2442\\Zlocal\`:    `\C2842\\M2442\\Zlocal\`,
		`C:\temp`:                   `C:\temp`,
		`a lone \ and then \T\ yet`: `a lone \ and then & yet`,
		`\`:                         `\`,
		`\\`:                        `\\`,
	} {
		got := message(t, head+text+"\r").Segment(0).Field(10).Plain()
		expect(t, string(got), want)
	}
	expect(t, string(message(t, "MSH*:+!%*A!F!B!E!\r").Segment(0).Field(3).Plain()), "A*B!")
	expect(t, string(message(t, "MSH|^~|A\\F\\B\r").Segment(0).Field(3).Plain()), `A\F\B`) // without an escape character
}

func TestTheHashIsOfTheSegments(t *testing.T) {
	same := message(t, head+"1\rPID|1\r").Hash()
	expect(t, message(t, "\x0b"+head+"1\r\nPID|1\r\n\x1c").Hash(), same)
	if message(t, head+"1\rPID|2\r").Hash() == same {
		t.Error("another message has the same hash")
	}
}

// Reading ends for any bytes; every message lies after the previous one, has an MSH
// and separators, and its parts can be asked for.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		head + "1\rPID|1||7^^^X^MR~8|\r", "FHS|^~\\&\rBHS|^~\\&\r" + head + "1\rBTS|1\rFTS|1\r",
		"\x0b" + head + "\\X41\\\\T\\\r\x1c\r", "MSH*:+!%*A\rPID*1", "PID|\r\n\nMSH|", "MSH||\r" + head,
	} {
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, lax bool) {
		totals := ""
		if lax {
			totals = Warn
		}
		r := NewReader(strings.NewReader(text), Options{Totals: totals, MaxMessage: 64 + len(text)/2})
		for to := int64(0); ; {
			m, err := r.Next()
			if refused, ok := errors.AsType[*record.Refused](err); ok {
				if refused.From < to || refused.To < refused.From {
					t.Fatalf("refused %d to %d after %d", refused.From, refused.To, to)
				}
				to = refused.To
				continue
			}
			if err != nil {
				if _, malformed := errors.AsType[*record.Malformed](err); !malformed && !errors.Is(err, io.EOF) || malformed && lax && !strings.Contains(err.Error(), "begin a line") {
					t.Fatal(err)
				}
				return
			}
			if m.From < to || m.To <= m.From || m.To > int64(len(text)) || !m.Segment(0).Is("MSH") || m.Field == 0 {
				t.Fatalf("message %d to %d after %d: %q", m.From, m.To, to, m.Raw())
			}
			to = m.To
			for i := range m.Len() {
				for n := range 5 {
					for rep := range m.Segment(i).Field(n + 1).Repetitions {
						rep.Part(1).Part(2).Plain()
					}
				}
			}
		}
	})
}

// A message that is written reads back the same, with any separators and values.
func TestWhatIsWrittenIsReadTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.Permutation([]byte(`|^~\&#*:+!%$`)).Draw(t, "separators")
		s, err := ParseSeparators(string(marks[:5]))
		if err != nil {
			t.Fatal(err)
		}
		text := rapid.StringOfN(rapid.SampledFrom([]rune("aZ09 äß中|^~\\&\"#*:\r\n\t")), 0, 8, -1)
		values := rapid.SliceOfN(rapid.SliceOfN(text, 1, 4), 1, 4).Draw(t, "values")
		w := NewWriter(s, rapid.SampledFrom([]string{"\r", "\n", "\r\n"}).Draw(t, "end"))
		var repetitions []string
		for _, components := range values {
			var escaped []string
			for _, c := range components {
				escaped = append(escaped, w.Text(c))
			}
			repetitions = append(repetitions, w.Components(escaped...))
		}
		data := w.Segment(w.Segment(nil, "MSH"+string(marks[:5]), "A"), "PID", "1", w.Repetitions(repetitions...), "", "")
		m, err := NewReader(bytes.NewReader(data), Options{}).Next()
		if err != nil || m.Len() != 2 {
			t.Fatalf("%q: %v", data, err)
		}
		i := 0
		for rep := range m.Segment(1).Field(2).Repetitions {
			for n, want := range values[i] {
				if got := rep.Part(n + 1).Part(1).Plain(); string(got) != want || rep.Part(n+1).Deleted() {
					t.Fatalf("%q: %q, want %q", data, got, want)
				}
			}
			i++
		}
		if i != len(values) {
			t.Fatalf("%q: %d repetitions, want %d", data, i, len(values))
		}
	})
}
