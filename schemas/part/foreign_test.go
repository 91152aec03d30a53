package part_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"pgregory.net/rapid"

	"waybill/schemas"
	"waybill/schemas/part"
)

// foreign says how somebody else's software writes a part: with a general Parquet library,
// without checks, in an order and encodings of its own.
type foreign struct {
	drop    string                  // a column that isn't there
	retype  map[string]parquet.Node // columns of another type; their values are dropped
	extra   map[string]parquet.Node // columns that the contract doesn't have
	options []parquet.WriterOption
}

func foreignPart(t testing.TB, f foreign, rows ...testRow) part.File {
	t.Helper()
	group := parquet.Group{}
	for _, field := range contract.ParquetSchema().Fields() {
		if field.Name() != f.drop {
			group[field.Name()] = field
		}
	}
	for _, replaced := range []map[string]parquet.Node{f.retype, f.extra} {
		for name, node := range replaced {
			group[name] = node
		}
	}
	schema := parquet.NewSchema("somebody", group) // sorts the columns by name
	var b bytes.Buffer
	w := parquet.NewWriter(&b, append([]parquet.WriterOption{schema, parquet.Compression(&parquet.Zstd), parquet.DefaultEncoding(&parquet.Plain), parquet.SkipPageBounds("identifiers")}, f.options...)...)
	stats := part.Stats{Events: map[string]int64{}, Rows: int64(len(rows))}
	least, most := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range rows {
		r := &rows[i]
		values := r.values()
		row := parquet.Row{}
		for j, path := range schema.Columns() {
			row = append(row, foreignValue(values, path, f, schema, j))
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
		stats.Events[r.Event]++
		least, most = min(least, r.Recorded.UnixMicro()), max(most, r.Recorded.UnixMicro())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stats.RecordedFrom, stats.RecordedTo = schemas.AtMicro(min(least, lastMicro)), schemas.AtMicro(min(most, lastMicro))
	return fileOf(b.Bytes(), stats)
}

// lastMicro is the last time that a manifest can write.
var lastMicro = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro()

func foreignValue(values map[string]parquet.Value, path []string, f foreign, schema *parquet.Schema, column int) parquet.Value {
	leaf, _ := schema.Lookup(path...)
	optional := leaf.MaxDefinitionLevel > 0
	v, ok := values[path[0]]
	if _, other := f.retype[path[0]]; other || !ok {
		if optional {
			return parquet.NullValue().Level(0, 0, column)
		}
		return parquet.ZeroValue(leaf.Node.Type().Kind()).Level(0, 0, column)
	}
	if v.IsNull() || !optional {
		return v.Level(0, 0, column)
	}
	return v.Level(0, 1, column)
}

// values returns the row by column. Nothing of it is checked.
func (r *testRow) values() map[string]parquet.Value {
	text := func(s *string) parquet.Value {
		if s == nil {
			return parquet.NullValue()
		}
		return parquet.ByteArrayValue([]byte(*s))
	}
	at := func(t *time.Time) parquet.Value {
		if t == nil {
			return parquet.NullValue()
		}
		return parquet.Int64Value(t.UnixMicro())
	}
	v := map[string]parquet.Value{
		"event": text(&r.Event), "baseline": parquet.BooleanValue(r.Baseline),
		"patient_id": parquet.FixedLenByteArrayValue(r.Patient[:]), "generation": parquet.Int32Value(r.Generation),
		"version": parquet.Int64Value(r.Version), "revision": parquet.Int32Value(r.Revision),
		"recorded_at": at(&r.Recorded), "death_no": parquet.Int32Value(r.DeathNo), "death_status": text(&r.DeathStatus),
		"death_earliest": at(r.Earliest), "death_latest": at(r.Latest), "death_precision": text(r.Precision),
		"merged_into": parquet.NullValue(), "identifiers": text(&r.Identifiers),
	}
	if r.MergedInto != nil {
		v["merged_into"] = parquet.FixedLenByteArrayValue(r.MergedInto[:])
	}
	for i, t := range r.Texts {
		v[contract.Columns[contract.Index("family_name")+i].Name] = text(t)
	}
	return v
}

func patientText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// The rows are the same with any page version, dictionary, page size and compression of another
// writer: our reader is compared with a general library's writer.
func TestForeignWritersAreRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(anyRow), 1, 30).Draw(rt, "rows")
		for range rapid.IntRange(0, 4).Draw(rt, "doublings") {
			rows = append(rows, rows...)
		}
		encoded := map[string]parquet.Node{}
		for _, field := range contract.ParquetSchema().Fields() {
			if field.Type().Kind() != parquet.Boolean && rapid.Bool().Draw(rt, "dictionary "+field.Name()) {
				encoded[field.Name()] = parquet.Encoded(field, &parquet.RLEDictionary)
			}
		}
		codec := rapid.SampledFrom([]compress.Codec{&parquet.Zstd, &parquet.Uncompressed}).Draw(rt, "codec")
		file := foreignPart(rt2t{t, rt}, foreign{
			extra: encoded,
			options: []parquet.WriterOption{
				parquet.DataPageVersion(rapid.IntRange(1, 2).Draw(rt, "page version")),
				parquet.PageBufferSize(rapid.SampledFrom([]int{16, 300, 1 << 16}).Draw(rt, "page size")),
				parquet.MaxRowsPerRowGroup(rapid.Int64Range(1, 100).Draw(rt, "group size")),
				parquet.Compression(codec),
			},
		}, rows...)
		var want [][]byte
		for i := range rows {
			want = append(want, rows[i].tuple())
		}
		assertSameTuples(rt2t{t, rt}, want, part.Options{}, file)
	})
}

