package main

import (
	"context"
	"errors"
	"time"

	"waybill/exchange/guard"
	"waybill/exchange/store"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/lastrun"
	"waybill/partner/intake/register"
)

// noting is whose database a run's outcome is noted in, for `status`, and as what work.
type noting struct {
	party  *config // nil, and no intake: it is not noted
	intake *place  // of a partner's intake, which is noted in the register
	work   string
	// wellOnly leaves failures out: a person who gives a decision sees on the spot that it failed.
	wellOnly bool
}

// note keeps how the run ended in the party's own database. That this fails changes nothing that was
// done: `status` then finds the database out of reach itself. A run that was stopped, or that left
// the work to another, says nothing about the party.
func (env *environment) note(ctx context.Context, busy bool, err error) {
	n := env.noting
	if n.party == nil && n.intake == nil || busy || errors.Is(err, context.Canceled) || err != nil && n.wellOnly {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := n.write(ctx, err, env.storeHealth()); err != nil {
		env.log.Debug("how the run ended is not noted", "error", err)
	}
}

func (n noting) write(ctx context.Context, err error, store guard.Health) error {
	run, err := lastrun.Of(n.work, err, store.Failures, store.State)
	if err != nil {
		return err
	}
	of := n.intake
	if of == nil {
		of = &n.party.place
	}
	url, err := of.databaseURL()
	if err != nil {
		return err
	}
	switch {
	case n.intake != nil:
		return register.NoteRun(ctx, url, run)
	case n.party.Export != nil:
		return exporter.NoteRun(ctx, url, run)
	}
	return importer.NoteRun(ctx, url, n.party.consumer, run)
}

// storeHealth is that of the store which has failed most often.
func (env *environment) storeHealth() (worst guard.Health) {
	for _, opened := range env.opened {
		if place, ok := opened.(*store.Place); ok {
			if h := place.Health(); worst.State == "" || h.Failures > worst.Failures {
				worst = h
			}
		}
	}
	return worst
}
