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

// noting says in which database a run's outcome is noted for `status`, and as which work.
type noting struct {
	party  *config // if this and intake are nil, nothing is noted
	intake *place  // of a partner's intake, whose outcome the register notes
	work   string
	// wellOnly notes no failures: a person who gives a decision sees at once that it failed.
	wellOnly bool
}

// note keeps how the run ended in the party's own database. If that fails, the run's result stays:
// `status` will then find that the database can't be reached. A run that was stopped, or that found
// another run busy, says nothing about the party and is not noted.
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

// storeHealth returns the health of the store that has failed most often.
func (on *installation) storeHealth() (worst guard.Health) {
	for _, opened := range on.opened {
		if place, ok := opened.(*store.Place); ok {
			if h := place.Health(); worst.State == "" || h.Failures > worst.Failures {
				worst = h
			}
		}
	}
	return worst
}
