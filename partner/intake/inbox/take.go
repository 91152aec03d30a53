package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// refusal is why a whole file is not taken in; nothing of it counts.
type refusal struct {
	reason string
	bad    []bad // of its records, where they are the reason
}

func (r *refusal) Error() string { return r.reason }

func refused(format string, arguments ...any) error {
	return &refusal{reason: fmt.Sprintf(format, arguments...)}
}

// take decides one file that is ready. Nil without an error: it was not ready after all.
func (in *Inbox) take(ctx context.Context, f *drop.File) (*FileResult, error) {
	started := time.Now()
	if err := in.checkControl(ctx, f); err != nil {
		return nil, in.later(f, err)
	}
	got, err := in.fetch(ctx, f)
	if err != nil {
		return nil, in.later(f, err)
	}
	defer got.close()
	result, err := in.decide(ctx, f, got)
	if err != nil || result == nil {
		return nil, err
	}
	result.Duration = time.Since(started)
	return result, nil
}

// later makes a file that can't be read for now one that is not ready, and returns other errors.
func (in *Inbox) later(f *drop.File, err error) error {
	if !errors.Is(err, errGrown) && !errors.Is(err, errTooLarge) && !errors.Is(err, errControl) && !errors.Is(err, exchange.ErrNotFound) {
		return err
	}
	f.State, f.Why = drop.Waiting, err.Error()
	if errors.Is(err, exchange.ErrNotFound) {
		f.Why = "it has gone since it was listed"
	}
	return nil
}

// decide takes a file in, or enters why it is not; both are one transaction. Nil without an error: the
// brake holds it.
func (in *Inbox) decide(ctx context.Context, f *drop.File, got *fetched) (*FileResult, error) {
	entry := register.File{
		Name: f.Name, SHA256: got.sha256, Ordinal: f.Ordinal, Bytes: got.Size(), Modified: f.Modified, Companion: f.Companion,
	}
	result := &FileResult{Name: f.Name}
	err := pgx.BeginFunc(ctx, in.db(), func(tx pgx.Tx) error {
		*result = FileResult{Name: f.Name}
		return in.takeIn(ctx, tx, entry, got, result)
	})
	if held, is := errors.AsType[*heldError](err); is {
		f.State, f.Why, in.held = drop.Held, held.Error(), cmp.Or(in.held, held)
		return nil, in.failed(register.Hold(ctx, in.conn, in.Partner, entry, held.effects))
	}
	if why, is := asRefusal(err); is {
		err = pgx.BeginFunc(ctx, in.db(), func(tx pgx.Tx) error { return in.refuse(ctx, tx, entry, why, result) })
	}
	if err != nil {
		return nil, in.failed(err)
	}
	crashpoint.Here("intake.committed")
	in.state, err = register.Read(ctx, in.db(), in.Partner)
	return result, in.failed(err)
}

// asRefusal also takes a file whose form is broken for refused.
func asRefusal(err error) (*refusal, bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r, true
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Class == fault.Poison && f.Op == "read" {
		return &refusal{reason: f.Cause.Error()}, true
	}
	return nil, false
}

// takeIn takes the records of a file and enters it, unless it is one that was decided before.
func (in *Inbox) takeIn(ctx context.Context, tx pgx.Tx, entry register.File, got *fetched, result *FileResult) error {
	before, err := in.before(ctx, tx, entry)
	if err != nil {
		return err
	}
	result.Status, result.Reason = before.status, before.reason
	if before.known != nil {
		return register.Resent(ctx, tx, in.Partner, before.known.ID, entry)
	}
	entry.Status, entry.Reason, entry.MovesTo = before.status, before.reason, in.doneFolder()
	if before.status == register.Skipped {
		_, err := in.enter(ctx, tx, entry, result)
		return err
	}
	if got.Size() == 0 && in.Settings.Empty == refuse {
		return refused("the file is empty")
	}
	return in.load(ctx, tx, entry, got, result)
}

// past is what the register says of a file that is there now.
type past struct {
	status string // what it becomes; of a known one: skipped
	reason string
	known  *register.File // the same file was decided
}

