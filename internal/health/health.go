// Package health holds the states that a service can be in, for the parties to judge, for `status`
// to print and for metrics to list.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/lastrun"
)

// State is how a service is doing, in a word.
type State string

// The states. All of them are in [States].
const (
	OK      State = "ok"
	New     State = "new"     // it has done nothing yet
	Behind  State = "behind"  // it has work left, and time for it
	Waiting State = "waiting" // for the other side
	Late    State = "late"
	Silent  State = "silent" // it is fine, and a consumer of it was not heard of
	Failing State = "failing"
	Held    State = "HELD"
	NoStore State = "no store"
	Forked  State = "forked" // two logs are where one should be
	Broken  State = "broken"
)

// States are all states.
var States = []State{OK, New, Behind, Waiting, Late, Silent, Failing, Held, NoStore, Forked, Broken}

// Report is a judgement on a service.
type Report struct {
	State  State       `json:"state"`
	Class  fault.Class `json:"-"` // of what is wrong; 0: nothing
	Detail string      `json:"detail,omitempty"`
	Error  string      `json:"error,omitempty"` // of the judgement itself, or of the last run
	Next   string      `json:"next,omitempty"`  // what a person should do
	Since  *time.Time  `json:"since,omitempty"` // since when it has been so
}

// Fine is the report on a service that nothing is wrong with.
func Fine() Report { return Report{State: OK} }

// Set replaces the judgement.
func (r *Report) Set(state State, class fault.Class, detail, next string) {
	r.State, r.Class, r.Detail, r.Next = state, class, detail, next
}

// SetLate replaces the judgement: something should have happened by then.
func (r *Report) SetLate(since time.Time, detail, next string) {
	r.Set(Late, fault.NotYet, detail, next)
	r.Since = &since
}

// Fail replaces the judgement by an error.
func (r *Report) Fail(err error) {
	r.Set(Broken, fault.ClassOf(err), "", fault.HintOf(err))
	r.Error = err.Error()
}

// Add adds a detail.
func (r *Report) Add(detail string) {
	r.Detail = strings.TrimPrefix(r.Detail+"; "+detail, "; ")
}

// AddRuns adds how the last runs ended, on any machine. A run that failed counts until another
// succeeds: its cause may be invisible from here.
func (r *Report) AddRuns(runs []lastrun.Run, zone *time.Location) {
	for _, run := range runs {
		if !run.Failed() {
			continue
		}
		class := fault.ParseClass(run.Class)
		switch {
		case Severity(class) < Severity(r.Class):
			r.Set(stateOf(class), class, fmt.Sprintf("the last %s on %s failed at %s", run.Work, run.Machine, humanize.When(run.EndedAt, zone)), run.Hint)
			r.Error, r.Since = run.Error, new(run.Since)
		case class == r.Class:
			r.Error, r.Next = cmp.Or(r.Error, run.Error), cmp.Or(r.Next, run.Hint)
			r.Since = cmp.Or(r.Since, new(run.Since))
		}
		if run.StoreFailures > 0 {
			r.Add(fmt.Sprintf("store from %s: %s since %s (breaker %s)", run.Machine,
				humanize.Plural(int64(run.StoreFailures), "failure", "failures"), humanize.When(run.Since, zone), run.Breaker))
		}
	}
}

// stateOf is the state of a service whose run failed.
func stateOf(class fault.Class) State {
	switch class {
	case fault.Transient:
		return Failing
	case fault.NotYet:
		return Waiting
	case fault.Held:
		return Held
	default:
		return Broken
	}
}

// bySeverity are the classes, the worst first. A report without one is fine.
var bySeverity = []fault.Class{fault.Poison, fault.Usage, fault.Transient, fault.Held, fault.NotYet, 0}

// Severity orders classes, the worst first.
func Severity(class fault.Class) int { return slices.Index(bySeverity, class) }

// Compare orders reports, the worst first.
func (r *Report) Compare(other *Report) int { return Severity(r.Class) - Severity(other.Class) }
