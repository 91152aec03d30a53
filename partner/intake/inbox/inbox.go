// Package inbox takes in the files that a partner leaves in a folder. It takes each file in one transaction,
// together with the file's entry in the register. Only after the commit are files moved, deleted or answered. The
// next run finishes what was interrupted.
package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/humanize"
	"waybill/partner/intake/register"
)

// Folder is the partner's store. Files are moved and deleted only if the settings say so.
type Folder interface {
	exchange.Getter
	exchange.Putter
	exchange.Deleter
	exchange.Surveyor
	exchange.Mover
}

// Config says whose files are taken in, from where to where.
type Config struct {
	Partner     string
	Settings    *Settings // checked
	DatabaseURL string    // of the service that the records go to
	Folder      Folder
	Spool       string // folder for files being read
	Log         *slog.Logger
}

// Inbox takes in one partner's files. Each call has a session of its own.
type Inbox struct{ Config }

// New returns the inbox of a partner. It connects to nothing.
func New(c Config) *Inbox {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return &Inbox{c}
}

// Summary is what a run did.
type Summary struct {
	Partner string       `json:"partner"`
	Running bool         `json:"running,omitempty"` // another run has the partner's lock
	DryRun  bool         `json:"dry_run,omitempty"`
	Files   []FileResult `json:"files"`
	Waiting []Waiting    `json:"waiting,omitempty"`
}

// FileResult is the outcome of one file.
type FileResult struct {
	Name     string           `json:"name"`
	Status   string           `json:"status"` // taken, skipped or refused
	Reason   string           `json:"reason,omitempty"`
	Counts   register.Counts  `json:"counts"`
	Effects  map[string]int64 `json:"effects,omitempty"` // that the brake counts
	Warnings []string         `json:"warnings,omitempty"`
	Duration humanize.Seconds `json:"duration_seconds"`
	Records  []RecordResult   `json:"records,omitempty"` // of a dry run

	bad []bad // for the report
}

// Waiting is a file of the folder that was not taken.
type Waiting struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Late  bool      `json:"late,omitempty"` // for longer than the grace
}

// Run takes in every file that is ready. Its error is of class [fault.Poison] if a file was refused, [fault.Held]
// if the brake holds one, and [fault.NotYet] if one has been waiting for too long.
func (in *Inbox) Run(ctx context.Context) (Summary, error) {
	return in.summarize(ctx, Summary{}, func(s *session, summary *Summary) error {
		r := &run{session: s, db: s.conn, summary: summary, tally: map[string]int64{}}
		r.finish(ctx)
		var err error
		if r.state, err = register.Open(ctx, r.db, r.Partner); err != nil {
			return r.failed(err)
		}
		return r.takeFolder(ctx)
	})
}

// Try does what [Inbox.Run] would do, record by record, in a transaction that it rolls back. It changes nothing on
// the store. path names a local file to try instead of the folder's files; "" means the folder.
func (in *Inbox) Try(ctx context.Context, path string) (Summary, error) {
	return in.summarize(ctx, Summary{DryRun: true}, func(s *session, summary *Summary) error {
		tx, err := s.conn.Begin(ctx)
		if err != nil {
			return s.failed(err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		r := &run{session: s, db: tx, dry: true, summary: summary, tally: map[string]int64{}}
		if r.state, err = register.Open(ctx, r.db, r.Partner); err != nil {
			return r.failed(err)
		}
		if path != "" {
			return r.tryFile(ctx, path)
		}
		return r.takeFolder(ctx)
	})
}

// summarize calls do, unless another session has the partner's lock.
func (in *Inbox) summarize(ctx context.Context, s Summary, do func(*session, *Summary) error) (Summary, error) {
	s.Partner, s.Files = in.Partner, []FileResult{}
	err := in.locked(ctx, func(on *session) error { return do(on, &s) })
	if s.Running = errors.Is(err, errRunning); s.Running {
		err = nil
	}
	return s, err
}

// RefusedHint says what to do about a partner's file that was refused.
func RefusedHint(partner string) string {
	return "`waybill quarantine list " + partner + "` has the reasons; have the partner send a corrected file, or correct the partner's file here and release it"
}

// Printable quotes a name that the exchange would not allow: it may hold control characters.
func Printable(name string) string {
	if exchange.CheckName(name) != nil {
		return fmt.Sprintf("%.200q", name)
	}
	return name
}

// Line names a line, and the file of the container that has it.
func Line(member string, line int64) string {
	if member == "" {
		return fmt.Sprint(line)
	}
	return fmt.Sprintf("%s:%d", Printable(member), line)
}

// beginner begins transactions: it is a connection, or the transaction of a dry run.
type beginner interface {
	register.DB
	Begin(ctx context.Context) (pgx.Tx, error)
}
