package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/partner/format/record"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// Findings are what a partner's file means for the folder as it is.
type Findings struct {
	Partner   string         `json:"partner"`
	Files     []FolderFile   `json:"files,omitzero"` // nil: the folder could not be listed
	Next      *int64         `json:"next_number,omitempty"`
	Missing   []int64        `json:"missing_numbers,omitempty"` // passed over, and may come late
	Decisions exchange.Fact  `json:"decisions"`                 // of all partners
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

// mostTried is how many records of a file are tried.
const mostTried = 100

// Check holds a partner's file against the folder and the register. It writes nothing.
func (in *Inbox) Check(ctx context.Context) (f Findings, err error) {
	f = Findings{Partner: in.Partner}
	err = in.alone(ctx, false, func() error {
		if in.state, err = register.Read(ctx, in.conn, in.Partner); err != nil {
			return in.failed(err)
		}
		f.Decisions = register.Decisions(ctx, in.conn)
		files, err := in.look(ctx)
		if err != nil {
			return err
		}
		held, err := register.HeldFiles(ctx, in.conn, in.Partner)
		if err != nil {
			return in.failed(err)
		}
		for i := range files {
			if h := in.Settings.heldAs(held[files[i].Name]); h != nil && files[i].State == drop.Due {
				files[i].State, files[i].Why = drop.Held, h.Error()
			}
		}
		in.describe(files, &f)
		for i := range files {
			if files[i].State == drop.Due {
				f.Format, err = in.tryFormat(ctx, &files[i])
				return err
			}
		}
		return nil
	})
	if err == nil && f.Format != nil && f.Format.Problem != "" {
		err = fault.New(fault.Poison, "read", f.Format.File, errors.New(f.Format.Problem), "correct the format, or ask the partner")
	}
	return f, err
}

func (in *Inbox) describe(files []drop.File, f *Findings) {
	sequence := in.Settings.rules.Sequence
	f.Files = make([]FolderFile, 0, len(files))
	for _, file := range files {
		row := FolderFile{Name: printable(file.Name), Size: file.Size, State: string(file.State), Why: file.Why, Companion: file.Companion}
		if file.Number >= 0 {
			row.Number = &file.Number
		}
		f.Files = append(f.Files, row)
	}
	f.TakenAt = in.state.TakenAt
	if in.state.Begun {
		f.Next = new(sequence.Number(in.state.Next))
	}
	for _, ordinal := range in.state.Missing {
		f.Missing = append(f.Missing, sequence.Number(ordinal))
	}
}

// tryFormat reads the first records of a file.
func (in *Inbox) tryFormat(ctx context.Context, file *drop.File) (*FormatFinding, error) {
	f := &FormatFinding{File: file.Name}
	if err := in.checkControl(ctx, file); err != nil {
		f.Problem = err.Error()
		return f, in.later(file, err)
	}
	got, err := in.fetch(ctx, file)
	if err != nil {
		f.Problem = err.Error()
		return f, in.later(file, err)
	}
	defer got.close()
	pass, err := in.reading(got)
	if err != nil {
		f.Problem = causeOf(err)
		return f, nil
	}
	for _, err := range pass.All() {
		why, refused := errors.AsType[*record.Refused](err)
		if err != nil && !refused {
			f.Problem = causeOf(err)
			return f, nil
		}
		f.Records++
		if refused {
			f.Refused = append(f.Refused, RecordResult{Line: why.Line, Control: why.Control, Outcome: outcomeQuarantined, Reason: why.Reason})
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
