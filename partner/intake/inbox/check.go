package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// Findings are what a partner's settings mean for the folder as it is now.
type Findings struct {
	Partner   string         `json:"partner"`
	Files     []FolderFile   `json:"files,omitzero"` // nil: the folder could not be listed
	Next      *int64         `json:"next_number,omitempty"`
	Missing   []int64        `json:"missing_numbers,omitempty"` // skipped, and may come late
	Decisions fact.Fact      `json:"decisions"`                 // of all partners
	TakenAt   *time.Time     `json:"taken_at,omitempty"`        // when a file was last taken
	Format    *FormatFinding `json:"format,omitempty"`          // of the first file that is ready
}

// FolderFile is a file of the folder.
type FolderFile struct {
	Name      string `json:"name"`
	Size      int64  `json:"size"`
	State     string `json:"state"`
	Why       string `json:"why,omitempty"`
	Number    *int64 `json:"number,omitempty"`
	Companion string `json:"companion,omitempty"`
}

// FormatFinding is how the first records of a file are read.
type FormatFinding struct {
	File    string         `json:"file"`
	Records int            `json:"records"` // read, a hundred at most
	Taken   int            `json:"takeable"`
	Refused []RecordResult `json:"refused,omitempty"`
	Problem string         `json:"problem,omitempty"` // why the file as a whole can't be read
}

// mostTried limits the records of a file that are tried.
const mostTried = 100

// Check compares a partner's settings with the folder and the register. It writes nothing.
func (in *Inbox) Check(ctx context.Context) (f Findings, err error) {
	f = Findings{Partner: in.Partner}
	err = in.connected(ctx, func(s *session) error { return (&run{session: s, db: s.conn}).check(ctx, &f) })
	if err == nil && f.Format != nil && f.Format.Problem != "" {
		err = fault.New(fault.Poison, "read", f.Format.File, errors.New(f.Format.Problem), "correct the format, or ask the partner")
	}
	return f, err
}

func (r *run) check(ctx context.Context, f *Findings) (err error) {
	if r.state, err = register.Read(ctx, r.db, r.Partner); err != nil {
		return r.failed(err)
	}
	f.Decisions = register.Decisions(ctx, r.db)
	files, err := r.survey(ctx)
	if err != nil {
		return err
	}
	held, err := register.HeldFiles(ctx, r.db, r.Partner)
	if err != nil {
		return r.failed(err)
	}
	for i := range files {
		if h := r.Settings.heldAs(held[files[i].Name]); h != nil && files[i].State == drop.Due {
			files[i].State, files[i].Why = drop.Held, h.Error()
		}
	}
	r.describe(files, f)
	if i := slices.IndexFunc(files, func(f drop.File) bool { return f.State == drop.Due }); i >= 0 {
		f.Format, err = r.tryFormat(ctx, &files[i])
	}
	return err
}

func (r *run) describe(files []drop.File, f *Findings) {
	sequence := r.Settings.rules.Sequence
	f.Files = make([]FolderFile, 0, len(files))
	for _, file := range files {
		row := FolderFile{Name: Printable(file.Name), Size: file.Size, State: string(file.State), Why: file.Why, Companion: file.Companion}
		if file.Number >= 0 {
			row.Number = &file.Number
		}
		f.Files = append(f.Files, row)
	}
	f.TakenAt = r.state.TakenAt
	if r.state.Begun {
		f.Next = new(sequence.Number(r.state.Next))
	}
	for _, ordinal := range r.state.Missing {
		f.Missing = append(f.Missing, sequence.Number(ordinal))
	}
}

// tryFormat reads the first records of a file.
func (r *run) tryFormat(ctx context.Context, file *drop.File) (*FormatFinding, error) {
	f := &FormatFinding{File: file.Name}
	got, err := r.fetch(ctx, file)
	if err != nil {
		f.Problem = err.Error()
		return f, r.wait(file, err)
	}
	defer got.close()
	if err := r.open(got); err != nil {
		f.Problem = causeOf(err)
		return f, nil
	}
	l := loading{Config: r.Config, now: r.now, file: got, result: &FileResult{}}
	for it, err := range l.pass(ctx) {
		if err != nil {
			f.Problem = causeOf(err)
			break
		}
		f.Records++
		if why := it.refused; why != nil {
			f.Refused = append(f.Refused, RecordResult{Member: why.Member, Line: why.Line, Control: why.Control, Outcome: outcomeQuarantined, Reason: why.Reason})
		} else {
			f.Taken++
		}
		if f.Records == mostTried {
			break
		}
	}
	return f, nil
}

func causeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Cause != nil {
		return f.Cause.Error()
	}
	return fmt.Sprint(err)
}
