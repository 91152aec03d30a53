// Package schemas defines what two parties agree on, with no I/O: the data contract of a stream,
// the manifest that describes a batch, the names of files, and the receipt with which a consumer
// reports its position. SPEC.md says the same in prose; testdata/vectors holds good and bad files
// with verdicts.
package schemas

// Stream is the first stream's name. Later ones, with contracts of a later major version, have others.
const Stream = "patient-events"

// Event types of the contract.
const (
	Registered     = "registered"
	Updated        = "updated"
	Died           = "died"
	DeathRetracted = "death_retracted"
	DeathCorrected = "death_corrected"
	Merged         = "merged"
	Erased         = "erased"
)

// Mixed stands in a part's path where an event type would, for a part that holds several.
const Mixed = "mixed"

// Kinds of a batch.
const (
	Genesis    = "genesis"    // batch 0: opens the log, no events
	Changes    = "changes"    // the events between two cursors; possibly none (heartbeat)
	Snapshot   = "snapshot"   // every patient's state at one cursor, as baseline events
	Correction = "correction" // a window's events again, from a repaired producer
	Retired    = "retired"    // the last batch of a stream, no events
)

// Format is the revision of the exchange's layout that this release writes, and the highest minimum reader that it
// satisfies; of manifests with sealed parts, it is FormatSealed.
const (
	Format       = 1
	FormatSealed = 2
)
