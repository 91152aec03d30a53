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

// State is a service's state, in a word.
type State string

// The states. All of them are in [States].
const (
	OK      State = "ok"
	New     State = "new"     // it has done nothing yet
	Behind  State = "behind"  // it has work left, and is still in time
	Waiting State = "waiting" // for the other side
	Late    State = "late"
	Silent  State = "silent" // it is fine, but a consumer of it has not reported
	Failing State = "failing"
	Held    State = "held"
	NoStore State = "no store"
	Forked  State = "forked" // there are two logs instead of one
	Broken  State = "broken"
)

// States are all states.
var States = []State{OK, New, Behind, Waiting, Late, Silent, Failing, Held, NoStore, Forked, Broken}

// Report is a judgement on a service.
type Report struct {
	State  State       `json:"state"`
	Class  fault.Class `json:"class,omitempty"` // of the problem; 0: none
	Detail string      `json:"detail,omitempty"`
	Error  string      `json:"error,omitempty"` // why judging failed, or of the last run
	Hint   string      `json:"hint,omitempty"`  // what a person should do
	Next   string      `json:"next,omitempty"`  // the command to type first; see [Report.Advise]
	Since  *time.Time  `json:"since,omitempty"` // since when it has been so
}

// Fine returns the report on a service without problems.
func Fine() Report { return Report{State: OK} }

// Set replaces the judgement.
func (r *Report) Set(state State, class fault.Class, detail, hint string) {
	r.State, r.Class, r.Detail, r.Hint = state, class, detail, hint
}

// SetLate replaces the judgement: something should have happened by then.
func (r *Report) SetLate(since time.Time, detail, hint string) {
	r.Set(Late, fault.NotYet, detail, hint)
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
			r.Error, r.Hint = cmp.Or(r.Error, run.Error), cmp.Or(r.Hint, run.Hint)
			r.Since = cmp.Or(r.Since, new(run.Since))
		}
		if run.StoreFailures > 0 {
			r.Add(fmt.Sprintf("store from %s: %s since %s (breaker %s)", run.Machine,
				humanize.Plural(int64(run.StoreFailures), "failure", "failures"), humanize.When(run.Since, zone), run.Breaker))
		}
	}
}

// Advise adds the command to type first: the one that the hint names. If something is wrong and the hint
// names none, it is the service's doctor.
func (r *Report) Advise(service string) {
	r.Next = fault.CommandIn(r.Hint)
	if r.Next == "" && r.Class != 0 {
		r.Next = "waybill doctor " + service
	}
}

// stateOf returns the state of a service whose run failed.
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

// bySeverity are the classes, the worst first: what a person must act on hides nothing else of that kind, and is not hidden
// by what may pass. A report without a class is fine.
var bySeverity = []fault.Class{fault.Poison, fault.Usage, fault.Held, fault.Transient, fault.NotYet, 0}

// Severity orders classes, the worst first.
func Severity(class fault.Class) int { return slices.Index(bySeverity, class) }

// Compare orders reports, the worst first.
func (r *Report) Compare(other *Report) int { return Severity(r.Class) - Severity(other.Class) }
