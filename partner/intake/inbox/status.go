package inbox

import (
	"context"
	"fmt"
	"time"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/partner/intake/register"
)

// ReadStatus returns the state of a partner's intake, with the partner's own file numbers. It reads no file.
func ReadStatus(ctx context.Context, databaseURL, partner string, settings *Settings) (register.Status, error) {
	s, err := register.ReadStatus(ctx, databaseURL, partner)
	if s.First != nil {
		*s.First = settings.rules.Sequence.Number(*s.First)
	}
	return s, err
}

// Judge reports what the register says about a partner's intake.
func Judge(s register.Status, partner string, settings *Settings, zone *time.Location) health.Report {
	r, grace := health.Fine(), time.Duration(settings.Grace)
	switch {
	case s.LastRun == nil:
		r.Set(health.New, 0, "nothing was ever taken in", fmt.Sprintf("run `waybill intake %s`", partner))
	case s.Refused > 0:
		r.Set(health.Broken, fault.Poison, humanize.Plural(s.Refused, "file was", "files were")+" refused", RefusedHint(partner))
	case len(s.Held) > 0:
		first := settings.heldAs(s.Held[0]).fault(partner)
		r.Set(health.Held, fault.Held, first.Error(), fault.HintOf(first))
		r.Since = &s.Held[0].At
		if others := int64(len(s.Held) - 1); others > 0 {
			r.Add(humanize.Plural(others, "other file is", "other files are") + " held")
		}
	case s.Now.Sub(*s.LastRun) > grace:
		r.SetLate(s.LastRun.Add(grace), "no intake has run for "+humanize.Ago(s.Now.Sub(*s.LastRun)),
			fmt.Sprintf("see whether the schedule of `waybill intake %s` runs, and how it ends", partner))
	case s.Oldest != nil && s.Now.Sub(*s.Oldest) > grace:
		r.SetLate(s.Oldest.Add(grace), "", fmt.Sprintf("ask the partner; `waybill partner check %s` shows the whole folder", partner))
	}
	if s.Waiting > 0 {
		r.Add(fmt.Sprintf("%s, the first since %s", humanize.Plural(s.Waiting, "file waits", "files wait"), humanize.When(*s.Oldest, zone)))
		if s.Why != "" {
			r.Detail += ": " + s.Why
		}
	}
	if s.Missing > 0 {
		r.Add(fmt.Sprintf("%s, the first is %d", humanize.Plural(s.Missing, "number never came", "numbers never came"), *s.First))
	}
	if s.Records > 0 {
		r.Add(humanize.Plural(s.Records, "record", "records") + " in quarantine")
	}
	if s.TakenAt != nil {
		r.Add("last file at " + humanize.When(*s.TakenAt, zone))
	}
	return r
}
