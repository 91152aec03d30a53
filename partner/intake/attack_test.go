package intake

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"waybill/partner/format/fixed"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

var attack = flag.Duration("attack", time.Minute, "how long to glue, cut, pad and re-encode partners' files")

// piece is a part of a good file: a record, or text around the records.
type piece struct {
	text string
	dead string // "KEY DAY" of a record that states a death
	cut  bool   // its end is missing
}

// dialect makes good files of one form.
type dialect struct {
	name      string
	format    Format
	head, end string // around the records; # is their number
	complete  bool   // the reader recognises that the end of a file is missing
	aligned   bool   // records are found only by their length
	record    func(key int, name string, born, died time.Time) string
}

const day = "20060102"

func dialects() []dialect {
	message := func(more string) func(int, string, time.Time, time.Time) string {
		return func(key int, name string, born, died time.Time) string {
			death := "|"
			if !died.IsZero() {
				death = died.Format(day) + "|Y"
			}
			return fmt.Sprintf("MSH|^~\\&|KIS|H|WB|K|20261120101500||ADT^A08|C%d|P|2.5\rEVN|A08|20261120101500\r"+
				"PID|1||%d^^^KIS^PI||%s^Ada||%s|F%s%s\r%s", key, key, name, born.Format(day), strings.Repeat("|", 21), death, more)
		}
	}
	row := func(format, none, layout string) func(int, string, time.Time, time.Time) string {
		return func(key int, name string, born, died time.Time) string {
			at := none
			if !died.IsZero() {
				at = died.Format(layout)
			}
			return fmt.Sprintf(format, key, name, "Ada", born.Format(layout), at)
		}
	}
	cells := func(change func(*table.Layout)) Format {
		f := *lab()
		change(f.CSV)
		return f
	}
	columns := func(change func(*fixed.Layout)) Format {
		l := &fixed.Layout{Length: 40, Map: lab().CSV.Map, Fields: []fixed.Field{
			{Name: "ID", From: 1, Length: 7},
			{Name: "FAMILY", From: 8, Length: 8},
			{Name: "GIVEN", From: 16, Length: 5},
			{Name: "BORN", From: 21, Length: 10},
			{Name: "DIED", From: 31, Length: 10},
		}}
		change(l)
		return Format{Kind: "fixed", Fixed: l}
	}
	const header, plain, width = "ID,FAMILY,GIVEN,BORN,DIED\r\n", "%d,%s,%s,%s,%s\r\n", "%07d%-8s%-5s%-10s%-10s"
	return []dialect{
		{name: "HL7", format: *kis(), record: message("")},
		{name: "HL7 with more segments", format: *kis(), record: message("PV1|1|I\rOBX|1|ST|x||y\r")},
		{name: "HL7 in batches", format: *kis(), head: "FHS|^~\\&|KIS\rBHS|^~\\&|KIS\r", end: "BTS|#\rFTS|1\r", complete: true, record: message("PV1|1|I\r")},
		{name: "CSV", format: *lab(), head: header, record: row(plain, "", time.DateOnly)},
		{name: "CSV with quotes", format: cells(func(l *table.Layout) { l.Multiline = 5 }), head: header, record: row("\"%d\",\"%s\n\",%q,%q,%q\n", "", time.DateOnly)},
		{name: "CSV with a last column", format: *lab(), head: strings.Replace(header, "\r", ",MORE\r", 1), record: row("%d,%s,%s,%s,%s,x\r\n", "", time.DateOnly)},
		{name: "CSV with a trailer", format: cells(func(l *table.Layout) { l.Trailer = &table.Trailer{Starts: "EOF", Count: 2} }), head: header, end: "EOF,#\r\n", complete: true, record: row(plain, "", time.DateOnly)},
		{name: "fixed width", format: columns(func(*fixed.Layout) {}), record: row(width+"\r\n", "", time.DateOnly)},
		{name: "fixed width, padded", format: columns(func(l *fixed.Layout) { l.Short = "pad" }), record: row(width+"\n", "", time.DateOnly)},
		{name: "fixed width without ends", format: columns(func(l *fixed.Layout) { l.Ends = "none" }), aligned: true, record: row(width, "", time.DateOnly)},
		{name: "fixed width in characters", format: columns(func(l *fixed.Layout) { l.Unit = "characters" }), record: row(width+"\n", "", time.DateOnly)},
		{
			name: "fixed width of two lines", complete: true, end: "Z#\n", record: row("A%07d%-8s%-5s\nB%-10s%-10s\n", "", time.DateOnly),
			format: columns(func(l *fixed.Layout) {
				l.Length, l.Lines, l.Trailer = 21, &fixed.Lines{Head: "A", More: []string{"B"}}, &fixed.Mark{Starts: "Z", Count: fixed.Field{From: 2, Length: 3}}
				for i, from := range []int{2, 9, 17, 2, 12} {
					if l.Fields[i].From = from; i > 2 {
						l.Fields[i].Line = "B"
					}
				}
			}),
		},
		{name: "NDJSON", format: Format{Kind: "fhir"}, record: row(`{"resourceType":"Patient","id":"%d","name":[{"family":"%s","given":["%s"]}],"birthDate":"%s","deceasedDateTime":"%s"}`+"\n", "2026-01-01", time.DateOnly)},
		{
			name: "Bundle", format: Format{Kind: "fhir"}, head: "{\n" + `"resourceType":"Bundle","type":"collection","entry":[` + "\n", end: "{}]}\n", complete: true,
			record: row(`{"resource":{"resourceType":"Patient","id":"%d","name":[{"family":"%s","given":["%s"]}],"birthDate":"%s","deceasedDateTime":"%s"}},`+"\n", "2026-01-01", time.DateOnly),
		},
	}
}

