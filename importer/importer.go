// Package importer follows a log and loads its batches into one consumer's database.
//
// The consumer's database is authoritative for how far the consumer is: rows, effects, ledger
// and checkpoint move in one transaction, so after a crash anywhere the next run continues.
// Times of notice are that database's clock. The algorithm and its crash table are in
// docs/import.md.
package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/schemas"
)

// Store is what an importer needs of a store: to read, and to publish receipts.
type Store interface {
	exchange.Getter
	exchange.Lister
	exchange.Publisher
}

// Unlimited is the ActWithin with which every death has effects, however old.
const Unlimited time.Duration = -1

// DefaultGrace is the grace time if the configuration names none.
const DefaultGrace = 30 * time.Minute

// Config says which consumer follows which log into which database, and within what bounds.
type Config struct {
	DatabaseURL string
	Store       Store // rooted at the stream's folder
	// Delete, if set, is how an importer deletes its previous receipt.
	Delete   exchange.Deleter
	Consumer *Consumer
	Instance string // distinguishes this installation from others of the same consumer: "east"
	Spool    string // where to make a private folder for parts

	Trust *trust.Policy // whose manifests and floors count
	Sign  trust.Signers // who signs receipts
	Open  seal.Opening  // what opens parts

	// Grace is how long a batch may be incomplete on the store before it is poison, and how
	// long beyond the producer's heartbeat the log may be silent before it is late.
	Grace time.Duration
	// LateAfter bounds the heartbeat that a manifest may announce: a forged long one would hide that
	// the log is late.
	LateAfter time.Duration
	// Lease is how long an importer may be silent before another takes its place.
	Lease time.Duration
	// LockWait is how long a transaction may wait for locks that others hold, and how long others may
	// wait for such a transaction. Then it is rolled back, and the run fails as transient.
	LockWait time.Duration
	// ActWithin bounds the age of a death, unless a batch reports that a known patient has died: older
	// deaths are historic and have no effects. Zero is the default; see [Unlimited].
	ActWithin time.Duration
	// Brake is the number of effects of one kind that a run may have; beyond it the batch is
	// held. Zero: no brake.
	Brake int
	// Observe computes and records effects and applies none.
	Observe bool
	// QuarantineRows is how many bad rows of a batch may be set aside before it is poison.
	QuarantineRows int
	// MaxPartBytes refuses parts that claim to be larger.
	MaxPartBytes int64

	// Zone is the site's time zone, for apply.sql.
	Zone *time.Location
	// Now is the clock; nil means the database's.
	Now     func() time.Time
	Log     *slog.Logger
	Release string // the version of this software, for receipts
	// Loaded, if set, is called after each batch whose load was committed: not in a dry run.
	Loaded func(BatchSummary)
}

// WithDefaults fills what was left zero.
func (c Config) WithDefaults() Config {
	c.Instance = cmp.Or(c.Instance, "main")
	c.Grace = cmp.Or(c.Grace, DefaultGrace)
	c.LateAfter = cmp.Or(c.LateAfter, 24*time.Hour)
	c.Lease = cmp.Or(c.Lease, 2*time.Minute)
	c.LockWait = cmp.Or(c.LockWait, connect.DefaultLockWait)
	c.ActWithin = cmp.Or(c.ActWithin, 30*24*time.Hour)
	c.MaxPartBytes = cmp.Or(c.MaxPartBytes, 1<<30)
	c.Zone = cmp.Or(c.Zone, time.UTC)
	c.Release = cmp.Or(c.Release, "devel")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Loaded == nil {
		c.Loaded = func(BatchSummary) {}
	}
	return c
}

var instancePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,40}$`)

func (c Config) validate() error {
	var problem string
	switch {
	case !instancePattern.MatchString(c.Instance):
		problem = fmt.Sprintf("instance %q: use lower-case letters, digits and hyphens", c.Instance)
	case c.Grace < 0 || c.Lease < time.Second:
		problem = "grace is negative, or lease under a second"
	case c.LockWait < time.Millisecond:
		problem = "lock wait under a millisecond"
	case c.Brake < 0 || c.QuarantineRows < 0:
		problem = "brake or quarantine is negative"
	default:
		return nil
	}
	return fault.New(fault.Usage, "import", "configuration", errors.New(problem), "")
}

// Importer loads one consumer's batches.
type Importer struct {
	config   Config
	consumer *Consumer
	contract *schemas.Contract
	reader   *exchange.Parts
	sql      statements
}

// New checks the configuration; it does no I/O.
func New(config Config) (*Importer, error) {
	config = config.WithDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Importer{
		config: config, consumer: config.Consumer, contract: config.Consumer.Contract(),
		reader: exchange.NewReader(config.Store).Trusting(config.Trust).Opening(config.Open.Keys),
		sql:    statementsFor(config.Consumer),
	}, nil
}

// Options are a person's wishes for one run.
type Options struct {
	// DryRun does everything and rolls it back. It holds its locks until the end.
	DryRun bool
	// Approve lets the held batch of that number be applied.
	Approve *Decision
	// Pass leaves a poison batch behind, if a later batch of the verified chain covers it.
	Pass *Decision
	// FromSnapshot resumes at that snapshot, if the next batch is gone for good.
	FromSnapshot *Decision
	// Resync makes the states equal to that snapshot, at any position of the consumer, and loads nothing
	// else. The brake bounds it. As with a re-run, nothing can be approved.
	Resync *Decision
}

// Decides reports whether they have a person's decision.
func (o Options) Decides() bool {
	return o.Approve != nil || o.Pass != nil || o.FromSnapshot != nil || o.Resync != nil
}

// Decision is a person's decision on one batch.
type Decision struct {
	Batch  int64
	Seen   string // the beginning of the hash of the manifest that they looked at; "": the manifest that the last run named
	Reason string
	Person string
}

// Summary is what one run did.
type Summary struct {
	Consumer string         `json:"consumer"`
	From     int64          `json:"from"` // the checkpoint before the run
	To       int64          `json:"to"`   // and after it
	Batches  []BatchSummary `json:"batches"`
	Running  bool           `json:"running"` // another importer of this consumer is running; this run did nothing
	DryRun   bool           `json:"dry_run"`
	Observed bool           `json:"observed"`
	// ReceiptOwed is the reason why the receipt could not be written. The load stays committed; the
	// next run tries again.
	ReceiptOwed error `json:"-"`
}

// BatchSummary is one batch that the run loaded.
type BatchSummary struct {
	Batch    int64  `json:"batch"`
	Manifest string `json:"manifest"` // its hash
	Kind     string `json:"kind"`
	Rows     int64  `json:"rows"`    // events of the subscribed types
	Changed  int64  `json:"changed"` // patients whose projected state changed, new ones among them
	// Only for a re-run or dry run: how many of the changed patients were new, and how many patients
	// the batch left as they were. A consumer that appends counts events.
	Inserted    int64            `json:"inserted,omitempty"`
	Unchanged   int64            `json:"unchanged,omitempty"`
	Quarantined int64            `json:"quarantined"`
	Bytes       int64            `json:"bytes"` // of the parts that were fetched
	Effects     map[string]int64 `json:"effects"`
	WindowFrom  time.Time        `json:"window_from"`
	WindowTo    time.Time        `json:"window_to"` // the source's state up to this time is loaded
	Duration    humanize.Seconds `json:"duration_seconds"`
}

// Run loads everything from the checkpoint to now and returns. If another importer of this consumer
// is running, it does nothing; if it was to note a decision, it fails.
func (i *Importer) Run(ctx context.Context, options Options) (Summary, error) {
	a := access{dryRun: options.DryRun, tally: map[string]int64{}}
	summary, err := i.leased(ctx, a, func(s *session, ctx context.Context) error { return s.run(ctx, options) })
	if errors.Is(err, errRunning) && !options.Decides() {
		summary.Running, err = true, nil
	}
	return summary, err
}

func (s *session) run(ctx context.Context, options Options) error {
	if err := s.ruleOn(ctx, options); err != nil {
		return err
	}
	follow := s.follow
	if options.Resync != nil {
		follow = s.ruling("resync", "snapshot", options.Resync).resync
	}
	err := follow(ctx)
	if !options.DryRun {
		s.summary.ReceiptOwed = s.writeReceipt(ctx)
	}
	return err
}

// leased does the work under the consumer's lease. If another process has the lease, it returns errRunning.
func (i *Importer) leased(ctx context.Context, a access, work func(*session, context.Context) error) (Summary, error) {
	s, err := i.open(ctx, a)
	if errors.Is(err, errRunning) {
		err = fault.New(fault.Transient, "import", i.subject(), err, "run it again when that one is through")
	}
	if err != nil {
		return Summary{Consumer: i.consumer.Name}, err
	}
	defer s.close()
	return s.do(ctx, work)
}

// do does the work, and renews the lease meanwhile.
func (s *session) do(ctx context.Context, work func(*session, context.Context) error) (Summary, error) {
	held, cancel := s.lease.keep(ctx)
	defer cancel()
	err := s.waits.Explain(work(s, held))
	if cause := context.Cause(held); err != nil && cause != nil && ctx.Err() == nil {
		err = cause
	}
	s.summary.To = s.checkpoint.batch
	return s.summary, err
}
