package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/schemas"
)

// vector is a file with the verdict that every implementation must come to. The reason is in
// this one's words, of which the field's name is what counts.
type vector struct {
	File    string `json:"file"`
	Verdict string `json:"verdict"` // ok, torn, invalid, unsupported
	Reason  string `json:"reason,omitempty"`
	data    []byte
}

const vectorsFolder = "testdata/vectors"

func verdict(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, schemas.ErrTorn):
		return "torn"
	case errors.Is(err, schemas.ErrUnsupported):
		return "unsupported"
	case errors.Is(err, schemas.ErrInvalid):
		return "invalid"
	default:
		return "unclassified: " + err.Error()
	}
}

func TestVectorsOfManifests(t *testing.T) {
	runVectors(t, "manifests", manifestVectors(t), func(data []byte) error {
		_, err := schemas.ParseManifest(data)
		return err
	})
}

func TestVectorsOfReceipts(t *testing.T) {
	runVectors(t, "receipts", receiptVectors(t), func(data []byte) error {
		_, err := schemas.ParseReceipt(data)
		return err
	})
}

func TestVectorsOfFloors(t *testing.T) {
	runVectors(t, "floors", floorVectors(t), func(data []byte) error {
		_, err := schemas.ParseFloor(data)
		return err
	})
}

// runVectors compares the files with the ones made here and comes to a verdict on each.
func runVectors(t *testing.T, folder string, vectors []vector, parse func([]byte) error) {
	folder = filepath.Join(vectorsFolder, folder)
	var index bytes.Buffer
	enc := json.NewEncoder(&index)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	assertFile(t, filepath.Join(folder, "index.json"), index.Bytes())
	for _, v := range vectors {
		t.Run(v.File, func(t *testing.T) {
			name := filepath.Join(folder, v.File)
			assertFile(t, name, v.data)
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			err = parse(data)
			if got := verdict(err); got != v.Verdict {
				t.Errorf("verdict %s, want %s: %v", got, v.Verdict, err)
			}
			if err != nil && !strings.Contains(err.Error(), v.Reason) {
				t.Errorf("reason %q, want %q", err, v.Reason)
			}
		})
	}
}

// resealed puts the right last line under a body that was tampered with.
func resealed(body []byte) []byte {
	return append(bytes.Clone(body), `"sha256":"`+schemas.Hash(body)+"\"}\n"...)
}

// edit replaces old by new in a sealed file and seals it again.
func edit(t *testing.T, data []byte, old, new string) []byte {
	t.Helper()
	body := data[:bytes.LastIndex(data[:len(data)-1], []byte("\n"))+1]
	changed := bytes.Replace(body, []byte(old), []byte(new), 1)
	if bytes.Equal(changed, body) {
		t.Fatalf("%q isn't there", old)
	}
	return resealed(changed)
}

// alter returns the encoded good manifest after a change that Encode takes.
func alter(t *testing.T, f func(m *schemas.Manifest)) []byte {
	t.Helper()
	m := goodManifest()
	f(m)
	m.Totalled()
	return encode(t, m)
}

