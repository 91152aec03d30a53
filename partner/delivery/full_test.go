package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v4"

	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

// An event that does not fit leaves no trace in the file: not in its bytes, and in nothing that is counted.
func TestAnEventThatDoesNotFitIsNotCounted(t *testing.T) {
	t.Parallel()
	var settings Settings
	text := `
format: csv
name: "P{sequence}.csv"
allow: [family_name]
charset: windows-1252
csv: {columns: [{name: NAME, field: family_name}]}`
	if err := yaml.Load([]byte(text), &settings, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	if err := settings.Check(); err != nil {
		t.Fatal(err)
	}
	f, err := settings.newFile(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	event := func(position int64, family string) *record.Event {
		e := &record.Event{Position: position, Patient: uuid.UUID{15: byte(position)}, Type: "updated"}
		e.Family = family
		return e
	}
	f.newest = map[uuid.UUID]*record.Event{{15: 2}: event(9, strings.Repeat("é", 50))}
	if err := f.event(event(1, "Abel"), pattern.Values{}, 40); err != nil {
		t.Fatal(err)
	}
	before := *f
	data := string(f.data)
	if err := f.event(event(2, "☃"), pattern.Values{}, 40); !errors.Is(err, errFull) {
		t.Fatalf("%v: %s", err, f.data)
	}
	if string(f.data) != data || f.rows != 1 || f.to != 1 || f.encoder.Counted != before.encoder.Counted {
		t.Errorf("%q, %d rows up to %d", f.data, f.rows, f.to)
	}
	if diff := cmp.Diff(before.changes, f.changes); diff != "" {
		t.Error(diff)
	}
}
