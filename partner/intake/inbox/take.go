package inbox

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/crashpoint"
	"waybill/internal/humanize"
	"waybill/partner/format/record"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// Reasons that need no record.
const (
	emptyFile = "the file is empty"
	tooLarge  = "the file is larger than max_mib allows"
)

// refusal is why a whole file is not taken in. Then none of its records counts.
type refusal struct {
	reason string
	bad    []bad // the records that are the reason
	counts register.Counts
}

func (r *refusal) Error() string { return r.reason }

// asRefusal treats a malformed file as refused, too.
func asRefusal(err error) (*refusal, bool) {
	if m, ok := errors.AsType[*record.Malformed](err); ok {
		return &refusal{reason: m.Reason}, true
	}
	return errors.AsType[*refusal](err)
}

// takeFile decides one file. If it returns nil without an error, the file was not ready after all.
func (r *run) takeFile(ctx context.Context, f *drop.File) (*FileResult, error) {
	started := time.Now()
	got, err := r.fetch(ctx, f)
	if err != nil {
		return nil, r.wait(f, err)
	}
	defer got.close()
	r.failures = 0
	result, err := r.decideFile(ctx, f, got)
	if result != nil {
		result.Duration = humanize.Seconds(time.Since(started))
	}
	return result, err
}

// decideFile takes a file in, or enters why it does not. Either is one transaction. If it returns nil without an
// error, the brake holds the file.
func (r *run) decideFile(ctx context.Context, f *drop.File, got *fetched) (*FileResult, error) {
	entry := register.File{
		Name: f.Name, SHA256: got.sha256, Ordinal: f.Ordinal, Bytes: got.Size(), Modified: f.Modified, Companion: f.Companion,
	}
	result := &FileResult{}
	err := pgx.BeginFunc(ctx, r.db, func(tx pgx.Tx) error {
		*result = FileResult{Name: f.Name}
		return r.takeIn(ctx, tx, entry, got, result)
	})
	if held, is := errors.AsType[*heldError](err); is {
		f.State, f.Why, r.held = drop.Held, held.Error(), cmp.Or(r.held, held)
		return nil, r.failed(register.Hold(ctx, r.conn, r.Partner, entry, held.effects))
	}
	if why, is := asRefusal(err); is {
		err = pgx.BeginFunc(ctx, r.db, func(tx pgx.Tx) error { return r.refuse(ctx, tx, entry, why, result) })
	}
	if err != nil {
		return nil, r.failed(err)
	}
	crashpoint.Here("intake.committed")
	if r.state, err = register.Read(ctx, r.db, r.Partner); err != nil {
		return nil, r.failed(err)
	}
	return result, nil
}

// takeIn takes the records of a file and enters it, unless the same file was decided before. It refuses tables that
// were migrated during the run.
func (r *run) takeIn(ctx context.Context, tx pgx.Tx, entry register.File, got *fetched, result *FileResult) error {
	if err := register.CheckTables(ctx, tx); err != nil {
		return err
	}
	before, err := r.before(ctx, tx, entry)
	if err != nil {
		return err
	}
	result.Status, result.Reason = before.status, before.reason
	if before.known != nil {
		return register.Resent(ctx, tx, r.Partner, before.known.ID, entry)
	}
	entry.Status, entry.Reason, entry.MovesTo = before.status, before.reason, r.Settings.doneFolder()
	if before.status == register.Skipped {
		_, err := r.enter(ctx, tx, entry, result)
		return err
	}
	if err := r.open(got); err != nil {
		return err
	}
	if got.Size() == 0 && r.Settings.Empty == refuse {
		return &refusal{reason: emptyFile}
	}
	l := &loading{Config: r.Config, now: r.now, tx: tx, file: got, result: result, tally: r.tally, firsts: map[string]int64{}}
	if got.Size() > 0 {
		if r.dry {
			if l.trial, err = beginTrial(ctx, tx, result); err != nil {
				return err
			}
		}
		if err := l.load(ctx); err != nil {
			return err
		}
		if err := l.brake(ctx, entry); err != nil {
			return err
		}
	}
	result.bad, entry.Counts = l.bad, result.Counts
	id, err := r.enter(ctx, tx, entry, result)
	if err != nil {
		return err
	}
	return l.enterRecords(ctx, id)
}

// past is what the register says about a file that is in the folder now.
type past struct {
	status string // of the file; skipped if it is known
	reason string
	known  *register.File // the same file was decided
}

// before finds in the register whether a file is new, known, sent again, or a copy.
func (r *run) before(ctx context.Context, tx pgx.Tx, entry register.File) (past, error) {
	alike, err := register.Alike(ctx, tx, r.Partner, entry)
	if err != nil {
		return past{}, err
	}
	for _, a := range alike {
		if a.Name == entry.Name && a.SHA256 == entry.SHA256 && a.Ordinal == entry.Ordinal && !a.Again {
			reason := "the same file was taken before"
			if a.Status != register.Taken {
				reason = "the same file was " + a.Status + " before: " + a.Reason
			}
			return past{register.Skipped, reason, &a}, nil
		}
	}
	if why := r.sentAgain(alike, entry); why != "" && r.Settings.Resend == refuse {
		return past{}, &refusal{reason: why}
	}
	newest, err := register.Newest(ctx, tx, r.Partner)
	if err != nil {
		return past{}, err
	}
	for _, a := range alike {
		if a.SHA256 == entry.SHA256 && a.ID == newest {
			return past{status: register.Skipped, reason: "it has the bytes of " + a.Name + ", which was taken last"}, nil
		}
	}
	return past{status: register.Taken}, nil
}

// sentAgain says why a file is another version of one that was taken; "" if it is new.
func (r *run) sentAgain(alike []register.File, entry register.File) string {
	for _, a := range alike {
		switch {
		case a.Status == register.Refused || a.Ordinal != entry.Ordinal:
		case a.Name == entry.Name:
			return "a file of this name was taken before, with other bytes"
		case entry.Ordinal >= 0:
			return "its number was taken before, as " + a.Name
		}
	}
	if r.numbers().isPast(entry.Ordinal) {
		return "its number lies before those that were taken"
	}
	return ""
}

// enter decides a file, and enters it in the sequence and the replies.
func (r *run) enter(ctx context.Context, tx pgx.Tx, entry register.File, result *FileResult) (id int64, err error) {
	if id, err = register.Enter(ctx, tx, r.Partner, entry); err != nil {
		return 0, err
	}
	warning, err := r.numbers().enter(ctx, tx, r.Partner, entry)
	if err != nil {
		return 0, err
	}
	if warning != "" {
		result.Warnings = append(result.Warnings, warning)
	}
	if entry.Status != register.Refused {
		if err := register.SettleFile(ctx, tx, id, "waybill", "the file was taken"); err != nil {
			return 0, err
		}
		if err := register.Took(ctx, tx, r.Partner); err != nil {
			return 0, err
		}
	}
	return id, replies{r.session}.enter(ctx, tx, id, entry, result)
}

// refuse enters a file from which nothing was taken.
func (r *run) refuse(ctx context.Context, tx pgx.Tx, entry register.File, why *refusal, result *FileResult) error {
	*result = FileResult{Name: entry.Name, Status: register.Refused, Reason: why.reason, Counts: why.counts, bad: why.bad}
	entry.Status, entry.Reason, entry.MovesTo, entry.Counts = register.Refused, why.reason, r.Settings.errorsFolder(), why.counts
	id, err := r.enter(ctx, tx, entry, result)
	if err != nil {
		return err
	}
	return register.SetAside(ctx, tx, r.Partner, register.Item{File: id, Reason: why.reason})
}
