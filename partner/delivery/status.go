package delivery

import (
	"context"
	"fmt"
	"time"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
)

// Status is the state of a partner's deliveries.
type Status struct {
	Waiting    int64      `json:"waiting"` // events that are in no file yet
	Oldest     *time.Time `json:"oldest,omitempty"`
	LastFile   string     `json:"last_file,omitempty"` // the last that was delivered
	LastAt     *time.Time `json:"last_at,omitempty"`
	Unfinished string     `json:"unfinished,omitempty"` // planned, but not delivered yet
	Held       string     `json:"held,omitempty"`       // why a person must decide about the next file
	Since      *time.Time `json:"held_since,omitempty"`
}

// ReadStatus returns the status of the deliveries to a partner.
func (d *Delivery) ReadStatus(ctx context.Context) (status Status, err error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return status, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `
		WITH stand AS (SELECT coalesce((SELECT "to" FROM cursor), 0) AS "to", (SELECT origin FROM cursor) AS origin),
		last AS (SELECT name, delivered_at FROM file WHERE delivered_at IS NOT NULL ORDER BY number DESC LIMIT 1)
		SELECT count(q.position), min(q.queued_at), coalesce((SELECT name FROM last), ''), (SELECT delivered_at FROM last),
		    coalesce((SELECT name FROM file WHERE delivered_at IS NULL), ''),
		    coalesce((SELECT held FROM cursor), ''), (SELECT since FROM cursor)
		FROM stand LEFT JOIN queue q ON q.position > stand."to" AND q.event = ANY($1)
		    AND NOT (q.baseline AND q.position <= coalesce(stand.origin, 0))`, d.config.Settings.Events).
		Scan(&status.Waiting, &status.Oldest, &status.LastFile, &status.LastAt, &status.Unfinished, &status.Held, &status.Since)
	return status, fault.Database("read", "delivery's status", err)
}

// Judge adds the deliveries to the report on what feeds them.
func (s *Status) Judge(r *health.Report, partner string, zone *time.Location) {
	if s.Held != "" && health.Severity(fault.Held) < health.Severity(r.Class) {
		r.Set(health.Held, fault.Held, s.Held, fmt.Sprintf("`waybill deliver %s --dry-run` names what is held, and says how to continue", partner))
		r.Error, r.Since = "", s.Since
	}
	if s.Waiting > 0 {
		r.Add(humanize.Plural(s.Waiting, "event is", "events are") + " in no file yet")
	}
	if s.Unfinished != "" {
		r.Add(s.Unfinished + " is not there yet")
	}
	if s.LastFile != "" {
		r.Add("last file " + s.LastFile + " at " + humanize.When(*s.LastAt, zone))
	}
}