func manifestVectors(t *testing.T) []vector {
	good := encode(t, goodManifest())
	vectors := goodManifests(t)
	vectors = append(vectors, tornManifests(good)...)
	for _, c := range invalidManifests {
		vectors = append(vectors, vector{"invalid-" + c.name + ".json", "invalid", c.reason, edit(t, good, c.old, c.new)})
	}
	sealed := alter(t, func(m *schemas.Manifest) {
		m.Format, m.MinReader = schemas.FormatSealed, schemas.FormatSealed
		for i := range m.Parts {
			m.Parts[i].Name += schemas.SealedSuffix
			m.Parts[i].Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{"escrow", "morgue"}}
		}
	})
	slim := alter(t, func(m *schemas.Manifest) {
		m.Format, m.MinReader = schemas.FormatSealed, schemas.FormatSealed
		other := schemas.Hash([]byte("slim"))
		for i, p := range m.Parts {
			m.Parts[i].Name += schemas.SealedSuffix
			m.Parts[i].Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{"morgue"}}
			if i == 0 {
				p.Name, p.SHA256, p.Bytes = schemas.PartName(schemas.Died, planned, 42, other, 0)+schemas.SealedSuffix, other, 90
				p.Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{"appointments"}, Slim: true}
				m.Parts = append(m.Parts, p)
			}
		}
	})
	mixed := strings.Replace(firstPart, "type=died", "type=mixed", 1)
	covers := func(from, to int) []byte {
		return edit(t, correctionManifest(t), `"from": 40,
    "to": 41`, fmt.Sprintf(`"from": %d, "to": %d`, from, to))
	}
	return append(vectors,
		vector{"invalid-covers-itself.json", "invalid", "covers", covers(40, 42)},
		vector{"invalid-covers-backwards.json", "invalid", "covers", covers(41, 40)},
		vector{"invalid-covers-genesis.json", "invalid", "covers", covers(0, 40)},
		vector{"invalid-correction-that-takes-events.json", "invalid", "cursor: a correction batch takes no events", edit(t, correctionManifest(t), `"after": "731:731:"`, `"after": "740:752:741,745"`)},
		vector{"invalid-snapshot-of-another.json", "invalid", "snapshot: a snapshot is the newest one itself", edit(t, edit(t, good, `"changes"`, `"snapshot"`), `"after": "740:752:741,745"`, `"after": "731:731:"`)},
		vector{"invalid-snapshot-that-takes-events.json", "invalid", "cursor: a snapshot batch takes no events", edit(t, edit(t, good, `"changes"`, `"snapshot"`), `"snapshot": 7`, `"snapshot": 42`)},
		vector{"invalid-part-twice.json", "invalid", "parts[1].name: occurs twice", edit(t, edit(t, good, firstPart, mixed), secondPart, mixed)},
		vector{"unsupported-reader.json", "unsupported", "needs a reader of format 3", edit(t, good, `"format": 1,
  "min_reader": 1`, `"format": 3,
  "min_reader": 3`)},
		vector{"ok-sealed.json", "ok", "", sealed},
		vector{"ok-slim.json", "ok", "", slim},
		vector{"invalid-slim-of-some-events.json", "invalid", `parts: the slim ones have 1 of 2 events of type "died"`, edit(t, slim, "\"died\": 2\n      },\n      \"rows\": 2,\n      \"bytes\": 90", `"died": 1}, "rows": 1, "bytes": 90`)},
		vector{"invalid-slim-alone.json", "invalid", "totals.rows", edit(t, slim, `"readers": [
          "morgue"
        ]`, `"readers": ["morgue"], "slim": true`)},
		vector{"invalid-slim-as-text.json", "invalid", "slim", edit(t, slim, `"slim": true`, `"slim": "yes"`)},
		vector{"invalid-sealed-for-old-readers.json", "invalid", "min_reader: must be 2", edit(t, sealed, `"min_reader": 2`, `"min_reader": 1`)},
		vector{"invalid-sealed-name-of-an-open-part.json", "invalid", "parts[0].name: ends in .age exactly if", edit(t, sealed, `.parquet.age"`, `.parquet"`)},
		vector{"invalid-open-part-of-a-sealed-name.json", "invalid", "parts[0].name: ends in .age exactly if", edit(t, good, `.parquet"`, `.parquet.age"`)},
		vector{"invalid-sealed-in-another-form.json", "invalid", "parts[0].seal.form: is not age1", edit(t, sealed, `"age1"`, `"pgp"`)},
		vector{"invalid-sealed-reader.json", "invalid", "parts[0].seal.readers: is no name", edit(t, sealed, `"morgue"`, `"The morgue"`)},
		vector{"unsupported-contract.json", "unsupported", "contract patient-events 2.0.0", edit(t, good, `"1.0.0"`, `"2.0.0"`)},
		vector{"unsupported-event-type.json", "unsupported", `event type "moved" of contract patient-events 1.1.0`, withEvent(t, good, "moved", "1.1.0")},
		vector{"invalid-event-type-of-this-revision.json", "invalid", `"moved" is no event type`, withEvent(t, good, "moved", "1.0.9")},
		vector{"invalid-event-type-of-no-form.json", "invalid", `"died2" is no event type`, edit(t, edit(t, good, `"died": 2`, `"died2": 2`), `"1.0.0"`, `"1.1.0"`)},
	)
}

// nested returns an unknown member of so many arrays, each in the one before, with something in the innermost.
func nested(arrays int, inside string) string {
	return strings.Repeat("[", arrays) + inside + strings.Repeat("]", arrays) + ","
}

