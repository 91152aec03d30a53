package importer_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
)

// A mistake in a consumer's folder is named by file and line, and nothing of the trial stays.
func TestAConsumersSQLIsTriedOnNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t, nil, "empty")
	good := map[string]string{
		"consumer.yaml":          "name: counter\nevents: [died]\neffects: {counted: {description: one}}\nchecks: {odd: one that is odd}\n",
		"migrations/00001_c.sql": "-- +goose Up\nCREATE TABLE death (patient_id uuid PRIMARY KEY);\n",
		"prepare.sql":            "CREATE FUNCTION pg_temp.count_again() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\nDELETE FROM death\nWHERE false;\nEND $$;\n",
		"apply.sql":              "INSERT INTO death\nSELECT patient_id FROM changed;\nSELECT pg_temp.count_again();INSERT INTO effect (kind, patient_id) SELECT 'counted', patient_id FROM changed;\n",
		"reconcile.sql":          "SELECT 'odd', patient_id\nFROM death\n",
		"doctor.sql":             "SELECT 'deaths', count(*)::text, ''\nFROM death\n",
		"open.sql":               "SELECT 'deaths', false, count(*), now()\nFROM death\n",
	}
	for name, c := range map[string]struct{ file, from, to, says string }{
		"nothing wrong":         {},
		"syntax of apply.sql":   {"apply.sql", "INSERT INTO effect", "INSERT ONTO effect", "apply.sql of waybill_check, line 3, column 37: "},
		"table of apply.sql":    {"apply.sql", "INTO death", "INTO deaths", `apply.sql of waybill_check, line 1, column 13: `},
		"column of apply.sql":   {"apply.sql", "SELECT patient_id FROM changed;", "SELECT patient FROM changed;", "apply.sql of waybill_check, line 2, column 8: "},
		"syntax of prepare.sql": {"prepare.sql", "RETURNS void", "RETURN void", "prepare.sql of waybill_check, line 1, column 51: "},
		"table in a function":   {"prepare.sql", "FROM death", "FROM deaths", "apply.sql of waybill_check, function count_again, line 3: "},
		"table of reconcile":    {"reconcile.sql", "death", "deaths", "reconcile.sql of waybill_check, line 2, column 6: "},
		"table of open":         {"open.sql", "FROM death", "FROM  deaths", "open.sql of waybill_check, line 2, column 7: "},
		"table of doctor":       {"doctor.sql", "FROM death", "FROM  deaths", "doctor.sql of waybill_check, line 2, column 7: "},
		"syntax of a migration": {"migrations/00001_c.sql", "PRIMARY KEY", "PRIMARY KY", "migrations/00001_c.sql"},
	} {
		files := fstest.MapFS{}
		for file, text := range good {
			if file == c.file {
				text = strings.Replace(text, c.from, c.to, 1)
			}
			files[file] = &fstest.MapFile{Data: []byte(text)}
		}
		consumer, err := importer.LoadConsumer(files)
		if err != nil {
			t.Fatal(err)
		}
		err = importer.Check(ctx, url, consumer)
		switch {
		case c.says == "" && err != nil, c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", name, err, c.says)
		case err != nil && fault.ClassOf(err) != fault.Poison:
			t.Errorf("%s is of class %s", name, fault.ClassOf(err))
		}
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var left int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_namespace WHERE nspname = 'waybill_check'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d schemas are left, %v", left, err)
	}
}