// before tells from the register what a file is: new, known, sent again, or a copy.
func (in *Inbox) before(ctx context.Context, tx pgx.Tx, entry register.File) (past, error) {
	alike, err := register.Alike(ctx, tx, in.Partner, entry)
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
	if why := in.sentAgain(alike, entry); why != "" && in.Settings.Resend == refuse {
		return past{}, refused("%s", why)
	}
	newest, err := register.Newest(ctx, tx, in.Partner)
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

// sentAgain says why a file is no new one, but another version of one that was taken; "" if it is new.
func (in *Inbox) sentAgain(alike []register.File, entry register.File) string {
	for _, a := range alike {
		switch {
		case a.Status == register.Refused || a.Ordinal != entry.Ordinal:
		case a.Name == entry.Name:
			return "a file of this name was taken before, with other bytes"
		case entry.Ordinal >= 0 && a.Ordinal == entry.Ordinal:
			return "its number was taken before, as " + a.Name
		}
	}
	if next, known := in.next(); entry.Ordinal >= 0 && known && entry.Ordinal < next && !slices.Contains(in.state.Missing, entry.Ordinal) {
		return "its number lies before those that were taken"
	}
	return ""
}

func (in *Inbox) doneFolder() *string {
	switch in.Settings.Done {
	case archive:
		return &in.Settings.Archive
	case remove:
		return new(string)
	}
	return nil
}

func (in *Inbox) errorsFolder() *string {
	if in.Settings.Errors == "" {
		return nil
	}
	return &in.Settings.Errors
}

// enter decides a file and moves the sequence on.
func (in *Inbox) enter(ctx context.Context, tx pgx.Tx, entry register.File, result *FileResult) (id int64, err error) {
	if id, err = register.Enter(ctx, tx, in.Partner, entry); err != nil {
		return 0, err
	}
	if err := in.number(ctx, tx, entry, result); err != nil {
		return 0, err
	}
	if entry.Status != register.Refused {
		if err := register.SettleFile(ctx, tx, id, "waybill", "the file was taken"); err != nil {
			return 0, err
		}
		if err := register.Took(ctx, tx, in.Partner); err != nil {
			return 0, err
		}
	}
	return id, in.owe(ctx, tx, id, entry, result)
}

// number enters what a decided file means for the sequence. A refused one has its number missing,
// and where numbers hold each other up, it stays the one that is expected.
func (in *Inbox) number(ctx context.Context, tx pgx.Tx, entry register.File, result *FileResult) error {
	refused := entry.Status == register.Refused
	if entry.Ordinal < 0 {
		return nil
	}
	if refused && in.Settings.rules.Hold {
		if in.state.Begun {
			return nil
		}
		first := in.expected(entry.Ordinal)
		return register.Expect(ctx, tx, in.Partner, first, first, first)
	}
	if next, known := in.next(); known && entry.Ordinal < next {
		if refused {
			return nil
		}
		return register.Came(ctx, tx, in.Partner, entry.Ordinal)
	}
	from, next := in.expected(entry.Ordinal), entry.Ordinal+1
	if from < entry.Ordinal {
		result.Warnings = append(result.Warnings, fmt.Sprintf("%d number(s) from %d on are missing before it",
			entry.Ordinal-from, in.Settings.rules.Sequence.Number(from)))
	}
	if refused { // it is missing itself
		return register.Expect(ctx, tx, in.Partner, from, next, next)
	}
	return register.Expect(ctx, tx, in.Partner, from, entry.Ordinal, next)
}

// next is the ordinal that should come next; false: the partner's first file tells.
func (in *Inbox) next() (int64, bool) {
	if start := in.Settings.Sequence.Start; start != nil && !in.state.Begun {
		return *start - in.Settings.Sequence.First, true
	}
	return in.state.Next, in.state.Begun
}

// expected is what should come next; of a partner's first file, its own ordinal.
func (in *Inbox) expected(ordinal int64) int64 {
	if next, known := in.next(); known {
		return min(next, ordinal)
	}
	return ordinal
}

// refuse enters a file of which nothing was taken.
func (in *Inbox) refuse(ctx context.Context, tx pgx.Tx, entry register.File, why *refusal, result *FileResult) error {
	*result = FileResult{Name: entry.Name, Status: register.Refused, Reason: why.reason, Counts: result.Counts}
	entry.Status, entry.Reason, entry.MovesTo, entry.Counts = register.Refused, why.reason, in.errorsFolder(), result.Counts
	result.bad = why.bad
	id, err := in.enter(ctx, tx, entry, result)
	if err != nil {
		return err
	}
	return register.SetAside(ctx, tx, in.Partner, register.Item{File: id, Reason: why.reason})
}
