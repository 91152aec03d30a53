package inbox_test

import (
	"strings"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/setting"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

// A partner's state is the worst of the findings, and all findings are listed.
func TestAStatusOfAnIntake(t *testing.T) {
	t.Parallel()
	const grace = time.Hour
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	ago := func(by time.Duration) *time.Time { return new(now.Add(-by)) }
	settings := &inbox.Settings{Brake: new(int64(2)), Grace: setting.Duration(grace)}
	held := register.Held{Name: "a.hl7", SHA256: [32]byte{1, 2, 3, 4}, Effects: map[string]int64{"died": 3}, At: *ago(time.Minute)}
	for name, c := range map[string]struct {
		status register.Status
		state  health.State
		class  fault.Class
		since  *time.Time
		detail string
	}{
		"never run":                    {register.Status{}, health.New, 0, nil, "nothing was ever taken in"},
		"in time":                      {register.Status{LastRun: ago(grace)}, health.OK, 0, nil, ""},
		"not run for long":             {register.Status{LastRun: ago(grace + time.Second)}, health.Late, fault.NotYet, ago(time.Second), "no intake has run for"},
		"a file waits":                 {register.Status{LastRun: ago(0), Waiting: 1, Oldest: ago(grace), Why: "half there"}, health.OK, 0, nil, "1 file waits, the first since 2026-11-22 07:00:00Z: half there"},
		"a file waits for long":        {register.Status{LastRun: ago(0), Waiting: 2, Oldest: ago(grace + time.Second)}, health.Late, fault.NotYet, ago(time.Second), "2 files wait"},
		"a file was refused":           {register.Status{LastRun: ago(2 * grace), Refused: 1}, health.Broken, fault.Poison, nil, "1 file was refused"},
		"refused and held":             {register.Status{LastRun: ago(0), Refused: 2, Held: []register.Held{held}}, health.Broken, fault.Poison, nil, "2 files were refused"},
		"held":                         {register.Status{LastRun: ago(2 * grace), Held: []register.Held{held}}, health.Held, fault.Held, ago(time.Minute), "held: 3 died, and the brake is at 2"},
		"two held":                     {register.Status{LastRun: ago(0), Held: []register.Held{held, held}}, health.Held, fault.Held, ago(time.Minute), "1 other file is held"},
		"a number never came":          {register.Status{LastRun: ago(0), Missing: 2, First: new(int64(7))}, health.OK, 0, nil, "2 numbers never came, the first is 7"},
		"records await a decision":     {register.Status{LastRun: ago(0), Records: 1}, health.OK, 0, nil, "1 record in quarantine"},
		"a file was taken in long ago": {register.Status{LastRun: ago(0), TakenAt: ago(8 * time.Hour)}, health.OK, 0, nil, "last file at 2026-11-22 00:00:00Z"},
	} {
		c.status.Now = now
		r := inbox.Judge(c.status, "gp", settings, time.UTC)
		if r.State != c.state || r.Class != c.class || !strings.Contains(r.Detail, c.detail) || c.detail == "" && r.Detail != "" ||
			(r.Since == nil) != (c.since == nil) || r.Since != nil && !r.Since.Equal(*c.since) {
			t.Errorf("%s: %s, %v, %q since %v", name, r.State, r.Class, r.Detail, r.Since)
		}
	}
}
