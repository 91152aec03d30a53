package schemas_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"waybill/schemas"
)

// For each kind of file, a text of the largest size that holds nothing but values is refused before it is decoded.
func TestValuesWithoutEnd(t *testing.T) {
	end := schemas.MaxManifestBytes - 200
	for name, text := range map[string]string{
		"parts":   `{"parts":[` + strings.Repeat("{},", end/3) + "{}]}",
		"numbers": `{"unknown":[` + strings.Repeat("1,", end/2) + "1]}",
		"members": `{"totals":{"events":{` + strings.Repeat(`"a":1,`, end/6) + `"b":1}}}`,
		"depth":   strings.Repeat(`{"a":`, end/5) + "1",
	} {
		for kind, parse := range map[string]func([]byte) error{
			"manifest": func(data []byte) error { _, err := schemas.ParseManifest(data); return err },
			"receipt":  func(data []byte) error { _, err := schemas.ParseReceipt(data); return err },
			"floor":    func(data []byte) error { _, err := schemas.ParseFloor(data); return err },
		} {
			t.Run(name+" in a "+kind, func(t *testing.T) {
				data := resealed([]byte(strings.TrimSuffix(text, "}") + ",\n"))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := parse(data)
				runtime.ReadMemStats(&after)
				if !errors.Is(err, schemas.ErrInvalid) {
					t.Error(err)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 128<<20 {
					t.Errorf("allocated %d MiB: %v", took>>20, err)
				}
			})
		}
	}
}
