//go:build unix

package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"waybill/partner/format/fixed"
	"waybill/partner/format/hl7"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// shape is a format with a block of a thousand records, which may be repeated.
type shape struct {
	name   string
	format *Format
	head   string
	block  []byte
}

const blockRecords = 1000

// block returns a thousand records, each made from a format and its number.
func block(layout string, repeats int) []byte {
	var out bytes.Buffer
	for n := range blockRecords {
		args := make([]any, repeats)
		for i := range args {
			args[i] = n + 1
		}
		fmt.Fprintf(&out, layout, args...)
	}
	return out.Bytes()
}

func shapes() []shape {
	person := mapping.Map{
		Key: mapping.Identifier{Column: "ID", Authority: "NGH", Type: "MR"}, Family: mapping.Columns{"LAST"}, Given: mapping.Columns{"FIRST"},
		BirthDate: mapping.Date{Column: "BORN", Format: "dd/mm/yyyy"}, Sex: mapping.Code{Column: "SEX", Values: map[string]string{"1": "male", "2": "female"}},
		Address:     mapping.Address{Line: mapping.Columns{"STREET"}, City: "CITY", Postcode: "ZIP"},
		Identifiers: []mapping.Identifier{{Column: "NHS", Authority: "NHS", Type: "NH"}},
		Death:       mapping.Death{Date: mapping.Date{Column: "DIED", Format: "dd/mm/yyyy"}},
	}
	const columns = "ID;LAST;FIRST;BORN;SEX;STREET;CITY;ZIP;NHS;DIED;WARD;REMARK\n"
	remark := strings.Repeat("as before, ", 12)
	return []shape{
		{"HL7", &Format{Kind: "hl7"}, "", block("MSH|^~\\&|PAS|NGH|WB|HUB|20240506070809||ADT^A08|%d|P|2.5\rEVN|A08|20240506070809\r"+
			"PID|1||%d^^^NGH^MR~943476%04d^^^NHS^NH||Quill^Ada^May^^Ms||19500203|F|||1 Wharf Lane^Flat 2^Porthaven^^PH1 2AB^XX^H||020 5550 0100|||||||||||||||||N\r"+
			"PV1|1|I|WARD^1^1|||||||MED||||||||A|||||||||||||||||||||||||20240506070809\r"+strings.Repeat("OBX|1|NM|8867-4^heart rate^LN||60|/min|60-100|N|||F\r", 4), 3)},
		{
			"CSV", &Format{Kind: "csv", Charset: "windows-1252", CSV: &table.Layout{Delimiter: ";", Map: person}}, columns,
			block("%07d;Quill;Ada;03/02/1950;2;1 Wharf Lane, Flat 2;Porthaven;PH1 2AB;943476%04d;;M\xe9dicale;"+remark+"\n", 2),
		},
		{
			"CSV, quoted", &Format{Kind: "csv", CSV: &table.Layout{Delimiter: ";", Map: person}}, columns,
			block(`"%07d";"Quill";"Ada";"03/02/1950";"2";"1 Wharf Lane; Flat ""2""";"Porthaven";"PH1 2AB";"943476%04d";"";"7B";"`+remark+"\"\n", 2),
		},
		{"fixed width", &Format{Kind: "fixed", Charset: "iso-8859-1", Fixed: &fixed.Layout{Length: 300, Map: person, Fields: []fixed.Field{
			{Name: "ID", From: 1, Length: 7},
			{Name: "LAST", From: 8, Length: 30},
			{Name: "FIRST", From: 38, Length: 30},
			{Name: "BORN", From: 68, Length: 10},
			{Name: "SEX", From: 78, Length: 1},
			{Name: "STREET", From: 79, Length: 40},
			{Name: "CITY", From: 119, Length: 30},
			{Name: "ZIP", From: 149, Length: 9},
			{Name: "NHS", From: 158, Length: 10},
			{Name: "DIED", From: 168, Length: 10},
		}}}, "", block("%07d"+fmt.Sprintf("%-30s%-30s03/02/19502%-40s%-30s%-9s", "Quill", "Ad\xe9", "1 Wharf Lane", "Porthaven", "PH1 2AB")+"943476%04d"+fmt.Sprintf("%-133s", "")+"\n", 2)},
		{"FHIR", &Format{Kind: "fhir"}, "", block(`{"resourceType":"Patient","id":"%08d-0000-4000-8000-000000000000","text":{"div":"`+strings.Repeat("<p>narrative</p>", 100)+`"},`+
			`"identifier":[{"system":"http://example.org/mrn","value":"%d"}],"name":[{"use":"official","family":"Quill","given":["Ada","May"]}],`+
			`"gender":"female","birthDate":"1950-02-03","deceasedDateTime":"2024-05-06T07:08:09+02:00","address":[{"line":["1 Wharf Lane"],"city":"Porthaven"}]}`+"\n", 2)},
	}
}