// file makes a good file of some records.
func (d *dialect) file(r *rand.Rand, key *int) (all []piece) {
	n := 1 + r.IntN(4)
	all = append(all, piece{text: d.head})
	for range n {
		*key++
		born, died := time.Date(1930+r.IntN(60), 1, 1+r.IntN(300), 0, 0, 0, 0, time.UTC), time.Time{}
		if r.IntN(3) > 0 {
			died = time.Date(2026, 1, 1+r.IntN(300), 0, 0, 0, 0, time.UTC)
		}
		p := piece{text: d.record(*key, []string{"Quill", "M\u00fcller"}[r.IntN(2)], born, died)}
		if d.format.Kind == "fixed" && d.format.Fixed.Unit == "" {
			p.text = strings.ReplaceAll(p.text, "M\u00fcller ", "Mueller")
		}
		if died.IsZero() && d.format.Kind == "fhir" {
			p.dead = fmt.Sprintf("%d 2026-01-01", *key)
		} else if !died.IsZero() {
			p.dead = fmt.Sprintf("%d %s", *key, died.Format(time.DateOnly))
		}
		all = append(all, p)
	}
	return append(all, piece{text: strings.ReplaceAll(d.end, "#", fmt.Sprint(n))})
}

var pads = []string{"\ufeff", "\x00\x00", " ", "\t", "\r", "\n", "\r\n\r\n", "\x1a", "\x0b", "\x1c\r", " \t\x00\ufeff", "\x0c"}

// pad puts bytes without meaning before a line.
func pad(r *rand.Rand, all []piece) {
	p := &all[r.IntN(len(all))]
	at := 0
	if i := strings.IndexAny(p.text, "\r\n"); i >= 0 && r.IntN(2) == 0 {
		at = i + 1
	}
	p.text = p.text[:at] + pads[r.IntN(len(pads))] + p.text[at:]
}

// cut drops the end of a file. It returns the deaths that are gone completely.
func cut(r *rand.Rand, all []piece) (left []piece, gone []string) {
	size := 0
	for _, p := range all {
		size += len(p.text)
	}
	at := r.IntN(size + 1)
	for _, p := range all {
		switch {
		case at <= 0 && p.dead != "":
			gone = append(gone, p.dead)
		case at > 0:
			if at < len(p.text) {
				p.text, p.cut = p.text[:at], true
			}
			left = append(left, p)
		}
		at -= len(p.text)
		if p.cut {
			at = 0
		}
	}
	return left, gone
}

// isNothing reports whether so little of a file is left that nobody can see that there was one: less than its first
// separators.
func isNothing(all []piece) bool {
	text := ""
	for _, p := range all {
		text += p.text
	}
	return len(strings.Trim(text, strings.Join(pads, ""))) < len("MSH|^~")
}

