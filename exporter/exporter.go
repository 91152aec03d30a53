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
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Config says whose outbox is exported, where to, and in what portions.
type Config struct {
	DatabaseURL string            // the patients service's database
	Contract    *schemas.Contract // of the stream that is published; nil: the newest
	Streams     []string          // all that this database publishes; nil: that one
	Store       exchange.Store    // rooted at the stream's folder
	Spool       string            // where to make a private folder for parts being written

	// Heartbeat is how long the log may be silent: an empty batch is published after it.
	// Consumers read the figure and report the log as late. At least a second.
	Heartbeat time.Duration
	// BatchEvents bounds a batch where a back-log allows: more waiting events than this are
	// cut into several batches, never inside a transaction.
	BatchEvents int
	// PartRows bounds the rows of one part.
	PartRows int

	// Delete, if set, is how [Exporter.Prune] deletes files.
	Delete exchange.Deleter

	Release string // the version of this software, for manifests
	Log     *slog.Logger
	// Progress, if set, is called with how many of the waiting events have been written.
	Progress func(done, total int64)
	// Published, if set, is called with each batch that was published.
	Published func(BatchSummary)
}

// DefaultHeartbeat is that of a configuration that names none.
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
	c.Release = cmp.Or(c.Release, "devel")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
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
	reader   *exchange.Reader
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
		reader:   exchange.NewReader(config.Store),
		writer:   exchange.NewWriter(config.Store),
	}, nil
}

// Summary is what one run did.
type Summary struct {
	Batches []BatchSummary `json:"batches"`
	Running bool           `json:"running"` // another exporter is running; this run did nothing
	// Standing is the snapshot that still holds, so that none was published.
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
	WindowTo time.Time        `json:"window_to"` // what was committed before then is out
	Resumed  bool             `json:"resumed"`   // planned by an earlier run that did not finish
	Duration time.Duration    `json:"duration_ns"`
}

// Run publishes everything from the last batch to now and returns. If another exporter of this
// database is running it does nothing.
func (e *Exporter) Run(ctx context.Context) (Summary, error) {
	summary, err := e.locked(ctx, (*session).catchUp)
	if errors.Is(err, plan.ErrRunning) {
		summary.Running, err = true, nil
	}
	return summary, err
}

// Snapshot is Run followed by a batch that holds every patient's current state, which is then read
// back. It fails if another exporter is running, as do the methods below.
func (e *Exporter) Snapshot(ctx context.Context) (Summary, error) {
	return e.locked(ctx, (*session).snapshot)
}

// SnapshotIfChanged is Snapshot, but where nothing has happened since the newest one, and that is
// whole, it is Run alone: so a schedule may ask for snapshots as often as it likes.
func (e *Exporter) SnapshotIfChanged(ctx context.Context) (Summary, error) {
	return e.locked(ctx, (*session).snapshotIfChanged)
}

// NewGeneration continues a log after the producer's database was rolled back, restored
// elsewhere or replaced: the log's next batch is a snapshot of this database under the next
// generation, and consumers take it as the truth. Of the batches that this database doesn't know it
// reads the erasures and the numbers of deaths first, save those that the caller has to do without.
func (e *Exporter) NewGeneration(ctx context.Context, without ...int64) (Summary, error) {
	return e.locked(ctx, func(s *session, ctx context.Context) error {
		return (&generation{session: s, without: without}).begin(ctx)
	})
}

// locked does the work under the exporter's lock, or returns an error that wraps [plan.ErrRunning].
func (e *Exporter) locked(ctx context.Context, work func(*session, context.Context) error) (Summary, error) {
	s, err := e.connect(ctx, "export")
	if err != nil {
		return Summary{}, err
	}
	defer s.close()
	if err := s.lock(ctx); err != nil {
		return Summary{}, err
	}
	if err = work(s, ctx); err == nil {
		err = s.checkCaptured(ctx)
	}
	if fault.ClassOf(err) == fault.Poison {
		err = cmp.Or(s.db.ConfirmLocks(ctx), err)
	}
	return s.summary, err
}