// withEvent gives the first part's rows another event type, under another revision of the contract.
func withEvent(t *testing.T, good []byte, event, version string) []byte {
	t.Helper()
	part := edit(t, good, firstPart, strings.Replace(firstPart, "type=died", "type="+event, 1))
	for range 2 { // of the part, and of the totals
		part = edit(t, part, `"died":`, `"`+event+`":`)
	}
	return edit(t, part, `"1.0.0"`, `"`+version+`"`)
}

func goodManifests(t *testing.T) []vector {
	good := encode(t, goodManifest())
	none := func(m *schemas.Manifest, kind string) {
		m.Kind, m.Parts, m.Waiting = kind, nil, schemas.Waiting{}
	}
	return []vector{
		{"ok-genesis.json", "ok", "", alter(t, func(m *schemas.Manifest) {
			none(m, schemas.Genesis)
			m.Batch, m.Previous, m.Snapshot, m.Window.From = 0, "", nil, m.Window.To
			m.Cursor.After = m.Cursor.Before
		})},
		{"ok-changes.json", "ok", "", good},
		{"ok-heartbeat.json", "ok", "", alter(t, func(m *schemas.Manifest) { none(m, schemas.Changes) })},
		{"ok-snapshot.json", "ok", "", alter(t, func(m *schemas.Manifest) {
			m.Kind, m.Snapshot, m.Cursor.After = schemas.Snapshot, new(m.Batch), m.Cursor.Before
		})},
		{"ok-snapshot-of-a-later-generation.json", "ok", "", alter(t, func(m *schemas.Manifest) { m.Kind, m.Snapshot, m.Generation = schemas.Snapshot, new(m.Batch), 2 })},
		{"ok-retired.json", "ok", "", alter(t, func(m *schemas.Manifest) {
			none(m, schemas.Retired)
			m.Cursor.After = m.Cursor.Before
		})},
		{"ok-correction.json", "ok", "", correctionManifest(t)},
		{"ok-later-format.json", "ok", "", edit(t, good, `"format": 1,`, `"format": 2,
  "signed_by": {"key": null, "names": [1.5, "é"]},`)},
		{"ok-traceparent.json", "ok", "", alter(t, func(m *schemas.Manifest) {
			m.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		})},
		{"ok-traceparent-of-no-form.json", "ok", "", alter(t, func(m *schemas.Manifest) { m.Traceparent = "nonsense" })},
		{"ok-later-minor.json", "ok", "", edit(t, good, `"1.0.0"`, `"1.7.0"`)},
		{"ok-other-spacing.json", "ok", "", compacted(t, good)},
		{"ok-software-of-100-bytes.json", "ok", "", edit(t, good, `"waybill"`, `"`+strings.Repeat("é", 50)+`"`)},
		{"ok-escaped-key-and-values.json", "ok", "", edit(t, edit(t, good, `"batch": 42,`, `"b\u0061tch": 42,`), `2026-11-22T20:00:00.123456Z`, `2026-11-22T20:00:00.123456\u005a`)},
		{"ok-escaped-pair-of-surrogates.json", "ok", "", edit(t, good, `"waybill"`, `"\uD83D\ude00 \\ud83d"`)},
		{"ok-nested-16-deep.json", "ok", "", edit(t, good, `"batch": 42,`, `"batch": 42, "x": `+nested(16, ""))},
		{"ok-unknown-numbers.json", "ok", "", edit(t, good, `"batch": 42,`, `"batch": 42, "x": [1e2, 1.0, -0, 1e400, 123456789012345678901234567890],`)},
		{"ok-largest-integer.json", "ok", "", edit(t, good, `"events": 3,`, `"events": 9223372036854775807,`)},
		{"ok-leap-day.json", "ok", "", edit(t, good, `"from": "2026-11-22T20:00`, `"from": "2024-02-29T20:00`)},
	}
}

func correctionManifest(t *testing.T) []byte {
	return alter(t, func(m *schemas.Manifest) {
		m.Kind, m.Covers, m.Cursor.After = schemas.Correction, &schemas.BatchRange{From: 40, To: 41}, m.Cursor.Before
	})
}