// encode writes a file in another charset than was agreed.
func encode(r *rand.Rand, text string) string {
	var wide []byte
	switch big := r.IntN(2); r.IntN(4) {
	case 0:
		return "\ufeff" + text
	case 1:
		return strings.ReplaceAll(text, "\u00fc", "\xfc")
	case 2:
		wide = append(wide, [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}[big]...)
		fallthrough
	default:
		for _, c := range utf16.Encode([]rune(text)) {
			if big == 0 {
				wide = append(wide, byte(c), byte(c>>8))
			} else {
				wide = append(wide, byte(c>>8), byte(c))
			}
		}
		return string(wide)
	}
}

// spoil makes a file from several. It returns the file with the deaths that it states: reading must take them or
// say that it does not.
func (d *dialect) spoil(r *rand.Rand, key *int) (text string, stated []string) {
	open := false // the file before was cut; a line end after it would hide that
	for range 1 + r.IntN(3) {
		all := d.file(r, key)
		if r.IntN(2) == 0 && !d.aligned {
			pad(r, all)
		}
		if r.IntN(3) == 0 && (!d.aligned || text == "") {
			left, gone := cut(r, all)
			if all = left; d.complete && !isNothing(all) {
				stated = append(stated, gone...)
			}
		}
		if open && isNothing(all) {
			continue // a few characters after a cut may make it whole again
		}
		one := ""
		for _, p := range all {
			if one += p.text; p.dead != "" && !isNothing([]piece{p}) {
				stated = append(stated, p.dead)
			}
		}
		if open {
			one = strings.TrimLeft(one, strings.Join(pads, ""))
		}
		open = len(all) > 0 && all[len(all)-1].cut || one == ""
		switch r.IntN(6) {
		case 0:
			one = strings.TrimRight(one, "\r\n")
		case 1:
			one = encode(r, one)
		case 2:
			one = strings.ReplaceAll(one, "MSH|", "msh|")
		case 3:
			one = strings.NewReplacer("\r\n", "\n", "\r", "\r\n").Replace(one)
		}
		if text += one; d.aligned && len(one)%40 != 0 {
			return text, stated
		}
	}
	return text, stated
}

// deaths reads a file. It returns the deaths that are taken, and whether anything was set aside.
func deaths(t *testing.T, f *Format, text string) (taken []string, aside bool) {
	t.Helper()
	if text == "" {
		return nil, true
	}
	opened, err := f.Open("the file", "source", time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), bytes.NewReader([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for r, err := range opened.All() {
		if _, refused := errors.AsType[*record.Refused](err); refused {
			aside = true
		} else if err != nil {
			return nil, true // nothing of the file counts
		} else if r.Death.Dead() {
			seen[strings.TrimLeft(r.Key.Value, "0")+" "+r.Death.At(time.UTC).Format(time.DateOnly)] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), aside
}

// Files that are glued, cut, padded or written in another charset lose no death in silence, and invent none. Of each dialect
// some are taken whole, or the test would not end.
func TestProofNoDeathIsLostOrInvented(t *testing.T) {
	all, key, files := dialects(), 100, 0
	kept := map[string]int{}
	for end := time.Now().Add(*attack); time.Now().Before(end) || *attack >= time.Minute && len(kept) < len(all); {
		seed := uint64(time.Now().UnixNano())
		r := rand.New(rand.NewPCG(seed, 0))
		d := &all[r.IntN(len(all))]
		text, stated := d.spoil(r, &key)
		taken, aside := deaths(t, &d.format, text)
		files++
		if !aside {
			kept[d.name]++
		}
		for _, death := range taken {
			if !slices.Contains(stated, death) {
				t.Fatalf("%s, seed %d: the death %q is invented\n%q\nstated: %q", d.name, seed, death, text, stated)
			}
		}
		slices.Sort(stated)
		if !aside && !slices.Equal(taken, stated) {
			t.Fatalf("%s, seed %d: deaths are lost\n%q\nstated: %q\ntaken:  %q", d.name, seed, text, stated, taken)
		}
	}
	t.Logf("%d files, of which these were taken whole: %v", files, kept)
}
