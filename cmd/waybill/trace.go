package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
)

type traceCommand struct {
	Patient string `arg:"" help:"The patient's id, a UUID."`
}

// traceAnswer is what the configured services know of one patient.
type traceAnswer struct {
	Patient   string                 `json:"patient"`
	Events    []exporter.TracedEvent `json:"events,omitzero"` // nil if the source is not configured
	Consumers []importer.Trace       `json:"consumers,omitempty"`
}

func (c *traceCommand) Run(ctx context.Context, env *environment) error {
	patient, err := uuid.Parse(c.Patient)
	if err != nil {
		return fault.New(fault.Usage, "trace", "patient", errors.New("the id is not a UUID"), "copy it whole")
	}
	answer, err := env.trace(ctx, patient)
	if err != nil {
		return err
	}
	return env.out.printTrace(answer)
}

// trace asks all services that are configured here.
func (on *installation) trace(ctx context.Context, patient uuid.UUID) (answer traceAnswer, err error) {
	answer.Patient = patient.String()
	parties, err := on.configs("")
	for _, party := range parties {
		if err := answer.add(ctx, party); err != nil {
			return answer, err
		}
	}
	return answer, err
}

func (a *traceAnswer) add(ctx context.Context, party *config) error {
	url, err := party.databaseURL()
	if err != nil {
		return err
	}
	if party.Export != nil {
		events, err := exporter.ReadTrace(ctx, url, party.stream, a.Patient)
		a.Events = append([]exporter.TracedEvent{}, events...)
		return err
	}
	trace, err := importer.ReadTrace(ctx, url, party.consumer, a.Patient)
	a.Consumers = append(a.Consumers, trace)
	return err
}

func (out *printer) printTrace(a traceAnswer) error {
	if out.json {
		return out.printJSON(a)
	}
	events := out.table("VERSION", "EVENT", "DEATH", "RECORDED", "BATCH")
	for _, e := range a.Events {
		batch := "in none yet"
		if e.Batch != nil {
			batch = fmt.Sprint(*e.Batch)
		}
		if e.Pruned != nil {
			batch = fmt.Sprintf("below %d, pruned", *e.Pruned)
		}
		events.row(e.Version, e.Event, e.DeathNo, e.RecordedAt.UTC().Format("2006-01-02 15:04:05Z"), batch)
	}
	if a.Events != nil && len(a.Events) == 0 {
		events.row("-", "unknown here", "-", "-", "-")
	}
	known := out.table("CONSUMER", "VERSION", "STATUS", "DEATH")
	done := out.table("CONSUMER", "BATCH", "EFFECT", "DEATH", "SUBJECT", "AT")
	for _, c := range a.Consumers {
		if c.Known {
			known.row(c.Consumer, fmt.Sprintf("%d.%d", c.Generation, c.Version), c.DeathStatus, c.DeathNo)
		} else {
			known.row(c.Consumer, "-", "unknown here", "-")
		}
		for _, e := range c.Effects {
			kind := e.Kind
			if e.Observed {
				kind += " (observed, not applied)"
			}
			done.row(c.Consumer, e.Batch, kind, orDash(e.DeathNo), orDash(e.Subject), e.At.UTC().Format("2006-01-02 15:04:05Z"))
		}
	}
	return printTables(events, known, done)
}

func orDash[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}