// repeated is a head and then a block, repeated up to a size. It is made while it is read.
type repeated struct {
	head, block []byte
	times       int64
}

func (r repeated) Size() int64 { return int64(len(r.head)) + r.times*int64(len(r.block)) }

func (r repeated) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		switch {
		case at < int64(len(r.head)):
			n += copy(p[n:], r.head[at:])
		case at < r.Size():
			n += copy(p[n:], r.block[(at-int64(len(r.head)))%int64(len(r.block)):])
		default:
			return n, io.EOF
		}
		n = min(n, int(min(int64(len(p)), r.Size()-off)))
	}
	return n, nil
}

// BenchmarkRead reads files to records that could be loaded. The figures are for one core: they use the time that
// the processor spent.
func BenchmarkRead(b *testing.B) {
	for _, s := range shapes() {
		b.Run(s.name, func(b *testing.B) {
			file := repeated{[]byte(s.head), s.block, 20}
			b.ReportAllocs()
			perCore(b, file.Size(), 20*blockRecords, func() int { return count(b, s.format, file) })
		})
	}
}

// BenchmarkMessages parses the messages of a hospital's simulator, a kilobyte each, and makes no records from them.
func BenchmarkMessages(b *testing.B) {
	file := sample(b, "hl7v2-simhospital/messages.out")
	perCore(b, int64(len(file)), 1013, func() int { return parse(b, file) })
}

func parse(b *testing.B, file []byte) (messages int) {
	for r := hl7.NewReader(bytes.NewReader(file), hl7.Options{}); ; {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return messages
		}
		if err != nil {
			b.Fatal(err)
		}
		messages++
		for i := range m.Len() {
			s := m.Segment(i)
			s.Field(3).First().Part(1)
			s.Field(30)
		}
	}
}

// perCore runs read over and over, and reports how many bytes and records a core reads in a second.
func perCore(b *testing.B, size int64, records int, read func() int) {
	began := processorTime(b)
	for b.Loop() {
		if n := read(); n != records {
			b.Fatalf("%d records, want %d", n, records)
		}
	}
	spent := (processorTime(b) - began).Seconds()
	b.ReportMetric(float64(size)*float64(b.N)/spent/1e6, "MB/s/core")
	b.ReportMetric(float64(records)*float64(b.N)/spent, "records/s/core")
}

// processorTime returns the time that this process has used so far, including its garbage collector.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func count(t testing.TB, format *Format, file Source) (n int) {
	t.Helper()
	opened, err := format.Open("bench", "bench", time.Now(), file)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range opened.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// Reading files must take far less memory than the files' size: 8 MiB of each format, or as many as
// WAYBILL_INTAKE_MIB says.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	size, most := int64(8), uint64(2<<20)
	if text := os.Getenv("WAYBILL_INTAKE_MIB"); text != "" {
		var err error
		if size, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			file := repeated{[]byte(s.head), s.block, size << 20 / int64(len(s.block))}
			opened, err := s.format.Open("f", "ward", time.Now(), file)
			if err != nil {
				t.Fatal(err)
			}
			grown, read := growth(t, opened.All(), int(file.times)*blockRecords/8)
			expect(t, read, int(file.times)*blockRecords)
			if grown > most {
				t.Errorf("the heap grew by %d bytes within %d MiB", grown, size)
			}
			t.Logf("%d MiB, %d records: the heap grew by at most %d KiB", size, read, grown>>10)
		})
	}
}

// growth ranges over records. It returns how much larger the heap became than it was at the beginning. It measures
// the heap after every so many records.
func growth(t *testing.T, records iter.Seq2[record.Record, error], every int) (grown uint64, read int) {
	t.Helper()
	var before, now runtime.MemStats
	for _, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		if read++; read%every != 0 {
			continue
		}
		runtime.GC()
		runtime.ReadMemStats(&now)
		if before.HeapAlloc == 0 {
			before = now
		}
		if now.HeapAlloc > before.HeapAlloc+grown {
			grown = now.HeapAlloc - before.HeapAlloc
		}
	}
	return grown, read
}

func BenchmarkLoad(b *testing.B) {
	conn := service(b)
	loads := 0
	for b.Loop() {
		loads++
		var file strings.Builder
		for i := range 20 * blockRecords {
			fmt.Fprintf(&file, "MSH|^~\\&|A|B|||20240506||ADT^A28|%d\rPID|||%d-%d^^^NGH^MR||Quill\r", i, loads, i)
		}
		opened, err := (&Format{Kind: "hl7"}).Open("bench", "bench", time.Now(), strings.NewReader(file.String()))
		if err != nil {
			b.Fatal(err)
		}
		counts, err := takeIn(b.Context(), conn, "bench", opened.All())
		if err != nil || counts.Inserted != 20*blockRecords {
			b.Fatal(counts, err)
		}
	}
	b.ReportMetric(20*blockRecords*float64(loads)/b.Elapsed().Seconds(), "patients/s")
}
