package part_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/schemas/part"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func tables(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, table := range []string{"source", "target"} {
		if _, err := conn.Exec(ctx, "CREATE TABLE "+table+" ("+pg.Columns(contract)+")"); err != nil {
			return err
		}
	}
	return nil
}

// fillSource makes 20,000 rows with values at the ends of their ranges among them.
const fillSource = `
INSERT INTO source
SELECT (ARRAY['registered','updated','died','death_retracted','death_corrected','merged','erased'])[1 + i % 7],
	i % 2 = 0, gen_random_uuid(), CASE WHEN i = 7 THEN 2147483647 ELSE 1 END, CASE WHEN i = 7 THEN 9223372036854775807 ELSE i END, i % 3,
	CASE i WHEN 1 THEN timestamptz '1900-01-01Z' WHEN 2 THEN timestamptz '9999-12-31 23:59:59.999999Z' ELSE now() - i * interval '1.5 seconds' END,
	i % 4, (ARRAY['none','informal','formal','void'])[1 + i % 4],
	CASE WHEN i % 5 = 0 THEN timestamptz '1800-01-01Z' END, CASE WHEN i % 5 = 0 THEN timestamptz '1999-12-31 23:59:59.999999Z' END,
	CASE WHEN i % 5 = 0 THEN 'minute' END, CASE WHEN i % 6 = 0 THEN gen_random_uuid() END,
	CASE WHEN i % 3 = 0 THEN '[]' ELSE jsonb_build_array(jsonb_build_object('authority', 'Å' || i, 'type', E'a"b\\c', 'value', E'tab\there\x01 \u6f22 😀')) END,
	repeat('é', i % 201), nullif('', ''), to_char(date '1900-01-01' + i, 'YYYY-MM-DD'), (ARRAY['male','female','other','unknown'])[1 + i % 4],
	E'line\n' || i, '', NULL, 'NO'
FROM generate_series(1, 20000) i`

// What PostgreSQL copies out comes back as the same rows, through files.
func TestRowsOfPostgreSQLSurvive(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.Database(t, tables, "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, fillSource); err != nil {
		t.Fatal(err)
	}
	columns := strings.Join(contract.ColumnNames(), ", ")

	var data bytes.Buffer
	w := part.NewWriter(&data, contract, part.WriterOptions{})
	splitter := part.NewTupleSplitter(w.WriteTuple)
	if _, err := conn.PgConn().CopyTo(ctx, splitter, "COPY source ("+columns+") TO STDOUT (FORMAT binary)"); err != nil {
		t.Fatal(err)
	}
	if err := splitter.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	s := part.NewStream(contract, part.Options{}, fileOf(data.Bytes(), w.Stats()))
	defer s.Close()
	tag, err := conn.PgConn().CopyFrom(ctx, s, "COPY target ("+columns+") FROM STDIN (FORMAT binary)")
	if err != nil {
		t.Fatal(err)
	}
	var lost, invented int
	err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM (TABLE source EXCEPT ALL TABLE target) a),
		(SELECT count(*) FROM (TABLE target EXCEPT ALL TABLE source) b)`).Scan(&lost, &invented)
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() != 20000 || lost != 0 || invented != 0 {
		t.Errorf("%d rows in, %d lost, %d invented", tag.RowsAffected(), lost, invented)
	}
}

// A stream that fails leaves nothing behind: the COPY fails with it.
func TestFailedStreamFailsTheCopy(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.Database(t, tables, "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, file := writePart(t, sampleTuples(10_000))
	file.Meta.Events["died"]++
	s := part.NewStream(contract, part.Options{}, file)
	defer s.Close()
	_, err = conn.PgConn().CopyFrom(ctx, s, "COPY target FROM STDIN (FORMAT binary)")
	if err == nil || !strings.Contains(err.Error(), "the manifest says") {
		t.Errorf("got %v", err)
	}
	var rows int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM target").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
