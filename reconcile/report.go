package reconcile

import "waybill/internal/fault"

// Report says what was compared, and what differs.
type Report struct {
	From      int64            `json:"from"` // batches, both included
	To        int64            `json:"to"`
	Source    *Side            `json:"source,omitempty"`
	Log       *Side            `json:"log,omitempty"`
	Consumers []ConsumerReport `json:"consumers,omitempty"`
	// Uncounted lists batches that the source can no longer count, and why. They are not findings.
	Uncounted []Uncounted `json:"uncounted,omitempty"`
	Findings  []Finding   `json:"findings"`
}

// Side sums up the batches of the source or the log.
type Side struct {
	Batches int64            `json:"batches"`
	Rows    int64            `json:"rows"`
	Events  map[string]int64 `json:"events"`
	File    bool             `json:"file,omitempty"` // from the file that the other side gave
}

// ConsumerReport sums up a consumer.
type ConsumerReport struct {
	Consumer   string   `json:"consumer"`
	Append     bool     `json:"append,omitempty"`
	Checkpoint int64    `json:"checkpoint"`
	Lag        int64    `json:"lag"`      // batches that it has not applied yet; they are not compared
	Loaded     int64    `json:"loaded"`   // batches
	Rows       int64    `json:"rows"`     // of the subscribed events in them, according to its ledger
	Patients   int64    `json:"patients"` // whose state was compared
	Dead       int64    `json:"dead"`     // of them, in its database
	LogDead    int64    `json:"log_dead"` // of them, in the log
	Checks     []*Check `json:"checks"`
	Observed   int64    `json:"observed,omitempty"` // patients for whom mode observe left something undone: no check is about them
	File       bool     `json:"file,omitempty"`
}

// Uncounted is a batch that the source can't count.
type Uncounted struct {
	Batch  int64  `json:"batch"`
	Reason string `json:"reason"`
}

// Finding is one difference.
type Finding struct {
	Batch *int64 `json:"batch,omitempty"` // nil: unknown
	Side  string `json:"side"`            // source, log or a consumer
	Kind  string `json:"kind"`            // a constant below, or a kind that the consumer's check declares
	Text  string `json:"text"`
	// Count is how many rows or patients it is about; 0 if it is about the batch.
	Count    int64    `json:"count,omitempty"`
	Patients []string `json:"patients,omitempty"` // at most MaxNamed
	// Suspects says that only some of Patients may be affected, because the other side gave hashes but
	// no ids.
	Suspects bool `json:"suspects,omitempty"`

	class fault.Class
}

// Kinds of findings, in addition to those of the consumers' own checks.
const (
	Missing    = "missing"    // a row on the other side is missing here
	Extra      = "extra"      // a row here is missing on the other side
	Altered    = "altered"    // the same event, or a state after the same event, with another content
	Stale      = "stale"      // a state older than the log's
	Ahead      = "ahead"      // a state newer than any in the log
	Manifest   = "manifest"   // two sides name different manifests
	Unreadable = "unreadable" // a batch, or a part of it, is missing on the store or differs from what was published
	BadRow     = "bad_row"    // a row of the log breaks the contract
	Unknown    = "unknown"    // a side does not know a batch that it should
	Ledger     = "ledger"     // the consumer's ledger has another number of rows than the log

	OlderRevision = "older_revision" // a state lacks columns that the log fills
)

// divergences are the kinds of findings about patients whose rows and last events differ.
var divergences = map[string]string{
	"unseen":   "patients without an event",
	"changed":  "patients who are not as their last events say",
	"gone":     "patients who were deleted",
	"unmerged": "merges that were taken back, or changed",
	"refilled": "erased patients who are not blank",
}

// Class returns the findings' class: 0 if there are none, [fault.NotYet] if all may disappear by
// themselves, else [fault.Poison].
func (r *Report) Class() fault.Class {
	var class fault.Class
	for _, f := range r.Findings {
		if f.class != fault.NotYet {
			return fault.Poison
		}
		class = fault.NotYet
	}
	return class
}
