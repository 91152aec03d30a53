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
	for name, test := range map[string]struct{ migration, says string }{
		"keyed":        {columns + ", UNIQUE (patient_id, generation, version, revision));", ""},
		"without":      {columns + ");", "no unique key"},
		"another key":  {columns + ", UNIQUE (patient_id, version));", "no unique key"},
		"not there":    {"CREATE TABLE another (n int);", "none of the consumer's migrations makes it"},
		"partial keys": {columns + "); CREATE UNIQUE INDEX ON event (patient_id, generation, version, revision) WHERE version > 1;", "no unique key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			consumer, err := importer.LoadConsumer(fstest.MapFS{
				"consumer.yaml":              {Data: []byte("name: journal\ndescription: x\nevents: [died]\nappend: event\n")},
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
