package window

import (
	"time"

	"waybill/exchange/guard"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/health"
	"waybill/internal/lastrun"
	"waybill/partner/delivery"
	"waybill/partner/intake/register"
)

// View is the page's content, as found at one time.
type View struct {
	At    time.Time
	Took  time.Duration // how long the look took
	Lanes []*Lane
	Jobs  []Jobs
}

// Lane is the page's content about one party: a service, or a partner.
type Lane struct {
	Name string
	health.Report
	Zone     *time.Location
	At       int64         // the last batch published or applied; -1: none
	End      int64         // the newest batch on the store; -1: none
	Read     bool          // the store could be read, so End and Log are known
	Now      time.Time     // by the party's database
	WindowTo time.Time     // all that the source committed before this time is published, or applied
	Patience time.Duration // after which silence is late; 0: not known
	Waiting  int64         // events that are not published yet
	Brake    int           // more effects of one kind than this hold a batch; 0: no brake
	Latency  time.Duration // the time it took to find the log's end
	Breaker  guard.Health  // of the store, in this look
	Runs     []lastrun.Run
	Failure  string // why some of the fields below could not be read

	Log       Log
	Published []exporter.Published // at the producer
	Recent    importer.Recent      // at a consumer
	Receipts  []exporter.Receipt   // at the producer

	Export   *exporter.Status
	Import   *importer.Status
	Delivery *delivery.Status // to a partner
	Intake   *register.Status // of a partner
	Keys     string           // who signs, who reads, how old keys are
}

// Log is the newest batches on the store.
type Log struct {
	Floor   int64 // batches below were pruned
	Batches map[int64]Manifest
}

// Manifest is a batch's size and age, from its manifest.
type Manifest struct {
	Events   int64
	WindowTo time.Time
}

// Jobs are one service's jobs.
type Jobs struct {
	Service string
	Leader  string // the machine that starts them; "" if none does
	Failure string // why they could not be read
	Rows    []Job
}

// Job is one job, in words.
type Job struct {
	Name, Schedule, Next, State, Last, Result, Took, Lag, Detail string
	Failed                                                       bool // its last run
}

// follows reports whether the lane has a position in a log.
func (l *Lane) follows() bool { return l.Export != nil || l.Import != nil }

// Newest is the newest batch that the view knows of; -1: none.
func (v *View) Newest() int64 {
	newest := int64(-1)
	for _, l := range v.Lanes {
		if l.follows() {
			newest = max(newest, l.At, l.End)
		}
	}
	return newest
}
