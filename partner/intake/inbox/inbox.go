// Package inbox takes in the files that a partner leaves in a folder: each in one transaction with
// the entry in the register that says so, and nothing is moved, deleted or answered before that is
// committed. Whatever is interrupted is finished by the next run.
package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/internal/spool"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// Surveyor lists what is in a folder, with sizes.
type Surveyor interface {
	Survey(ctx context.Context, folder string) ([]exchange.Found, error)
}

// Mover gives a file another name, which must be free, in a folder that it makes.
type Mover interface {
	Move(ctx context.Context, from, to string) error
}

// Folder is the partner's store. Moving and deleting are asked for only where the settings say so.
type Folder interface {
	exchange.Getter
	exchange.Putter
	exchange.Deleter
	Surveyor
	Mover
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

// Inbox takes in one partner's files.
type Inbox struct {
	Config
	conn  *pgx.Conn
	waits *connect.Waits
	trial pgx.Tx // of a dry run, which ends with it
	spool *spool.Folder
	now   time.Time // by the database's clock, at the beginning
	state register.Partner

	elsewhere map[string]string // where files are that have left the folder and are read again
	trouble   error             // why something could not be moved or answered
	held      *heldError        // the first file that the brake holds
}

// db is where transactions begin.
func (in *Inbox) db() interface {
	register.DB
	Begin(ctx context.Context) (pgx.Tx, error)
} {
	if in.trial != nil {
		return in.trial
	}
	return in.conn
}

// New returns the inbox of a partner. It connects to nothing.
func New(c Config) *Inbox {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Inbox{Config: c}
}

// Summary is what a run did.
type Summary struct {
	Partner string       `json:"partner"`
	Running bool         `json:"running,omitempty"` // another run was at work
	DryRun  bool         `json:"dry_run,omitempty"`
	Files   []FileResult `json:"files"`
	Waiting []Waiting    `json:"waiting,omitempty"`
}

// FileResult is what became of one file.
type FileResult struct {
	Name     string           `json:"name"`
	Status   string           `json:"status"` // taken, skipped or refused
	Reason   string           `json:"reason,omitempty"`
	Counts   register.Counts  `json:"counts"`
	Effects  map[string]int64 `json:"effects,omitempty"` // that the brake counts
	Warnings []string         `json:"warnings,omitempty"`
	Duration time.Duration    `json:"duration_ns"`
	Records  []RecordResult   `json:"records,omitempty"` // of a dry run

	bad []bad // for the report
}

// Waiting is a file that is there and was not taken.
type Waiting struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Late  bool      `json:"late,omitempty"` // for longer than the grace
}

// Run takes in every file that is ready. Beside what is an error at any time, that a file was
// refused is one of class [fault.Poison], and that one has been waiting for too long [fault.NotYet].
func (in *Inbox) Run(ctx context.Context) (s Summary, err error) {
	s = Summary{Partner: in.Partner, Files: []FileResult{}}
	done, err := in.open(ctx)
	if err != nil {
		return s, err
	}
	defer done()
	locked, err := register.Lock(ctx, in.conn, in.Partner)
	if err != nil || !locked {
		s.Running = !locked && err == nil
		return s, in.failed(err)
	}
	in.finish(ctx)
	if in.state, err = register.Open(ctx, in.conn, in.Partner); err != nil {
		return s, in.failed(err)
	}
	before := in.state
	files, err := in.look(ctx)
	if err != nil {
		return s, err
	}
	if err := register.Polled(ctx, in.conn, in.Partner, files); err != nil {
		return s, in.failed(err)
	}
	err = in.takeAll(ctx, files, &s)
	s.Waiting = in.waiting(files, s.Files)
	return s, errors.Join(err, in.verdict(s, before), in.trouble)
}

// open connects, and makes the folder for files being read.
func (in *Inbox) open(ctx context.Context) (done func(), err error) {
	in.trouble, in.held = nil, nil
	if in.spool, err = spool.Open(in.Spool, "intake-"+in.Partner); err != nil {
		return nil, err
	}
	in.conn, err = migrate.Connect(ctx, in.DatabaseURL, in.Partner, map[string]string{"application_name": "waybill intake " + in.Partner}, register.CheckTables)
	if err == nil {
		in.waits, err = connect.LimitWaits(ctx, in.DatabaseURL, in.conn, connect.DefaultLockWait)
	}
	if err != nil {
		in.spool.Close()
		return nil, err
	}
	return func() {
		in.waits.End()
		// The end of the session would do too, a moment later than the next command may come.
		_ = register.Unlock(context.WithoutCancel(ctx), in.conn)
		_ = in.conn.Close(context.WithoutCancel(ctx))
		in.spool.Close()
	}, nil
}

func (in *Inbox) failed(err error) error {
	return in.waits.Explain(fault.Database("take in", in.Partner, err))
}

