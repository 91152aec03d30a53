package delivery_test

import (
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/partner/delivery"
)

// A file that is held for a person hides nothing that is more urgent, and is hidden by nothing that passes by itself.
// All findings are listed.
func TestAStatusOfDeliveries(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		status delivery.Status
		is     health.State
		worse  fault.Class // of what was found before
		state  health.State
		class  fault.Class
		detail string
	}{
		"well":              {delivery.Status{}, health.OK, 0, health.OK, 0, ""},
		"held":              {delivery.Status{Held: "1 death", Since: &at}, health.OK, 0, health.Held, fault.Held, "1 death"},
		"held and behind":   {delivery.Status{Held: "1 death", Since: &at}, health.Behind, 0, health.Held, fault.Held, "1 death"},
		"held and unfed":    {delivery.Status{Held: "1 death", Since: &at}, health.Late, fault.NotYet, health.Held, fault.Held, "1 death"},
		"held and no store": {delivery.Status{Held: "1 death", Since: &at}, health.NoStore, fault.Transient, health.Held, fault.Held, "1 death"},
		"held and broken":   {delivery.Status{Held: "1 death", Since: &at}, health.Forked, fault.Poison, health.Forked, fault.Poison, ""},
		"one waits":         {delivery.Status{Waiting: 1}, health.OK, 0, health.OK, 0, "1 event is in no file yet"},
		"two wait":          {delivery.Status{Waiting: 2}, health.Late, fault.NotYet, health.Late, fault.NotYet, "2 events are in no file yet"},
		"not delivered yet": {delivery.Status{Unfinished: "a.hl7"}, health.OK, 0, health.OK, 0, "a.hl7 is not there yet"},
		"delivered":         {delivery.Status{LastFile: "a.hl7", LastAt: &at}, health.OK, 0, health.OK, 0, "last file a.hl7 at 2026-11-22 08:00:00Z"},
	} {
		r := health.Report{State: c.is, Class: c.worse}
		c.status.Judge(&r, "gp", time.UTC)
		if r.State != c.state || r.Class != c.class || r.Detail != c.detail {
			t.Errorf("%s: %s, %v, %q", name, r.State, r.Class, r.Detail)
		}
		if r.State == health.Held && (r.Hint != "`waybill deliver gp --dry-run` names what is held, and says how to continue" || r.Since == nil || !r.Since.Equal(at)) {
			t.Errorf("%s: %q since %v", name, r.Hint, r.Since)
		}
	}
}
