// Package exporter turns the patients service's outbox into the batches of a log.
//
// The database is authoritative: a batch's content is fixed by the plan row that is committed
// before a byte of it is written, its manifest by the bytes stored in that row before they are
// published. After a crash anywhere, run again. All times are the database's.
// The algorithm and its crash table are in docs/export.md.
package exporter

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/schemas"
)

// Config says which database's outbox is exported, to which store, and in what portions.
type Config struct {
	DatabaseURL string            // the patients service's database
	Contract    *schemas.Contract // of the stream that is published; nil: the newest
	Streams     []string          // all that this database publishes; nil: that one
	Store       exchange.Store    // rooted at the stream's folder
	Spool       string            // where to make a private folder for parts being written

	// Heartbeat is how long the log may be silent: an empty batch is published after it.
	// Consumers read the figure and report the log as late. At least a second.
	Heartbeat time.Duration
	// BatchEvents bounds a batch: if more events than this wait, they are cut into several batches,
	// but never inside a transaction.
	BatchEvents int
	// PartRows bounds the rows of one part.
	PartRows int
	// Wait is how long what was asked for, like a snapshot, waits for another exporter to finish. [Exporter.Run] does
	// not wait, because the other does its work.
	Wait time.Duration

	Sign  trust.Signers // who signs manifests and floors
	Trust *trust.Policy // whose receipts count

	Secrets seal.Secrets // the last seals parts; none: they are not sealed
	Readers seal.Readers // who can open them

	// Delete, if set, is how [Exporter.Prune] deletes files.
	Delete exchange.Deleter

	Release string // the version of this software, for manifests
	Log     *slog.Logger
	// Published, if set, is called with each batch that was published.
	Published func(BatchSummary)
}

// DefaultHeartbeat is used if the configuration names none.
const DefaultHeartbeat = 15 * time.Minute

// MaxHeartbeat is the longest that manifests may announce.
const MaxHeartbeat = 365 * 24 * time.Hour

// WithDefaults fills what was left zero.
func (c Config) WithDefaults() Config {
	c.Contract = cmp.Or(c.Contract, schemas.PatientEvents())
	if c.Streams == nil {
		c.Streams = []string{c.Contract.Name}
	}
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.BatchEvents = cmp.Or(c.BatchEvents, 100_000)
	c.PartRows = cmp.Or(c.PartRows, 250_000)
	c.Wait = cmp.Or(c.Wait, time.Minute)
	c.Release = cmp.Or(c.Release, "devel")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Published == nil {
		c.Published = func(BatchSummary) {}
	}
	return c
}

func (c Config) validate() error {
	var problem string
	switch {
	case c.Heartbeat < time.Second || c.Heartbeat > MaxHeartbeat:
		problem = "heartbeat is under a second or over a year"
	case c.BatchEvents < 1:
		problem = "batch_events is under 1"
	case c.PartRows < 1:
		problem = "part rows are under 1"
	default:
		return nil
	}
	return fault.New(fault.Usage, "export", "configuration", errors.New(problem), "")
}

// Exporter appends batches to the log of one stream.
type Exporter struct {
	config   Config
	contract *schemas.Contract
	reader   *exchange.Parts
	writer   *exchange.Writer
}

// New checks the configuration; it does no I/O.
func New(config Config) (*Exporter, error) {
	config = config.WithDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Exporter{
		config:   config,
		contract: config.Contract,
		reader:   exchange.NewReader(config.Store).Trusting(config.Trust).Opening(config.Secrets.Keys()),
		writer:   exchange.NewWriter(config.Store).Signing(config.Sign),
	}, nil
}

// Summary is what one run did.
type Summary struct {
	Batches []BatchSummary `json:"batches"`
	Running bool           `json:"running"` // another exporter is running; this run did nothing
	// Standing is the newest snapshot if it is still current, so that the run published none.
	Standing *int64 `json:"standing,omitempty"`
}

// BatchSummary is one batch that the run published.
type BatchSummary struct {
	Stream   string           `json:"stream"`
	Batch    int64            `json:"batch"`
	Kind     string           `json:"kind"`
	Events   int64            `json:"events"`
	ByType   map[string]int64 `json:"by_type"` // the events, by event type
	Parts    int              `json:"parts"`
	Bytes    int64            `json:"bytes"`
	WindowTo time.Time        `json:"window_to"` // all that was committed before this time is published
	Resumed  bool             `json:"resumed"`   // planned by an earlier run that did not finish
	Duration humanize.Seconds `json:"duration_seconds"`
}

// Run publishes everything from the last batch to now and returns. If another exporter of this
// database is running it does nothing.
func (e *Exporter) Run(ctx context.Context) (Summary, error) {
	summary, err := e.locked(ctx, 0, (*session).poll)
	if errors.Is(err, plan.ErrRunning) {
		summary.Running, err = true, nil
	}
	return summary, err
}

// Snapshot is Run followed by a batch that holds every patient's current state, which is then read
// back. It waits for another exporter, and fails if that does not finish in time, as do the methods below.
func (e *Exporter) Snapshot(ctx context.Context) (Summary, error) {
	return e.locked(ctx, e.config.Wait, (*session).snapshot)
}

// SnapshotIfChanged is Snapshot, or only Run if no event has followed the newest snapshot and that
// is whole. So a schedule may ask for snapshots as often as it likes.
func (e *Exporter) SnapshotIfChanged(ctx context.Context) (Summary, error) {
	return e.locked(ctx, e.config.Wait, (*session).snapshotIfChanged)
}

// NewGeneration continues a log after the producer's database was rolled back, restored elsewhere
// or replaced: the log's next batch is a snapshot of this database under the next generation, and
// consumers take it as the truth. It first reads the erasures and the numbers of deaths from the
// batches that this database doesn't know, except from those in without.
func (e *Exporter) NewGeneration(ctx context.Context, without ...int64) (Summary, error) {
	return e.locked(ctx, e.config.Wait, func(s *session, ctx context.Context) error {
		return (&generation{session: s, without: without}).begin(ctx)
	})
}

// locked does the work under the exporter's lock. If another exporter still has the lock after that
// wait, the error wraps [plan.ErrRunning].
func (e *Exporter) locked(ctx context.Context, wait time.Duration, work func(*session, context.Context) error) (Summary, error) {
	s, err := e.connect(ctx, "export")
	if err != nil {
		return Summary{}, err
	}
	defer s.close()
	return s.do(ctx, wait, func(s *session, ctx context.Context) error {
		if err := work(s, ctx); err != nil {
			return err
		}
		return s.checkCaptured(ctx)
	})
}

// do does the work under the exporter's lock, which the connection keeps.
func (s *session) do(ctx context.Context, wait time.Duration, work func(*session, context.Context) error) (Summary, error) {
	if err := s.lock(ctx, wait); err != nil {
		return Summary{}, err
	}
	err := work(s, ctx)
	if fault.ClassOf(err) == fault.Poison {
		err = cmp.Or(s.db.ConfirmLocks(ctx), err)
	}
	return s.summary, err
}