// compacted is the same manifest without insignificant space: only the last line has a form.
func compacted(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	body, _, ok := bytes.Cut(b.Bytes(), []byte(`"sha256":"`+string(data[len(data)-67:len(data)-3])))
	if !ok {
		t.Fatal("no seal")
	}
	return resealed(append(body, '\n'))
}

func tornManifests(good []byte) []vector {
	flipped := bytes.Replace(good, []byte(`"batch": 42`), []byte(`"batch": 43`), 1)
	return []vector{
		{"torn-empty.json", "torn", "", []byte{}},
		{"torn-half.json", "torn", "", good[:len(good)/2]},
		{"torn-without-seal.json", "torn", "", good[:bytes.LastIndex(good[:len(good)-1], []byte("\n"))+1]},
		{"torn-without-newline.json", "torn", "", good[:len(good)-1]},
		{"torn-changed.json", "torn", "", flipped},
		{"torn-appended.json", "torn", "", append(bytes.Clone(good), '\n')},
		{"torn-zeros.json", "torn", "", make([]byte, len(good))},
		{"torn-seal-within-a-line.json", "torn", "", resealed(bytes.TrimSuffix(good[:len(good)-77], []byte("\n")))},
		{"torn-crlf.json", "torn", "", bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n"))},
	}
}

var (
	goodParts  = goodManifest().Parts
	firstPart  = goodParts[0].Name
	secondPart = goodParts[1].Name
)

// invalidManifests are single changes to a good manifest.
var invalidManifests = []struct{ name, reason, old, new string }{
	{"not-json", "invalid", "{\n", "<manifest>\n"},
	{"not-utf8", "not valid UTF-8", `"waybill"`, "\"way\xffbill\""},
	{"duplicate-field", "batch: occurs twice", `"batch": 42,`, `"batch": 42, "batch": 43,`},
	{"duplicate-unknown-field", "x.y: occurs twice", `"batch": 42,`, `"batch": 42, "x": {"y": 1, "y": 1},`},
	{"field-in-capitals", "is not a field's name", `"batch": 42,`, `"batch": 42, "Batch": 43,`},
	{"missing-field", "generation: is missing", `"generation": 1,`, ``},
	{"missing-first-field", "waiting.events: is missing", `"events": 3,`, ``},
	{"missing-inner-field", "parts[0].rows: is missing", `"rows": 2,`, ``},
	{"null-field", "snapshot: is null", `"snapshot": 7`, `"snapshot": null`},
	{"null-count", "parts[0].events.died: is null", `"died": 2`, `"died": null`},
	{"nested-too-deep", "nested too deep", `"batch": 42,`, `"batch": 42, "x": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,`},
	{"nested-17-deep", "nested too deep", `"batch": 42,`, `"batch": 42, "x": ` + nested(17, "")},
	{"value-17-deep", "nested too deep", `"batch": 42,`, `"batch": 42, "x": ` + nested(16, "1")},
	{"duplicate-escaped-field", "batch: occurs twice", `"batch": 42,`, `"batch": 42, "b\u0061tch": 42,`},
	{"half-a-pair-of-surrogates", "half a pair", `"waybill"`, `"\ud83d"`},
	{"other-half-of-a-pair", "half a pair", `"waybill"`, `"a\\\uDE00"`},
	{"half-a-pair-in-an-unknown-field", "half a pair", `"batch": 42,`, `"batch": 42, "x": ["\ud83d\u0041"],`},
	{"traceparent-as-number", "traceparent", `"batch": 42,`, `"batch": 42, "traceparent": 7,`},
	{"number-as-text", "batch", `"batch": 42`, `"batch": "42"`},
	{"fraction", "batch", `"batch": 42`, `"batch": 42.5`},
	{"integer-with-exponent", "batch", `"batch": 42`, `"batch": 4.2e1`},
	{"integer-with-exponent-alone", "heartbeat_seconds", `"heartbeat_seconds": 900`, `"heartbeat_seconds": 9e2`},
	{"integer-with-point", "batch", `"batch": 42`, `"batch": 42.0`},
	{"integer-beyond-int64", "waiting.events", `"events": 3,`, `"events": 9223372036854775808,`},
	{"batch-negative", "batch: is out of range", `"batch": 42`, `"batch": -42`},
	{"batch-too-large", "batch: is out of range", `"batch": 42`, `"batch": 1000000000000`},
	{"format-zero", "min_reader", `"format": 1`, `"format": 0`},
	{"min-reader-above-format", "min_reader", `"min_reader": 1`, `"min_reader": 2`},
	{"other-stream", "stream", `"stream": "patient-events"`, `"stream": "bed-events"`},
	{"other-contract", "contract.name", `"name": "patient-events"`, `"name": "bed-events"`},
	{"contract-version", "contract.version", `"1.0.0"`, `"1.0"`},
	{"contract-version-with-zeros", "contract.version", `"1.0.0"`, `"01.0.0"`},
	{"contract-version-with-zeros-behind", "contract.version", `"1.0.0"`, `"1.00.0"`},
	{"software-of-102-bytes", "producer.software", `"waybill"`, `"` + strings.Repeat("é", 51) + `"`},
	{"plan-in-capitals", "plan", `"9f0c2c5e`, `"9F0C2C5E`},
	{"log-in-capitals", "log", `"0195f0c4`, `"0195F0C4`},
	{"generation-zero", "generation", `"generation": 1`, `"generation": 0`},
	{"kind-unknown", "kind", `"kind": "changes"`, `"kind": "deltas"`},
	{"kind-genesis-later", "kind", `"kind": "changes"`, `"kind": "genesis"`},
	{"batch-zero-with-changes", "kind", `"batch": 42`, `"batch": 0`},
	{"window-backwards", "window", `"from": "2026-11-22T20:00:00`, `"from": "2026-11-22T21:00:00`},
	{"time-with-offset", "invalid", `"from": "2026-11-22T20:00:00.123456Z"`, `"from": "2026-11-22T20:00:00.123456+00:00"`},
	{"time-of-milliseconds", "invalid", `"from": "2026-11-22T20:00:00.123456Z"`, `"from": "2026-11-22T20:00:00.123Z"`},
	{"time-on-no-day-of-the-calendar", "invalid", `"from": "2026-11-22T20:00`, `"from": "2026-02-30T20:00`},
	{"time-of-a-leap-second", "invalid", `"from": "2026-11-22T20:00:00`, `"from": "2026-11-22T19:59:60`},
	{"time-at-24-hours", "invalid", `"from": "2026-11-22T20:00:00`, `"from": "2026-11-21T24:00:00`},
	{"time-in-year-0", "invalid", `"from": "2026-11-22T20:00`, `"from": "0000-11-22T20:00`},
	{"time-with-comma", "invalid", `"from": "2026-11-22T20:00:00.`, `"from": "2026-11-22T20:00:00,`},
	{"time-of-one-digit-hour", "invalid", `"from": "2026-11-22T20:00`, `"from": "2026-11-22T9:00`},
	{"cursor-backwards", "cursor.after", `"740:752:741,745"`, `"752:740:"`},
	{"cursor-xip-outside", "cursor.after", `"740:752:741,745"`, `"740:752:741,752"`},
	{"cursor-xip-unsorted", "cursor.after", `"740:752:741,745"`, `"740:752:745,741"`},
	{"cursor-xip-twice", "cursor.after", `"740:752:741,745"`, `"740:752:741,741"`},
	{"cursor-of-zero", "cursor.before", `"731:731:"`, `"0:731:"`},
	{"heartbeat-zero", "heartbeat_seconds", `"heartbeat_seconds": 900`, `"heartbeat_seconds": 0`},
	{"waiting-negative", "waiting.events", `"events": 3,`, `"events": -3,`},
	{"previous-empty", "previous", `"previous": "` + goodManifest().Previous + `"`, `"previous": ""`},
	{"covers-without-correction", "covers", `"snapshot": 7,`, `"snapshot": 7, "covers": {"from": 1, "to": 2},`},
	{"snapshot-later", "snapshot", `"snapshot": 7`, `"snapshot": 43`},
	{"part-outside", "parts[0].name: is not the name of a part", firstPart, "../" + firstPart},
	{"part-climbing", "parts[0].name: is not the name of a part", "parts/type=died/date=2026-11-22/", "parts/type=died/date=2026-11-22/../"},
	{"part-absolute", "parts[0].name: is not the name of a part", firstPart, "/etc/passwd"},
	{"part-of-another-batch", "parts[0].name: is a part of batch 41", "000000000042-", "000000000041-"},
	{"part-of-another-day", "parts[0].name: is not of the day", "date=2026-11-22/", "date=2026-11-21/"},
	{"part-of-another-hash", "parts[0].name: doesn't carry the part's hash", "-0123456789abcdef.parquet", "-1123456789abcdef.parquet"},
	{"part-of-another-event", `parts[0].name: is not one for "died"`, "type=died", "type=merged"},
	{"part-of-no-event", `"reborn" is no event type`, `"died": 2`, `"reborn": 2`},
	{"part-rows-zero", "parts[0]", `"died": 2`, `"died": 0`},
	{"part-rows-sum", "parts[0].rows: is 3; the events' sum is 2", `"rows": 2,`, `"rows": 3,`},
	{"part-rows-absurd", "parts[0].rows: is out of range", `"rows": 2,`, `"rows": 9007199254740993,`},
	{"part-bytes-absurd", "parts[0].bytes: is out of range", `"bytes": 200,`, `"bytes": 4294967297,`},
	{"part-recorded-backwards", "parts[0].recorded_to", `"recorded_from": "2026-11-22T20:04:00`, `"recorded_from": "2026-11-22T20:06:00`},
	{"totals-rows", "totals.rows: is 9; the parts' sum is 8", `"rows": 8,`, `"rows": 9,`},
	{"totals-bytes", "totals.bytes: is 801; the parts' sum is 800", `"bytes": 800,`, `"bytes": 801,`},
	{"totals-events", "totals.events", `"merged": 1,
      "registered": 5
    }
  }`, `"registered": 6
    }
  }`},
}

func receiptVectors(t *testing.T) []vector {
	good, err := goodReceipt().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return []vector{
		{"ok.json", "ok", "", good},
		{"torn.json", "torn", "", good[:len(good)-7]},
		{"invalid-instance.json", "invalid", "instance", edit(t, good, "morgue@east", "morgue/east")},
		{"invalid-missing-field.json", "invalid", "manifest: is missing", edit(t, good, `"manifest": "`, `"unfest": "`)},
		{"ok-without-decisions.json", "ok", "", edit(t, good, `"decisions"`, `"earlier"`)},
		{"ok-nothing-decided.json", "ok", "", edit(t, good, `"count": 3,
    "hash": "`+schemas.Hash([]byte("decision")), `"count": 0,
    "hash": "`)},
		{"invalid-decisions-hash.json", "invalid", "decisions.hash", edit(t, good, schemas.Hash([]byte("decision")), "")},
		{"invalid-decisions-count.json", "invalid", "decisions.count", edit(t, good, `"count": 3`, `"count": -3`)},
		{"invalid-effects.json", "invalid", "effects", edit(t, good, `"opened": 4`, `"opened": -4`)},
		{"unsupported-format.json", "unsupported", "format 2", edit(t, good, `"format": 1`, `"format": 2`)},
	}
}

func floorVectors(t *testing.T) []vector {
	good, err := goodFloor().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return []vector{
		{"ok.json", "ok", "", good},
		{"ok-at-its-snapshot.json", "ok", "", edit(t, good, `"snapshot": 42`, `"snapshot": 40`)},
		{"ok-later-format.json", "ok", "", edit(t, good, `"format": 1,`, `"format": 2, "reason": "no room",`)},
		{"torn.json", "torn", "", good[:len(good)-7]},
		{"invalid-number-zero.json", "invalid", "floor: is out of range", edit(t, good, `"floor": 3`, `"floor": 0`)},
		{"invalid-batch-zero.json", "invalid", "batch: is out of range", edit(t, good, `"batch": 40`, `"batch": 0`)},
		{"invalid-snapshot-below.json", "invalid", "snapshot: is below the floor", edit(t, good, `"snapshot": 42`, `"snapshot": 39`)},
		{"invalid-missing-field.json", "invalid", "previous: is missing", edit(t, good, `"previous": "`, `"preceding": "`)},
		{"invalid-other-stream.json", "invalid", "stream", edit(t, good, `"stream": "patient-events"`, `"stream": "bed-events"`)},
		{"unsupported-reader.json", "unsupported", "needs a reader of format 2", edit(t, good, `"format": 1,
  "min_reader": 1`, `"format": 2,
  "min_reader": 2`)},
	}
}
