package reconcile

import (
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/seal"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// A manifest that does not name the one before it is found; not so where that one can't be read, and nobody knows what it was.
func TestTheLogsChainIsFollowed(t *testing.T) {
	for _, test := range []struct {
		name   string
		second func(store exchange.Store, other *logtest.Producer)
		want   string
	}{
		{"whole", func(exchange.Store, *logtest.Producer) {}, ""},
		{"another second batch", func(_ exchange.Store, other *logtest.Producer) { other.Changes() }, "manifest at log"},
		{"a second batch that nobody can read", func(store exchange.Store, _ *logtest.Producer) {
			text := "{}"
			if err := store.Put(t.Context(), schemas.ManifestName(2, 0), int64(len(text)), strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}, "unreadable at log"},
	} {
		store, err := dir.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		producer := logtest.NewProducer(t, store, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC))
		producer.Changes()
		other := producer.Fork()
		other.Heartbeat += time.Minute // so its batch is another one
		producer.Changes()
		test.second(store, other)
		producer.Changes()
		report, err := Run(t.Context(), Options{
			Contract: schemas.PatientEvents(), From: 1, To: 3, Reader: exchange.NewReader(store).Opening(seal.Keys{}), Spool: t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(said(report), ", "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
