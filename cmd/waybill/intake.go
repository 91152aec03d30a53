package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

type intakeCommand struct {
	Partner string `arg:"" help:"The partner, who has a file of that name in the folder partners."`
	File    string `arg:"" optional:"" help:"With --dry-run: a file of this machine to try, in place of those in the partner's folder."`
	DryRun  bool   `xor:"what" help:"Show record by record what would change, and change nothing."`
	Pass    *int64 `xor:"what" placeholder:"N" help:"Skip missing number N."`
	Approve string `xor:"what" placeholder:"FILE@HASH" help:"Take a file that the brake holds, with exactly these bytes, then run."`
	Reason  string `placeholder:"TEXT" help:"Why; kept in the register. Needed with --pass and --approve."`
}

func (c *intakeCommand) Run(ctx context.Context, env *environment) error {
	if c.File != "" && !c.DryRun {
		return fault.New(fault.Usage, "take in", c.Partner, errors.New("a file of this machine can only be tried"), "give --dry-run, or put it into the partner's folder")
	}
	p, err := env.partner(c.Partner)
	if err != nil {
		return err
	}
	if !c.DryRun && c.Pass == nil {
		if err := env.noteIntake(p); err != nil {
			return err
		}
		env.noting.wellOnly = c.Approve != ""
	}
	in, err := env.inbox(p)
	if err != nil {
		return err
	}
	if c.Pass != nil {
		if err := in.Pass(ctx, *c.Pass, inbox.Decision{Person: person(), Reason: c.Reason}); err != nil {
			return err
		}
		return env.out.answer(passedNumber{c.Partner, *c.Pass}, "number %d is skipped; the next run resumes after it", *c.Pass)
	}
	if c.Approve != "" {
		if err := in.Approve(ctx, c.Approve, inbox.Decision{Person: person(), Reason: c.Reason}); err != nil {
			return err
		}
	}
	if c.DryRun {
		summary, err := in.Try(ctx, c.File)
		return errors.Join(env.out.printTrial(summary), err)
	}
	summary, err := in.Run(ctx)
	env.idle = summary.Running
	return errors.Join(env.out.printIntake(summary, err != nil), err)
}

// noteIntake makes the outcome of the run be noted in the register.
func (env *environment) noteIntake(p *partner.Partner) error {
	if p.Intake == nil { // reported as another error
		return nil
	}
	of, _, err := env.placeOf(p)
	env.noting = noting{intake: &of, work: register.Work(p.Name)}
	return err
}

func (on *installation) inbox(p *partner.Partner) (*inbox.Inbox, error) {
	if p.Intake == nil {
		return nil, fault.New(fault.Usage, "take in", p.Name, errors.New("its file has no intake settings"), "did you mean `waybill deliver "+p.Name+"`?")
	}
	of, url, folder, err := on.reach(p)
	if err != nil {
		return nil, err
	}
	return p.Inbox(folder, of.zone, inbox.Config{DatabaseURL: url, Spool: of.Spool, Log: on.log}), nil
}

// passedNumber is a number of a partner's files that is skipped.
type passedNumber struct {
	Partner string `json:"partner"`
	Passed  int64  `json:"passed"`
}

func (out *printer) printIntake(s inbox.Summary, failed bool) error {
	if out.json {
		return out.printJSON(s)
	}
	switch {
	case s.Running:
		fmt.Fprintf(out, "another intake of %s is running; nothing done\n", s.Partner)
	case len(s.Files) == 0 && !failed:
		fmt.Fprintln(out, "nothing new")
	}
	if err := out.filesTaken(s).print(); err != nil {
		return err
	}
	out.printReasons(s)
	return out.printWaiting(s)
}

func (out *printer) filesTaken(s inbox.Summary) *table {
	t := out.table("FILE", "STATUS", "RECORDS", "NEW", "CHANGED", "UNCHANGED", "STALE", "PASSED", "DUPLICATES", "QUARANTINED", "TOOK")
	for _, f := range s.Files {
		c := f.Counts
		t.row(f.Name, f.Status, humanize.Count(c.Records), humanize.Count(c.Inserted), humanize.Count(c.Changed), humanize.Count(c.Unchanged), humanize.Count(c.Stale),
			humanize.Count(c.Passed), humanize.Count(c.Duplicates), humanize.Count(c.Quarantined), took(time.Duration(f.Duration)))
	}
	return t
}

func (out *printer) printReasons(s inbox.Summary) {
	for _, f := range s.Files {
		if f.Reason != "" {
			fmt.Fprintf(out, "%s: %s\n", f.Name, f.Reason)
		}
		for _, w := range f.Warnings {
			fmt.Fprintf(out, "%s: warning: %s\n", f.Name, w)
		}
	}
}

func (out *printer) printWaiting(s inbox.Summary) error {
	t := out.table("WAITS", "STATE", "BECAUSE")
	for _, w := range s.Waiting {
		t.row(inbox.Printable(w.Name), w.State, w.Why)
	}
	return t.print()
}

func (out *printer) printTrial(s inbox.Summary) error {
	if out.json {
		return out.printJSON(s)
	}
	if s.Running {
		fmt.Fprintf(out, "another intake of %s is running; nothing tried\n", s.Partner)
		return nil
	}
	fmt.Fprintln(out, "dry run: nothing was changed")
	for _, f := range s.Files {
		t := out.table("LINE", "CONTROL ID", "OUTCOME", "PATIENT", "EVENTS", "BECAUSE")
		for _, r := range f.Records {
			id := ""
			if r.Patient != uuid.Nil {
				id = r.Patient.String()
			}
			t.row(inbox.Line(r.Member, int64(r.Line)), r.Control, r.Outcome, id, strings.Join(r.Events, ", "), r.Reason)
		}
		if err := t.print(); err != nil {
			return err
		}
	}
	if err := out.filesTaken(s).print(); err != nil {
		return err
	}
	out.printReasons(s)
	return out.printWaiting(s)
}
