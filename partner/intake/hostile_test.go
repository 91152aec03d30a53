package intake

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// endless is a file of size bytes: head, and then one text repeated.
func endless(size int, head, again string) []byte {
	return append([]byte(head), strings.Repeat(again, (size-len(head))/len(again))...)
}

// Any file that somebody puts into a folder costs memory only in proportion to one record of the largest size. Each
// of these cases once took up to 2 GiB, or tries to.
func TestProofAHostileFileCostsLittleMemory(t *testing.T) {
	const most, mostHeld = 16 << 20, 256 << 20 // of one record; of the heap
	csv := new(Format)
	if err := yaml.Load([]byte("{kind: csv, csv: {header: none, columns: [id, family], multiline: 1000, map: {key: {column: id, none: true}, family: family}}}"), csv, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	bundle := `{"resourceType":"Bundle","type":"batch","entry":[`
	patient := `{"resourceType":"Patient","id":"1","`
	for name, file := range map[string]struct {
		format *Format
		data   []byte
	}{
		"hl7, segments without end":      {&Format{Kind: "hl7"}, endless(4*most, "MSH|^~\\&|A|B|||2024||ADT^A08|1\r", "ZZZ|\r")},
		"hl7, a segment without end":     {&Format{Kind: "hl7"}, endless(4*most, "MSH|^~\\&|A|B|||2024||ADT^A08|1\rPID|", "|")},
		"hl7, repetitions":               {&Format{Kind: "hl7"}, endless(most-1, "MSH|^~\\&|A|B|||2024||ADT^A08|1\rPID|1||", "1~")},
		"hl7, components":                {&Format{Kind: "hl7"}, endless(most-1, "MSH|^~\\&|A|B|||2024||ADT^A08|1\rPID|1||", "1^")},
		"hl7, escapes":                   {&Format{Kind: "hl7"}, endless(most-1, "MSH|^~\\&|A|B|||2024||ADT^A08|1\rPID|1||1||", "\\T\\")},
		"hl7, batches":                   {&Format{Kind: "hl7"}, endless(most, "", "BHS|^~\\&|\r")},
		"csv, fields without end":        {csv, endless(4*most, "", ",")},
		"csv, fields of a line":          {csv, endless(most-1, "", ",")},
		"csv, a quote without end":       {csv, endless(4*most, "", "\"")},
		"csv, lines of an open quote":    {csv, endless(4*most, "\"", strings.Repeat("x", 4<<20)+"\n")},
		"fhir, an array of arrays":       {&Format{Kind: "fhir"}, endless(most-1, patient+`name":`, "[")},
		"fhir, names":                    {&Format{Kind: "fhir"}, append(endless(most-100, patient+`name":[`, "{},"), "{}]}\n"...)},
		"fhir, extensions":               {&Format{Kind: "fhir"}, append(endless(most-100, patient+`extension":[`, "{},"), "{}]}\n"...)},
		"fhir, extensions in extensions": {&Format{Kind: "fhir"}, endless(most-1, patient, `extension":[{"`)},
		"fhir, unknown members":          {&Format{Kind: "fhir"}, append(endless(most-100, patient+`x":[`, "1,"), "1]}\n"...)},
		"fhir, entries on a line":        {&Format{Kind: "fhir"}, append(endless(most-100, bundle, "{},"), "{}]}\n{\n"...)},
		"fhir, entries of a document":    {&Format{Kind: "fhir"}, append(endless(most, bundle, "{},"), "{}]}"...)},
		"fhir, line breaks":              {&Format{Kind: "fhir"}, append(endless(4*most, "{\n", "\n"), "}"...)},
		"fhir, members of a document":    {&Format{Kind: "fhir"}, endless(4*most, "{\n", "\"a\":1,\n")},
		"gzip, of one byte":              {&Format{Kind: "hl7", Container: "gzip"}, gzipped(t, 512<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := file.format.Open("hostile", "ward", time.Now(), bytes.NewReader(file.data))
			if err != nil {
				t.Fatal(err)
			}
			peak := peakOf(func() {
				for range opened.All() {
				}
			})
			t.Logf("%d MiB", peak>>20)
			if peak > mostHeld {
				t.Errorf("held %d MiB, more than %d", peak>>20, mostHeld>>20)
			}
		})
	}
}

// peakOf returns how much the heap grew, at most, while the work was done.
func peakOf(work func()) (peak uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	held := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(held)
	before := held[0].Value.Uint64()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	for tick := time.NewTicker(time.Millisecond); ; {
		metrics.Read(held)
		peak = max(peak, held[0].Value.Uint64()-before)
		select {
		case <-done:
			tick.Stop()
			return peak
		case <-tick.C:
		}
	}
}

func gzipped(t *testing.T, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.CopyN(w, zeros{}, size)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
