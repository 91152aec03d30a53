package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/schemas"
)

var planned = time.Date(2026, 11, 22, 20, 5, 0, 123456789, time.UTC)

// goodManifest returns a batch of changes in two parts.
func goodManifest() *schemas.Manifest {
	hash := strings.Repeat("0123456789abcdef", 4)
	entry := func(path string, retry int, events map[string]int64, rows int64) schemas.Part {
		return schemas.Part{
			Name: schemas.PartName(path, planned, 42, hash, retry), Events: events, Rows: rows, Bytes: 100 * rows,
			SHA256: hash, RecordedFrom: schemas.At(planned.Add(-time.Minute)), RecordedTo: schemas.At(planned),
		}
	}
	m := &schemas.Manifest{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: "0195f0c4-7d5b-7cc3-98c4-dc0c0c07398f",
		Contract: schemas.ContractRef{
			Name: schemas.Stream, Version: "1.0.0", SHA256: schemas.Hash([]byte("contract")),
		},
		Generation: 1, Batch: 42, Kind: schemas.Changes, Plan: "9f0c2c5e-3d1f-4b19-8a41-6a1d2b3c4d5e",
		Window:           schemas.Window{From: schemas.At(planned.Add(-5 * time.Minute)), To: schemas.At(planned)},
		Cursor:           schemas.Cursor{Before: "731:731:", After: "740:752:741,745"},
		Snapshot:         new(int64(7)),
		HeartbeatSeconds: 900,
		Waiting:          schemas.Waiting{Events: 3, OldestRecordedAt: new(schemas.At(planned))},
		Previous:         schemas.Hash([]byte("the manifest before")),
		Producer:         schemas.Software{Software: "waybill", Version: "0.1.0"},
		Parts: []schemas.Part{
			entry(schemas.Died, 0, map[string]int64{schemas.Died: 2}, 2),
			entry(schemas.Mixed, 1, map[string]int64{schemas.Registered: 5, schemas.Merged: 1}, 6),
		},
	}
	m.Totalled()
	return m
}

func goodFloor() *schemas.Floor {
	return &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: goodManifest().Log,
		Floor: 3, Batch: 40, Previous: schemas.Hash([]byte("batch 39")), Snapshot: 42, Manifest: schemas.Hash([]byte("manifest")),
		PublishedAt: schemas.At(planned), Producer: schemas.Software{Software: "waybill", Version: "0.1.0"},
	}
}

func goodReceipt() *schemas.Receipt {
	return &schemas.Receipt{
		Format: schemas.Format, Stream: schemas.Stream, Log: goodManifest().Log, Instance: "morgue@east",
		Events: []string{schemas.Died, schemas.Merged}, Batch: 42, Manifest: schemas.Hash([]byte("manifest")),
		Generation: 1, AppliedAt: schemas.At(planned), Batches: 2, Rows: 17,
		Effects: map[string]int64{"opened": 4}, Decisions: &schemas.Decisions{Count: 3, Hash: schemas.Hash([]byte("decision"))}, Consumer: schemas.Software{Software: "waybill", Version: "0.1.0"},
	}
}

func encode(t testing.TB, m *schemas.Manifest) []byte {
	t.Helper()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestManifestRoundTrip(t *testing.T) {
	m := goodManifest()
	data := encode(t, m)
	if !bytes.Equal(data, encode(t, goodManifest())) {
		t.Error("the same manifest gave other bytes")
	}
	got, err := schemas.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Error(diff)
	}
	if again := encode(t, got); !bytes.Equal(data, again) {
		t.Error("parsed and encoded again, the bytes differ")
	}
}

func TestSealIsTheLastLine(t *testing.T) {
	data := encode(t, goodManifest())
	lines := bytes.SplitAfter(data, []byte("\n"))
	last := lines[len(lines)-2] // behind the last newline is nothing
	want := fmt.Sprintf("\"sha256\":%q}\n", schemas.Hash(data[:len(data)-len(last)]))
	if string(last) != want {
		t.Errorf("last line %q, want %q", last, want)
	}
	if !json.Valid(data) {
		t.Error("not JSON")
	}
}

