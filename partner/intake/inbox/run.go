package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/progress"
	"waybill/partner/envelope"
	"waybill/partner/format/record"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// run looks into the folder once and takes in what is ready.
type run struct {
	*session
	db      beginner
	dry     bool // db is a transaction that will be rolled back
	summary *Summary
	state   register.Partner
	keys    *envelope.Keys // that open the partner's files
	now     time.Time      // by the database's clock, at the beginning

	elsewhere map[string]string // the present names of files that were moved away and must be read again
	trouble   error             // why something could not be moved or answered
	unread    error             // why the first file that could not be read was set aside
	failures  int               // files in a row that could not be read for a passing reason
	held      *heldError        // the first file that the brake holds
	tally     map[string]int64  // effects of the run's files, for the brake
}

func (r *run) numbers() numbering { return numbering{r.state, r.Settings} }

func (r *run) mover() mover { return mover{r.Folder, r.Settings} }

// takeFolder takes the folder's files that are ready.
func (r *run) takeFolder(ctx context.Context) error {
	files, err := r.survey(ctx)
	if err != nil {
		return err
	}
	if !r.dry {
		if err := register.Polled(ctx, r.conn, r.Partner, files); err != nil {
			return r.failed(err)
		}
	}
	err = r.takeAll(ctx, files)
	r.summary.Waiting = r.waiting(files)
	return errors.Join(err, r.verdict(), r.trouble, r.unread)
}

// survey judges the folder. It adds the files that a person wants read again and that are no longer in the folder.
func (r *run) survey(ctx context.Context) (files []drop.File, err error) {
	if r.keys, err = r.Settings.Open.Read(); err != nil {
		return nil, err
	}
	found, err := r.Folder.Survey(ctx, r.Settings.Folder)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil, fault.New(fault.Usage, "list", r.Settings.Folder, err, "correct `folder` in the partner's file, or have the folder made")
	}
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].Name = record.NameText(found[i].Name) // a changed name is never sent to a store
	}
	r.now = r.state.Now
	past := drop.Past{Now: r.now}
	past.Next, past.Numbered = r.numbers().next()
	if past.Seen, err = register.Seen(ctx, r.db, r.Partner); err != nil {
		return nil, r.failed(err)
	}
	if past.Decided, err = register.Decided(ctx, r.db, r.Partner, found); err != nil {
		return nil, r.failed(err)
	}
	again, err := r.wantedAgain(ctx, found)
	return append(again, r.Settings.rules.Look(found, past)...), err
}

// wantedAgain returns the files that a person wants read again and that have been moved away.
func (r *run) wantedAgain(ctx context.Context, found []exchange.Found) (files []drop.File, err error) {
	r.elsewhere = map[string]string{}
	wanted, err := register.Again(ctx, r.db, r.Partner)
	if err != nil {
		return nil, r.failed(err)
	}
	for _, f := range wanted {
		if f.MovesTo == nil || *f.MovesTo == "" || slices.ContainsFunc(found, func(x exchange.Found) bool { return x.Name == f.Name }) {
			continue
		}
		target := path.Join(*f.MovesTo, f.Name)
		at, err := r.mover().find(ctx, f, target, target+suffix(f))
		if err != nil {
			return nil, err
		}
		if at != "" {
			r.elsewhere[f.Name] = at
			files = append(files, drop.File{
				Found: exchange.Found{Name: f.Name, Size: f.Bytes, Modified: f.Modified}, State: drop.Due, Number: -1, Ordinal: f.Ordinal,
			})
		}
	}
	return files, nil
}

// path returns a file's name on the store.
func (r *run) path(name string) string {
	return cmp.Or(r.elsewhere[name], path.Join(r.Settings.Folder, name))
}

