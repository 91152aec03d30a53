package main

import (
	"context"
	"errors"
	"time"

	"waybill/exporter"
	"waybill/internal/fault"
)

// followFlags are those of a command that can run again and again.
type followFlags struct {
	Follow bool          `help:"Run again and again on one connection. SIGTERM ends it between two runs."`
	Every  time.Duration `default:"1s" help:"With --follow: how often, at least 10ms. After news an import looks sooner."`
}

func (f followFlags) check(env *environment, op, service string, alone bool) error {
	var problem error
	switch {
	case !f.Follow:
		return nil
	case !alone:
		problem = errors.New("--follow can't be given together with what is done once")
	case env.out.json:
		problem = errors.New("--follow prints no answer, and --json asks for one")
	case f.Every < 10*time.Millisecond:
		problem = errors.New("--every must be at least 10ms")
	default:
		return nil
	}
	return fault.New(fault.Usage, op, service, problem, "")
}

// pace says how long after the beginning of one run the next one begins.
type pace struct {
	quick, slow time.Duration
	wait        time.Duration
}

func (p *pace) after(news bool) time.Duration {
	p.wait = min(p.slow, max(p.quick, 2*p.wait))
	if news {
		p.wait = p.quick
	}
	return p.wait
}

const (
	runWithin  = 30 * time.Second // how long a run may continue after SIGTERM
	retryAfter = time.Second      // how long a run that failed waits at least
	noteEvery  = time.Minute      // how often a run that ends like the one before is noted for status
)

// follower runs what it has opened. Its runs end at the log's end, as those that cron starts.
type follower struct {
	run   func(context.Context) (news, busy bool, err error)
	close func()
}

// following runs what open returns until ctx ends. A run that fails is logged, and the next one opens everything anew. So
// does one before which files of keys were added, removed or changed.
// Only a mistake that the very first run finds ends it.
type following struct {
	env  *environment
	open func(*environment) (follower, error)
	keys func() string // what tells the files of keys from earlier ones
	pace pace

	own   environment
	now   *follower
	held  string      // the keys that now has read
	class fault.Class // of the last run's failure; 0: none
	noted time.Time
}

func (f *following) until(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(runWithin, stop) })()
	defer f.end()
	for {
		started := time.Now()
		news, busy, err := f.once(working)
		wait := f.pace.after(news)
		if err != nil {
			if ctx.Err() != nil || f.noted.IsZero() && fault.ClassOf(err) == fault.Usage {
				return err
			}
			wait = max(wait, retryAfter)
		}
		f.tell(working, started, busy, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(started.Add(wait))):
		}
	}
}

func (f *following) once(ctx context.Context) (news, busy bool, err error) {
	if keys := f.keys(); keys != f.held {
		f.end()
		f.held = keys
	}
	if f.now == nil {
		f.own = *f.env
		f.own.opened = nil
		opened, err := f.open(&f.own)
		if err != nil {
			f.own.close()
			return false, false, err
		}
		f.now = &opened
	}
	return f.now.run(ctx)
}

// tell logs a failure that is not like the one before, and notes how the run ended. After a failure everything is opened
// anew, with secrets that may have changed.
func (f *following) tell(ctx context.Context, started time.Time, busy bool, err error) {
	var class fault.Class
	if err != nil {
		class = fault.ClassOf(err)
	}
	f.env.metrics.Ran(f.env.service, started, busy, err)
	if class != f.class || time.Since(f.noted) >= noteEvery {
		f.own.note(ctx, busy, err)
		f.noted = time.Now()
		if err != nil {
			f.env.log.Warn(err.Error(), "class", class.String(), "hint", f.env.typed(fault.HintOf(err)))
		}
	}
	f.class = class
	if err != nil {
		f.end()
	}
}

func (f *following) end() {
	if f.now != nil {
		f.now.close()
		f.now = nil
		f.own.close()
	}
}

// exports follows with all streams of a party.
func (f followFlags) exports(ctx context.Context, env *environment, party *config) error {
	streams := party.each()
	open := func(own *environment) (follower, error) {
		all := make([]*exporter.Follower, len(streams))
		for i, of := range streams {
			e, err := of.exporter(&own.installation)
			if err != nil {
				return follower{}, err
			}
			all[i] = e.Follower()
		}
		return follower{
			run: func(ctx context.Context) (news, busy bool, err error) {
				for i, of := range streams {
					s, failed := all[i].Run(ctx)
					news, busy, err = news || len(s.Batches) > 0, busy || s.Running, party.join(err, of, failed)
				}
				return news, busy, err
			},
			close: func() {
				for _, one := range all {
					one.Close()
				}
			},
		}, nil
	}
	return (&following{env: env, open: open, keys: party.keysNow, pace: pace{quick: f.Every, slow: f.Every}}).until(ctx)
}

// imports follows with a consumer. Where there was news there is soon more.
func (f followFlags) imports(ctx context.Context, env *environment, party *config) error {
	open := func(own *environment) (follower, error) {
		i, err := party.importer(&own.installation)
		if err != nil {
			return follower{}, err
		}
		one := i.Follower()
		return follower{
			run: func(ctx context.Context) (news, busy bool, err error) {
				s, err := one.Run(ctx)
				own.warnPendingReceipt(s)
				return len(s.Batches) > 0, s.Running, err
			},
			close: one.Close,
		}, nil
	}
	return (&following{env: env, open: open, keys: party.keysNow, pace: pace{quick: max(f.Every/10, 5*time.Millisecond), slow: f.Every}}).until(ctx)
}
