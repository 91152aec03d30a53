// Package jobs runs a party's jobs on schedules, on any number of machines, through a queue in
// the party's own PostgreSQL (River's, in the schema `jobs`).
//
// A tick never stands for a time slot: a job does everything from its checkpoint to now, so
// ticks may be missed, doubled or late. Our own table `run` says what was asked for, what is at
// work and how it ended; the queue only carries a run's number to some machine. A run is
// claimed once, under a lease that names a database connection, and no two of a job are at work
// at a time. docs/jobs.md explains it to operators.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// Job is something to be done again and again, or when asked for.
type Job struct {
	Name     string
	Schedule Schedule      // the zero value: only when asked for
	Timeout  time.Duration // a run that takes longer is broken off
	// Run does everything there is to do and returns when ctx ends. It is called anew for each
	// run, so it should resolve secrets and open what it needs itself.
	Run func(ctx context.Context, task Task) (Result, error)
}

func (j Job) scheduled() bool { return j.Schedule.spec != "" }

// Task is one run as its job sees it.
type Task struct {
	Arguments []string // of a job that is only asked for
	Person    string   // who asked; "" for the schedule
	Reason    string
	Report    func(done, total int64) // may be called as often as one likes
}

// Result is what a run did.
type Result struct {
	Text string // for the history: "2 batches, 44 events"; nothing of patients
	Idle bool   // there was nothing to do
	Busy bool   // somebody else was at work, and this run left it to them
}

// Config says whose jobs run, and how.
type Config struct {
	DatabaseURL func() (string, error) // resolved for each connection, so that it can be rotated
	Jobs        []Job
	// Lease is how long a machine may be silent before its run is taken over. A machine whose
	// connections have ended is taken for dead at once.
	Lease time.Duration
	// StopWithin is how long runs may go on after the end of the context was asked for; then they
	// are broken off and handed back.
	StopWithin time.Duration
	// Now is the clock that schedules go by; nil means the database's.
	Now func() time.Time
	// Fit, if set, refuses to take a run on this machine: it looks at the database that the run works on.
	Fit func(ctx context.Context, conn migrate.Querier) error
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Lease == 0 {
		c.Lease = 30 * time.Second
	}
	if c.StopWithin == 0 {
		c.StopWithin = 30 * time.Second
	}
	if c.Fit == nil {
		c.Fit = func(context.Context, migrate.Querier) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	problem := ""
	names := map[string]bool{}
	for _, job := range c.Jobs {
		switch {
		case job.Name == "" || job.Run == nil || job.Timeout < time.Second:
			problem = fmt.Sprintf("job %q lacks a name, work or a timeout of at least 1s", job.Name)
		case names[job.Name]:
			problem = "two jobs are called " + job.Name
		}
		names[job.Name] = true
	}
	switch {
	case c.DatabaseURL == nil:
		problem = "no database URL"
	case len(c.Jobs) == 0:
		problem = "no jobs"
	case c.Lease < time.Second || c.StopWithin < 0:
		problem = "the lease is under a second"
	}
	if problem == "" {
		return nil
	}
	return fault.New(fault.Usage, "run", "jobs", errors.New(problem), "")
}

// How a run ended.
const (
	Done       = "done"
	Nothing    = "nothing" // there was nothing to do
	Busy       = "busy"
	Failed     = "failed"
	Cancelled  = "cancelled"
	HandedBack = "handed back" // its machine was stopped; another run goes on
	Lost       = "lost"        // its machine was killed, cut off or frozen
)

// Why a run was asked for.
const (
	byTick       = "tick"
	byRetry      = "retry"
	byPerson     = "person"
	byTakeOver   = "taken over"
	byHandedBack = "handed back"
)

// machine names this process to people.
func machine() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.60s:%d", host, os.Getpid())
}
