// Package jobs runs a party's jobs on schedules, on any number of machines, through a queue in
// the party's own PostgreSQL (River's, in the schema `jobs`).
//
// A tick does not belong to a time slot: a job does everything from its checkpoint to now, so ticks may be
// missed, doubled or late. A run is one row of River's table: what was asked for, in its arguments, and
// how it ended, in its metadata. The table `lease` says which machine is running which job, one run of a
// job at a time; the view `run` shows both. docs/jobs.md explains it to operators.
package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// Job is work that is done on a schedule, or when a person asks for it.
type Job struct {
	Name     string
	Schedule Schedule      // the zero value: only when a person asks for it
	Timeout  time.Duration // a run that takes longer is stopped
	// Run does all waiting work. It returns when that is done or ctx ends. It resolves secrets and
	// opens connections itself, so that each run uses the current ones.
	Run func(ctx context.Context, task Task) (Result, error)
}

func (j Job) scheduled() bool { return j.Schedule.spec != "" }

// Task is one run as its job sees it.
type Task struct {
	Arguments json.RawMessage // of a job without a schedule; nil for others
	Person    string          // who asked; "" for the schedule
	Reason    string
	Report    func(done, total int64) // cheap; may be called for every row
	Ending    func() bool             // the job was paused or its machine is being stopped, so a run that repeats its work ends
}

// Result is what a run did.
type Result struct {
	Text   string // for the history: "2 batches, 44 events"; nothing about patients
	Output any    // the whole result, kept as JSON if it is under 1 MiB
	Idle   bool   // there was nothing to do
	Busy   bool   // another process was doing the work, so this run did nothing
}

// Config says which jobs run, and how.
type Config struct {
	DatabaseURL func() (string, error) // called for each connection, so that a password can be changed
	Jobs        []Job
	// Lease is how long a machine may be silent before its run is taken over. A machine whose
	// connections have ended is treated as dead at once.
	Lease time.Duration
	// StopWithin is how long runs may continue after ctx has ended; then they are stopped and
	// handed back.
	StopWithin time.Duration
	// Now is the clock for schedules; nil means the database's.
	Now func() time.Time
	// Fit, if set, checks the database before a run. An error refuses the run on this machine.
	Fit func(ctx context.Context, conn migrate.Querier) error
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.StopWithin = cmp.Or(c.StopWithin, 30*time.Second)
	if c.Fit == nil {
		c.Fit = func(context.Context, migrate.Querier) error { return nil }
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	problem := ""
	names := map[string]bool{}
	for _, job := range c.Jobs {
		switch {
		case job.Name == "" || job.Run == nil || job.Timeout < time.Second:
			problem = fmt.Sprintf("job %q needs a name, a function and a timeout of at least 1s", job.Name)
		case names[job.Name]:
			problem = "two jobs have the name " + job.Name
		}
		names[job.Name] = true
	}
	switch {
	case c.DatabaseURL == nil:
		problem = "no database URL"
	case len(c.Jobs) == 0:
		problem = "no jobs"
	case c.Lease < time.Second || c.StopWithin < 0:
		problem = "the lease must be at least 1s, and StopWithin not negative"
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
	HandedBack = "handed back" // its machine was stopped; another run continues
	Lost       = "lost"        // its machine was killed, cut off or frozen
)

// Why a run was asked for.
const (
	ByTick       = "tick"
	ByRetry      = "retry"
	ByPerson     = "person"
	ByTakeOver   = "taken over"
	ByHandedBack = "handed back"
)

// machine is this process's name, for people to read.
func machine() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.60s:%d", host, os.Getpid())
}
