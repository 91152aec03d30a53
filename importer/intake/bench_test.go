package intake

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"testing"
)

const benchRecords = 20_000

func BenchmarkFHIRPatients(b *testing.B) {
	line := `{"resourceType":"Patient","id":"%08d-0000-4000-8000-000000000000","text":{"div":"` + strings.Repeat("<p>narrative</p>", 100) + `"},` +
		`"extension":[{"url":"http://example.org/race","extension":[{"url":"text","valueString":"none"}]}],` +
		`"identifier":[{"system":"http://example.org/mrn","value":"%d"}],"name":[{"use":"official","family":"Quill","given":["Ada","May"]}],` +
		`"gender":"female","birthDate":"1950-02-03","deceasedDateTime":"2024-05-06T07:08:09+02:00",` +
		`"address":[{"line":["1 Wharf Lane"],"city":"Porthaven","postalCode":"12345","country":"XX"}]}` + "\n"
	var file bytes.Buffer
	for i := range benchRecords {
		fmt.Fprintf(&file, line, i, i)
	}
	benchmark(b, file.Bytes())
}

func BenchmarkSyntheaPatients(b *testing.B) {
	var file bytes.Buffer
	file.WriteString("Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,LAST,SUFFIX,MAIDEN,MARITAL,RACE,ETHNICITY,GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,ZIP,LAT,LON\n")
	for i := range benchRecords {
		fmt.Fprintf(&file, "%08d-0000-4000-8000-000000000000,1950-02-03,2024-05-06,999-00-%04d,S%d,X%d,Ms.,Ada,Quill,,,S,none,none,F,Porthaven  Nowhere  XX,1 Wharf Lane,Porthaven,Nowhere,Port County,12345,42.48519877416328,-71.1299897464768\n", i, i, i, i)
	}
	benchmark(b, file.Bytes())
}

func benchmark(b *testing.B, file []byte) {
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		opened, err := Patients("file", bytes.NewReader(file), Options{Source: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		if n := count(b, opened.All); n != benchRecords {
			b.Fatalf("%d records", n)
		}
	}
}

func count[T any](b *testing.B, rows iter.Seq2[T, error]) (n int) {
	b.Helper()
	for _, err := range rows {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkLoad(b *testing.B) {
	conn := service(b)
	loads := 0
	for b.Loop() {
		loads++
		var file strings.Builder
		for i := range benchRecords {
			fmt.Fprintf(&file, `{"resourceType":"Patient","id":"%d-%d","identifier":[{"system":"a","value":"%d-%d"}],"name":[{"family":"Quill"}]}`+"\n", loads, i, loads, i)
		}
		if counts := load(b, conn, strings.NewReader(file.String())); counts.Inserted != benchRecords {
			b.Fatalf("%+v", counts)
		}
	}
	b.ReportMetric(benchRecords*float64(loads)/b.Elapsed().Seconds(), "patients/s")
}
