package mapping

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"waybill/partner/format/record"
)

// Each field holds what its name says.
func TestFields(t *testing.T) {
	e := &record.Event{
		Type: "died", Baseline: true, Patient: uuid.UUID{1}, Generation: 2, Version: 3, Revision: 4, DeathNo: 5, Status: record.Formal,
		Death: record.Period{Precision: "day"}, Retired: uuid.UUID{6}, MergedInto: uuid.UUID{7},
	}
	e.Family, e.Given, e.Sex = "family", "given", "female"
	e.Address.Line, e.Address.City, e.Address.Postcode, e.Address.Country = "line", "city", "postcode", "country"
	for field, want := range map[string]string{
		"row": "8", "sequence": "9", "event": "died", "baseline": "yes", "dead": "yes", "generation": "2", "version": "3", "revision": "4",
		"death_no": "5", "death_status": "formal", "death_precision": "day", "family_name": "family", "given_name": "given", "sex": "female",
		"address_line": "line", "address_city": "city", "address_postcode": "postcode", "address_country": "country",
		"patient_id": uuid.UUID{1}.String(), "retired": uuid.UUID{6}.String(), "merged_into": uuid.UUID{7}.String(),
	} {
		if got := plain[field](e, Place{Sequence: 9, Row: 8, Zone: time.UTC}); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	for field, want := range map[string]string{"baseline": "no", "dead": "", "retired": "", "merged_into": ""} {
		if got := plain[field](new(record.Event), Place{}); got != want {
			t.Errorf("%s of nothing: %q, want %q", field, got, want)
		}
	}
	if got := plain["dead"](&record.Event{Status: record.Alive}, Place{}); got != "no" {
		t.Errorf("dead, of the living: %q", got)
	}
}
