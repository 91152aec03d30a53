package importer_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
)

// A table that would take an event twice, or isn't there, is found before anything is loaded.
func TestMigrateHoldsTheTableOfAnAppendingConsumerToItsKey(t *testing.T) {
	t.Parallel()
	const columns = "CREATE TABLE event (patient_id uuid, generation int, version bigint, revision int"
	const key = ", UNIQUE (patient_id, generation, version, revision));"
	for name, test := range map[string]struct{ migration, says, slim string }{
		"keyed":        {columns + key, "", "false"},
		"without":      {columns + ");", "no unique key", "false"},
		"another key":  {columns + ", UNIQUE (patient_id, version));", "no unique key", "false"},
		"not there":    {"CREATE TABLE another (n int);", "none of the consumer's migrations makes it", "false"},
		"partial keys": {columns + "); CREATE UNIQUE INDEX ON event (patient_id, generation, version, revision) WHERE version > 1;", "no unique key", "false"},
		"slim":         {columns + key, "", "true"},
		"slim, named":  {columns + ", family_name text" + key, "slim parts do not have its columns family_name", "true"},
		"named":        {columns + ", family_name text" + key, "", "false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			consumer, err := importer.LoadConsumer(fstest.MapFS{
				"consumer.yaml":              {Data: []byte("name: journal\ndescription: x\nevents: [died]\nappend: event\nslim: " + test.slim + "\n")},
				"migrations/00001_first.sql": {Data: []byte("-- +goose Up\n" + test.migration)},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = importer.Migrate(t.Context(), pgtest.Database(t, nil, "bare"), consumer)
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || fault.ClassOf(err) != fault.Usage):
				t.Errorf("%v", err)
			}
		})
	}
}