func TestReceiptRoundTrip(t *testing.T) {
	r := goodReceipt()
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := schemas.ParseReceipt(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
}

// Every prefix of a manifest is torn, and so is one with any byte changed.
func TestTornAtEveryByte(t *testing.T) {
	data := encode(t, goodManifest())
	for i := range data {
		if _, err := schemas.ParseManifest(data[:i]); !errors.Is(err, schemas.ErrTorn) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		if _, err := schemas.ParseManifest(flipped); !errors.Is(err, schemas.ErrTorn) {
			t.Fatalf("flipped at %d: %v", i, err)
		}
	}
}

func TestEncodeRefusesWhatParseWould(t *testing.T) {
	m := goodManifest()
	m.Totals.Rows++
	if _, err := m.Encode(); !errors.Is(err, schemas.ErrInvalid) {
		t.Error(err)
	}
	r := goodReceipt()
	r.Instance = "../morgue"
	if _, err := r.Encode(); !errors.Is(err, schemas.ErrInvalid) {
		t.Error(err)
	}
}

func TestLargeManifestIsRefused(t *testing.T) {
	_, err := schemas.ParseManifest(bytes.Repeat([]byte(" "), schemas.MaxManifestBytes+1))
	if !errors.Is(err, schemas.ErrInvalid) {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	hash := strings.Repeat("fedcba9876543210", 4)
	for want, got := range map[string]string{
		"log/000000000/000000000042.json":                                          schemas.ManifestName(42, 0),
		"log/000000000/000000000999.1.json":                                        schemas.ManifestName(999, 1),
		"log/000000001/000000001000.json":                                          schemas.ManifestName(1000, 0),
		"log/999999999/999999999999.json":                                          schemas.ManifestName(schemas.MaxBatch, 0),
		"receipts/morgue@east/000000000/000000000042.json":                         schemas.ReceiptName("morgue@east", 42),
		"floors/000000000003.json":                                                 schemas.FloorName(3),
		"parts/type=died/date=2026-11-22/000000000042-fedcba9876543210.parquet":    schemas.PartName(schemas.Died, planned, 42, hash, 0),
		"parts/type=mixed/date=2026-11-22/000000000042-fedcba9876543210.2.parquet": schemas.PartName(schemas.Mixed, planned, 42, hash, 2),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for batch, retry := range map[int64]int{0: 0, 42: 3, 1000: 1, schemas.MaxBatch: schemas.MaxRetry} {
		b, r, ok := schemas.ParseManifestName(schemas.ManifestName(batch, retry))
		if b != batch || r != retry || !ok {
			t.Errorf("%d.%d became %d.%d, %v", batch, retry, b, r, ok)
		}
	}
	ref, ok := schemas.ParsePartName(schemas.PartName(schemas.Died, planned, 42, hash, 2))
	want := schemas.PartRef{Event: schemas.Died, Date: planned.Truncate(24 * time.Hour), Batch: 42, Hash: hash[:16], Retry: 2}
	if diff := cmp.Diff(want, ref); diff != "" || !ok {
		t.Error(diff)
	}
	instance, batch, ok := schemas.ParseReceiptName(schemas.ReceiptName("morgue@east", 42))
	if instance != "morgue@east" || batch != 42 || !ok {
		t.Errorf("%s %d %v", instance, batch, ok)
	}
}

func TestOtherNamesAreNotParsed(t *testing.T) {
	for _, name := range []string{
		"", "log/000000001/000000000042.json", "log/000000000/000000001000.json", "log/000000000/42.json", "log/000000000/000000000042.0.json", "log/000000000/000000000042.10.json",
		"log/000000000/000000000042.json.tmp", "x/log/000000000/000000000042.json", "log/000000000/000000000042.json\n",
	} {
		if _, _, ok := schemas.ParseManifestName(name); ok {
			t.Errorf("%q is accepted as a manifest", name)
		}
	}
	for _, name := range []string{
		"parts/type=died/date=2026-11-22/../000000000042-fedcba9876543210.parquet",
		"parts/type=../date=2026-11-22/000000000042-fedcba9876543210.parquet",
		"parts/type=died/date=2026-02-30/000000000042-fedcba9876543210.parquet",
		"parts/type=died/date=2026-11-22/000000000042-FEDCBA9876543210.parquet",
		"/parts/type=died/date=2026-11-22/000000000042-fedcba9876543210.parquet",
	} {
		if _, ok := schemas.ParsePartName(name); ok {
			t.Errorf("%q is accepted as a part", name)
		}
	}
	for _, name := range []string{
		"receipts/../000000000042.json", "receipts/a@b@c/000000000042.json", "receipts/Morgue/000000000042.json", "receipts/a@b@c/000000000/000000000042.json",
		"receipts/Morgue/000000000/000000000042.json", "receipts/a/000000001/000000000042.json", "receipts/a/000000000/000000001000.json",
	} {
		if _, _, ok := schemas.ParseReceiptName(name); ok {
			t.Errorf("%q is accepted as a receipt", name)
		}
	}
}

// The JSON Schemas are written by hand for readers; what they require must be what is required.
func TestJSONSchemasAgreeWithTheStructs(t *testing.T) {
	for file, v := range map[string]any{
		"manifest.schema.json": schemas.Manifest{},
		"receipt.schema.json":  schemas.Receipt{},
		"floor.schema.json":    schemas.Floor{},
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var schema jsonSchema
		if err := json.Unmarshal(data, &schema); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		// The last two lines are not fields of the structs.
		schema.Required = slices.DeleteFunc(schema.Required, func(name string) bool { return name == "sha256" })
		delete(schema.Properties, "sha256")
		delete(schema.Properties, "signatures")
		compareSchema(t, file, reflect.TypeOf(v), &schema)
	}
}

type jsonSchema struct {
	Type       string                 `json:"type"`
	Required   []string               `json:"required"`
	Properties map[string]*jsonSchema `json:"properties"`
	Items      *jsonSchema            `json:"items"`
}

func compareSchema(t *testing.T, path string, typ reflect.Type, schema *jsonSchema) {
	t.Helper()
	switch {
	case typ.Kind() == reflect.Pointer:
		typ = typ.Elem()
	case typ.Kind() == reflect.Slice:
		compareSchema(t, path+"[]", typ.Elem(), schema.Items)
		return
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeOf(schemas.Time{}) {
		return
	}
	var required, properties []string
	for i := range typ.NumField() {
		name, optional, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		properties = append(properties, name)
		if optional == "" {
			required = append(required, name)
		}
		if schema.Properties[name] != nil {
			compareSchema(t, path+"."+name, typ.Field(i).Type, schema.Properties[name])
		}
	}
	var got []string
	for name := range schema.Properties {
		got = append(got, name)
	}
	for _, list := range [][]string{required, properties, got, schema.Required} {
		slices.Sort(list)
	}
	if diff := cmp.Diff(required, schema.Required); diff != "" {
		t.Errorf("%s: required: %s", path, diff)
	}
	if diff := cmp.Diff(properties, got); diff != "" {
		t.Errorf("%s: properties: %s", path, diff)
	}
}

func TestWhichEventsAPartHolds(t *testing.T) {
	t.Parallel()
	part := schemas.Part{Events: map[string]int64{schemas.Died: 1, schemas.Registered: 0}}
	for event, held := range map[string]bool{schemas.Died: true, schemas.Registered: false, schemas.Erased: false} {
		if part.Holds([]string{schemas.Erased, event}) != held {
			t.Errorf("%s: want %v", event, held)
		}
	}
}