// takeAll takes the files that are ready, in their order. If a missing number stops the files after it, so does a
// file that could not be taken.
func (r *run) takeAll(ctx context.Context, files []drop.File) error {
	for i := range files {
		f := &files[i]
		if f.State != drop.Due {
			continue
		}
		progress.Say(ctx, "files", int64(i), int64(len(files)))
		result, err := r.takeFile(ctx, f)
		if err != nil {
			return err
		}
		why := "was refused"
		switch {
		case result != nil:
			r.summary.Files = append(r.summary.Files, *result)
			r.log(*result)
			r.finish(ctx)
		case f.State == drop.Held:
			why = "is held"
		default:
			why = "is there and not ready"
		}
		next, known := r.numbers().next()
		holds := r.Settings.rules.Hold || result == nil && f.State != drop.Unusable
		if stuck := f.Ordinal >= 0 && (!known || f.Ordinal >= next); stuck && holds {
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

// log reports a file's outcome: names and counts.
func (r *run) log(f FileResult) {
	if r.dry { // nothing was decided; the command prints what would be
		return
	}
	log := r.Log.With("file", f.Name, "status", f.Status, "records", f.Counts.Records, "quarantined", f.Counts.Quarantined)
	if f.Status == register.Taken && f.Counts.Quarantined == 0 && len(f.Warnings) == 0 {
		log.Info("file decided")
		return
	}
	for _, w := range f.Warnings {
		log.Warn(w)
	}
	log.Warn("file decided", "reason", f.Reason)
}

// finish writes the replies to decided files, and then moves or deletes the files. If that fails, other files are
// still taken. The run ends with the error, and a later run tries again.
func (r *run) finish(ctx context.Context) {
	if r.dry || r.trouble != nil {
		return
	}
	r.trouble = replies{r.session}.writeAll(ctx)
	if r.trouble == nil {
		r.trouble = r.clear(ctx)
	}
	if r.trouble != nil {
		r.Log.Warn("done files can't be answered or moved", "reason", r.trouble.Error())
	}
}

// clear moves or deletes the files that were decided.
func (r *run) clear(ctx context.Context) error {
	files, err := register.Unmoved(ctx, r.conn, r.Partner)
	if err != nil {
		return r.failed(err)
	}
	for _, f := range files {
		if err := r.mover().clear(ctx, f); err != nil {
			return err
		}
		if err := register.Moved(ctx, r.conn, f.ID); err != nil {
			return r.failed(err)
		}
	}
	return nil
}

// waiting lists the partner's files that were not taken.
func (r *run) waiting(files []drop.File) (list []Waiting) {
	for _, f := range files {
		switch f.State {
		case drop.Due, drop.Waiting, drop.Held, drop.Orphan, drop.Unusable:
			if slices.ContainsFunc(r.summary.Files, func(done FileResult) bool { return done.Name == f.Name }) {
				continue
			}
			list = append(list, Waiting{
				Name: f.Name, State: string(f.State), Why: f.Why, Since: f.Sighting.First,
				Late: !f.Sighting.First.IsZero() && r.now.Sub(f.Sighting.First) >= time.Duration(r.Settings.Grace),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b Waiting) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// verdict returns the error of a run that did all it could.
func (r *run) verdict() error {
	for _, f := range r.summary.Files {
		if f.Status == register.Refused {
			return fault.New(fault.Poison, "take in", f.Name, errors.New(f.Reason), RefusedHint(r.Partner))
		}
	}
	if r.held != nil {
		return r.held.fault(r.Partner)
	}
	for _, w := range r.summary.Waiting {
		if w.Late {
			return fault.New(fault.NotYet, "take in", Printable(w.Name), fmt.Errorf("%s since %s: %s", w.State, w.Since.UTC().Format(time.RFC3339), w.Why),
				"ask the partner; `waybill partner check "+r.Partner+"` shows the whole folder")
		}
	}
	last, silence := r.state.TakenAt, time.Duration(r.Settings.Silence)
	if len(r.summary.Files) == 0 && silence > 0 && last != nil && r.now.Sub(*last) >= silence {
		return fault.New(fault.NotYet, "take in", r.Partner, fmt.Errorf("no file since %s", last.UTC().Format(time.RFC3339)), "ask the partner whether sending has stopped")
	}
	return nil
}
