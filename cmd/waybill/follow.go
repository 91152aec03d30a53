package main

import (
	"context"
	"errors"
	"time"

	"waybill/exporter"
	"waybill/internal/fault"
	"waybill/jobs"
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
	run   func(context.Context) (done, error)
	close func()
}

// following runs what a party's follower does until ctx ends. A run that fails is logged, and the next one opens everything anew. So
// does one before which files of keys were added, removed or changed.
// Only a mistake that the very first run finds ends it.
type following struct {
	env   *environment
	party *config
	pace  pace

	own   environment
	now   *follower
	held  string      // the keys that now has read
	class fault.Class // of the last run's failure; 0: none
	noted time.Time
}

// newFollowing returns one for all streams of a producer, or for a consumer. Where a consumer finds news there is soon more.
func newFollowing(env *environment, party *config, every time.Duration) *following {
	p := pace{quick: every, slow: every}
	if party.Import != nil {
		p.quick = max(every/10, 5*time.Millisecond)
	}
	return &following{env: env, party: party, pace: p}
}

func (f *following) until(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(runWithin, stop) })()
	defer f.end()
	for {
		started := time.Now()
		did, err := f.once(working)
		wait := f.pace.after(did.batches > 0)
		if err != nil {
			if ctx.Err() != nil || f.noted.IsZero() && fault.ClassOf(err) == fault.Usage {
				return err
			}
			wait = max(wait, retryAfter)
		}
		f.tell(working, started, did.busy, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(started.Add(wait))):
		}
	}
}

func (f *following) once(ctx context.Context) (done, error) {
	if keys := f.party.keysNow(); keys != f.held {
		f.end()
		f.held = keys
	}
	if f.now == nil {
		f.own = *f.env
		f.own.opened = nil
		opened, err := f.party.follower(&f.own)
		if err != nil {
			f.own.close()
			return done{}, err
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

// often returns what a job does whose interval is below a second: a run follows for a minute, and the next one reads
// the secrets again. It ends earlier if a pass fails, if the job is paused, and if the machine is being stopped.
func (w work) often(every, timeout time.Duration) func(context.Context, *environment, *config, jobs.Task) (jobs.Result, error) {
	return func(ctx context.Context, env *environment, party *config, task jobs.Task) (jobs.Result, error) {
		env.noting = noting{party: party, work: w.name}
		f := newFollowing(env, party, every)
		defer func() {
			if f.now != nil {
				f.now.close()
				env.opened = f.own.opened // to be noted and closed
			}
		}()
		total := done{busy: true, effects: map[string]int64{}}
		for end := time.Now().Add(min(time.Minute, timeout/2)); ; {
			started := time.Now()
			did, err := f.once(ctx)
			total.add(did)
			if err != nil || task.Ending() || time.Now().After(end) {
				return total.result(), err
			}
			select {
			case <-ctx.Done():
				return total.result(), context.Cause(ctx)
			case <-time.After(time.Until(started.Add(f.pace.after(did.batches > 0)))):
			}
		}
	}
}

// follower opens what follows with all streams of a producer, or with a consumer.
func (c *config) follower(own *environment) (follower, error) {
	if c.Import != nil {
		return c.importFollower(own)
	}
	streams := c.each()
	all := make([]*exporter.Follower, len(streams))
	for i, of := range streams {
		e, err := of.exporter(&own.installation)
		if err != nil {
			return follower{}, err
		}
		all[i] = e.Follower()
	}
	return follower{
		run: func(ctx context.Context) (total done, err error) {
			busy := false
			for i, of := range streams {
				s, failed := all[i].Run(ctx)
				total.add(exported(s))
				busy, err = busy || s.Running, c.join(err, of, failed)
			}
			total.busy = busy
			return total, err
		},
		close: func() {
			for _, one := range all {
				one.Close()
			}
		},
	}, nil
}

func (c *config) importFollower(own *environment) (follower, error) {
	i, err := c.importer(&own.installation)
	if err != nil {
		return follower{}, err
	}
	one := i.Follower()
	return follower{
		run: func(ctx context.Context) (done, error) {
			s, err := one.Run(ctx)
			own.warnPendingReceipt(s)
			return imported(s), err
		},
		close: one.Close,
	}, nil
}
