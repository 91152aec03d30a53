// Package delivery turns the log into a partner's files: their layout, charset, naming and
// trigger-file convention are configuration.
//
// It is a consumer that fills a queue of rows, see [Files], and a writer that turns the queue into
// files. Each file's bytes are first planned in the delivering party's own database, then written. After
// a crash at any point the next run continues. The algorithm and its crash table are in docs/delivery.md.
package delivery

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner/format/charset"
)

//go:embed consumer.yaml apply.sql migrations/*.sql
var files embed.FS

// Files returns the consumer's folder: consumer.yaml, apply.sql and migrations/. Each partner has a
// consumer of its own, named by [Schema].
func Files() fs.FS { return files }

// Schema returns the name of a partner's consumer. The schema of its tables has the same name.
func Schema(partner string) string { return "delivery_" + partner }

// Store is what a delivery needs of the partner's folder.
type Store interface {
	exchange.Getter
	exchange.Publisher
	exchange.Deleter
}

// Config says what is delivered, to whom and where.
type Config struct {
	Partner     string
	DatabaseURL string    // of the delivering party
	Store       Store     // the partner's folder
	Settings    *Settings // checked
	Zone        *time.Location
	Log         *slog.Logger
	// Delivered, if set, is called for each file that was delivered.
	Delivered func(FileSummary)
}

// Delivery writes one partner's files.
type Delivery struct {
	config Config
	names  names
}

// New checks the configuration; it does no I/O.
func New(config Config) (*Delivery, error) {
	config.Log = cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	if config.Delivered == nil {
		config.Delivered = func(FileSummary) {}
	}
	config.Zone = cmp.Or(config.Zone, time.UTC)
	if config.Partner == "" || config.DatabaseURL == "" || config.Settings == nil {
		return nil, fault.New(fault.Usage, "deliver", "configuration", errors.New("partner, database or settings are missing"), "")
	}
	names, err := config.Settings.names()
	if err != nil {
		return nil, fault.New(fault.Usage, "deliver", config.Partner, err, "")
	}
	return &Delivery{config: config, names: names}, nil
}

// Summary is what one run did.
type Summary struct {
	Partner string        `json:"partner"`
	Files   []FileSummary `json:"files"`
	Waiting int64         `json:"waiting"` // events for the partner that are in no file yet
	Running bool          `json:"running"` // another run is running; this one did nothing
	DryRun  bool          `json:"dry_run"`
}

// FileSummary is one file.
type FileSummary struct {
	Number int64  `json:"number"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Changes
	Resumed  bool             `json:"resumed"` // planned by an earlier run that did not finish
	Duration humanize.Seconds `json:"duration_seconds"`
}

// Changes count what a file does not hold as it was queued.
type Changes struct {
	Unsaid   int64 `json:"unsaid"`   // events that the format can't express
	Skipped  int64 `json:"skipped"`  // events that a person left out
	Restated int64 `json:"restated"` // events written with the personal data of the patient's newest event
	charset.Count
}

// Run writes everything that is queued, and returns. It does nothing while another run for this partner
// is running.
func (d *Delivery) Run(ctx context.Context) (Summary, error) {
	return d.locked(ctx, func(s *session) error {
		if err := errors.Join(s.begin(ctx), s.resume(ctx)); err != nil {
			return err
		}
		for {
			p, err := s.plan(ctx)
			if err != nil {
				return s.noteHeld(ctx, err)
			}
			if p == nil {
				return s.prune(ctx)
			}
			if err := s.insert(ctx, p); err != nil {
				return err
			}
			if err := s.finish(ctx, p); err != nil {
				return err
			}
		}
	})
}

// Preview calls show with the bytes of the next file and its trigger, without planning or writing them.
// A file that an earlier run planned is shown as it will be written.
func (d *Delivery) Preview(ctx context.Context, show func(name string, data []byte) error) (Summary, error) {
	summary, err := d.locked(ctx, func(s *session) error {
		p, err := s.unfinished(ctx)
		if err == nil && p == nil {
			p, err = s.plan(ctx)
		}
		if err != nil || p == nil {
			return err
		}
		s.summary.Files = append(s.summary.Files, p.summary())
		if err := show(p.name, p.content); err != nil || p.trigger == nil {
			return err
		}
		return show(*p.trigger, p.triggerText)
	})
	summary.DryRun = true
	return summary, err
}

// Skip leaves out events that keep the next file from being written. positions are those in the queue.
func (d *Delivery) Skip(ctx context.Context, positions []int64, reason, person string) error {
	summary, err := d.locked(ctx, func(s *session) error { return s.skip(ctx, positions, reason, person) })
	if summary.Running {
		err = fault.New(fault.Transient, "skip", "events for "+d.config.Partner, errRunning, "run it again when the other has ended")
	}
	return err
}

// Queued returns how many events for the partner the given batches have put into the queue.
func (d *Delivery) Queued(ctx context.Context, batches []int64) (n int64, err error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s := &session{Delivery: d, conn: conn}
	c, err := s.cursor(ctx)
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT count(*) FROM queue WHERE `+wanted+` AND batch = ANY ($5)`,
		append(s.arguments(span{to: endOfQueue, origin: c.origin}), batches)...).Scan(&n)
	return n, fault.Database("count", "queue", err)
}

// Resend writes a delivered file again: the same bytes under the same name. It fails if the bytes would
// differ, because the settings have changed or its rows were deleted from the queue.
func (d *Delivery) Resend(ctx context.Context, number int64) (Summary, error) {
	return d.locked(ctx, func(s *session) error {
		if err := s.resume(ctx); err != nil {
			return err
		}
		return s.resend(ctx, number)
	})
}