// look judges the folder, and what a person wants read again that is no longer in it.
func (in *Inbox) look(ctx context.Context) ([]drop.File, error) {
	found, err := in.Folder.Survey(ctx, in.Settings.Folder)
	if err != nil {
		return nil, in.unlisted(err)
	}
	in.now = in.state.Now
	past := drop.Past{Now: in.now}
	past.Next, past.Numbered = in.next()
	if past.Seen, err = register.Seen(ctx, in.db(), in.Partner); err != nil {
		return nil, in.failed(err)
	}
	if past.Decided, err = register.Decided(ctx, in.db(), in.Partner, found); err != nil {
		return nil, in.failed(err)
	}
	files := in.Settings.rules.Look(found, past)
	again, err := in.again(ctx, found)
	return append(again, files...), err
}

func (in *Inbox) unlisted(err error) error {
	if errors.Is(err, exchange.ErrNotFound) {
		return fault.New(fault.Usage, "list", in.Settings.Folder, err, "correct `folder` in the partner's file, or have the folder made")
	}
	return err
}

// path returns a file's name on the store.
func (in *Inbox) path(name string) string {
	if at, moved := in.elsewhere[name]; moved {
		return at
	}
	return path.Join(in.Settings.Folder, name)
}

// takeAll takes the files that are ready, in their order. Where numbers hold each other up, one that
// could not be taken stops those behind it.
func (in *Inbox) takeAll(ctx context.Context, files []drop.File, s *Summary) error {
	for i := range files {
		f := &files[i]
		if f.State != drop.Due {
			continue
		}
		result, err := in.take(ctx, f)
		if err != nil {
			return err
		}
		why := "was refused"
		if result == nil { // it was not ready after all
			why = "is there and not ready"
			if f.State == drop.Held {
				why = "is held"
			}
		} else {
			s.Files = append(s.Files, *result)
			in.tell(*result)
			in.finish(ctx)
		}
		next, known := in.next()
		if stuck := f.Ordinal >= 0 && (!known || f.Ordinal >= next); stuck && (result == nil || in.Settings.rules.Hold) {
			holdBehind(files[i+1:], f.Number, why)
		}
	}
	return nil
}

func holdBehind(files []drop.File, number int64, why string) {
	for i := range files {
		if files[i].State == drop.Due {
			files[i].State, files[i].Why = drop.Held, fmt.Sprintf("number %d %s", number, why)
		}
	}
}

// tell logs what became of a file: names and counts.
func (in *Inbox) tell(r FileResult) {
	log := in.Log.With("file", r.Name, "status", r.Status, "records", r.Counts.Records, "quarantined", r.Counts.Quarantined)
	if r.Status == register.Taken && r.Counts.Quarantined == 0 && len(r.Warnings) == 0 {
		log.Info("file decided")
		return
	}
	for _, w := range r.Warnings {
		log.Warn(w)
	}
	log.Warn("file decided", "reason", r.Reason)
}

// waiting tells of the files that are the partner's and were not taken.
func (in *Inbox) waiting(files []drop.File, decided []FileResult) (list []Waiting) {
	done := map[string]bool{}
	for _, r := range decided {
		done[r.Name] = true
	}
	for _, f := range files {
		switch f.State {
		case drop.Due, drop.Waiting, drop.Held, drop.Orphan, drop.Unusable:
			if done[f.Name] {
				continue
			}
			list = append(list, Waiting{
				Name: f.Name, State: string(f.State), Why: f.Why, Since: f.Sighting.First,
				Late: !f.Sighting.First.IsZero() && in.now.Sub(f.Sighting.First) >= time.Duration(in.Settings.Grace),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b Waiting) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// verdict is the error that a run ends with, though it did all it could.
func (in *Inbox) verdict(s Summary, before register.Partner) error {
	for _, f := range s.Files {
		if f.Status == register.Refused {
			return fault.New(fault.Poison, "take in", f.Name, errors.New(f.Reason), RefusedHint(in.Partner))
		}
	}
	if in.held != nil {
		return in.held.fault(in.Partner)
	}
	for _, w := range s.Waiting {
		if w.Late {
			return fault.New(fault.NotYet, "take in", printable(w.Name), fmt.Errorf("%s since %s: %s", w.State, w.Since.UTC().Format(time.RFC3339), w.Why),
				"ask the partner; `waybill partner check "+in.Partner+"` shows the whole folder")
		}
	}
	silence := time.Duration(in.Settings.Silence)
	if len(s.Files) == 0 && silence > 0 && before.TakenAt != nil && in.now.Sub(*before.TakenAt) >= silence {
		return fault.New(fault.NotYet, "take in", in.Partner, fmt.Errorf("no file since %s", before.TakenAt.UTC().Format(time.RFC3339)), "ask the partner whether his sending stands still")
	}
	return nil
}

// RefusedHint says what to do about a partner's file that was refused.
func RefusedHint(partner string) string {
	return "`waybill quarantine list " + partner + "` has the reasons; have the partner send a corrected file, or correct the partner's file here and release it"
}

// printable quotes a name that is not one of an exchange.
func printable(name string) string {
	if exchange.CheckName(name) != nil {
		return fmt.Sprintf("%.200q", name)
	}
	return name
}