// rt2t lets helpers that want a testing.TB fail the property they run in.
type rt2t struct {
	testing.TB
	rt *rapid.T
}

func (r rt2t) Fatal(args ...any)            { r.rt.Fatal(args...) }
func (r rt2t) Fatalf(f string, args ...any) { r.rt.Fatalf(f, args...) }
func (rt2t) Helper()                        {}

func TestRevisionsOfTheContract(t *testing.T) {
	r := sampleRow(newRand(), 2)
	withoutCountry := r
	withoutCountry.Texts[7] = nil
	tags := parquet.Optional(parquet.List(parquet.String()))
	for name, c := range map[string]struct {
		foreign foreign
		want    testRow
	}{
		"older minor lacks a nullable column": {foreign{drop: "address_country"}, withoutCountry},
		"newer minor has more columns": {foreign{extra: map[string]parquet.Node{
			"a_flag": parquet.Leaf(parquet.BooleanType), "b_tags": tags, "zone": parquet.Optional(parquet.String()),
		}}, r},
		"optional where the contract requires": {foreign{extra: map[string]parquet.Node{
			"version": parquet.Optional(parquet.Leaf(parquet.Int64Type)),
		}}, r},
		"text as enumeration, uuid without annotation": {foreign{extra: map[string]parquet.Node{
			"event": parquet.Enum(), "patient_id": parquet.Leaf(parquet.FixedLenByteArrayType(16)), "version": parquet.Int(64),
		}}, r},
	} {
		t.Run(name, func(t *testing.T) {
			whole := foreignPart(t, foreign{}, r) // of the same batch
			assertSameTuples(t, [][]byte{c.want.tuple(), r.tuple(), c.want.tuple()}, part.Options{}, foreignPart(t, c.foreign, r), whole, foreignPart(t, c.foreign, r))
		})
	}
}

func TestColumnsOfAnotherKindAreRefused(t *testing.T) {
	r := sampleRow(newRand(), 2)
	for name, f := range map[string]foreign{
		`column "version" is missing`:                     {drop: "version"},
		`column "version" is not of type bigint`:          {retype: map[string]parquet.Node{"version": parquet.Leaf(parquet.Int32Type)}},
		`column "generation" is not of type integer`:      {retype: map[string]parquet.Node{"generation": parquet.Uint(32)}},
		`column "recorded_at" is not of type timestamptz`: {retype: map[string]parquet.Node{"recorded_at": parquet.Timestamp(parquet.Millisecond)}},
		`column "death_latest" is not of type timestamptz`: {retype: map[string]parquet.Node{
			"death_latest": parquet.Optional(parquet.TimestampAdjusted(parquet.Microsecond, false)),
		}},
		`column "merged_into" is not of type uuid`: {retype: map[string]parquet.Node{"merged_into": parquet.Optional(parquet.String())}},
		`column "sex" is not of type text`:         {retype: map[string]parquet.Node{"sex": parquet.Optional(parquet.BSON())}},
		`column "baseline" is not of type boolean`: {retype: map[string]parquet.Node{"baseline": parquet.Repeated(parquet.Leaf(parquet.BooleanType))}},
	} {
		_, err := readTuples(part.NewStream(contract, part.Options{}, foreignPart(t, f, r)))
		if err == nil || err.Error() != "parts/test.parquet: "+name {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}

func TestRequiredColumnWithoutValue(t *testing.T) {
	r := sampleRow(newRand(), 2)
	file := foreignPart(t, foreign{retype: map[string]parquet.Node{"version": parquet.Optional(parquet.Leaf(parquet.Int64Type))}}, r)
	_, err := readTuples(part.NewStream(contract, part.Options{}, file))
	assertBadRow(t, err, part.BadRow{
		Part: "parts/test.parquet", Row: 1, Column: "version", Reason: "is missing", PatientID: patientText(r.Patient),
	})
}

func TestOtherCompressionAndEncodingAreNamed(t *testing.T) {
	r := sampleRow(newRand(), 2)
	for want, f := range map[string]foreign{
		`column "event": compression codec 1; want zstd (6) or none (0)`: {options: []parquet.WriterOption{parquet.Compression(&parquet.Snappy)}},
		`column "version": encoding 5; want plain (0) or dictionary (8)`: {extra: map[string]parquet.Node{
			"version": parquet.Encoded(parquet.Leaf(parquet.Int64Type), &parquet.DeltaBinaryPacked),
		}},
	} {
		_, err := readTuples(part.NewStream(contract, part.Options{}, foreignPart(t, f, r)))
		if err == nil || err.Error() != "parts/test.parquet: "+want {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
