package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/fault"
	"waybill/partner/intake/register"
)

// Validation is what the settings alone say about a file, without earlier files and patients.
type Validation struct {
	File     string         `json:"file"`
	Status   string         `json:"status"` // taken or refused, as far as can be known
	Reason   string         `json:"reason,omitempty"`
	Misnamed string         `json:"misnamed,omitempty"` // why a run would not read a file of this name
	JudgedAt time.Time      `json:"judged_at"`          // by this machine's clock; a later death can't be true
	Records  int64          `json:"records"`
	SetAside int64          `json:"set_aside"`
	Refused  []RecordResult `json:"refused,omitempty"` // of those set aside, the first thousand
	Warnings []string       `json:"warnings,omitempty"`
}

// Good reports whether nothing needs to be corrected.
func (v *Validation) Good() bool { return v.Reason == "" && v.Misnamed == "" && v.SetAside == 0 }

// Validate judges a local file as a run would, with the same reasons but without a database. The settings must be
// checked.
func (s *Settings) Validate(ctx context.Context, partner, path string, now time.Time) (Validation, error) {
	v := Validation{File: filepath.Base(path), Status: register.Taken, JudgedAt: now}
	file, size, err := openRegular(path)
	if err != nil {
		return v, err
	}
	defer file.Close()
	if !s.rules.Takes(v.File) {
		v.Misnamed = fmt.Sprintf("a file of this name is not looked at: names are like %s", s.SampleName())
	}
	l := &loading{
		Config: Config{Partner: partner, Settings: s}, now: now, result: &FileResult{}, firsts: map[string]int64{},
		file: &fetched{SectionReader: io.NewSectionReader(file, 0, size), file: file},
	}
	why, err := l.validate(ctx)
	if err != nil {
		return v, err
	}
	v.Records, v.SetAside, v.Warnings = l.result.Counts.Records, l.result.Counts.Quarantined, l.result.Warnings
	if why != nil {
		v.Status, v.Reason = register.Refused, why.reason
	}
	for _, b := range l.bad[:min(len(l.bad), mostListed)] {
		v.Refused = append(v.Refused, RecordResult{Member: b.Member, Line: b.Line, Control: b.Control, Outcome: outcomeQuarantined, Reason: b.reason})
	}
	return v, nil
}

// validate reads the file's records, and returns why the whole file is refused, if it is.
func (l *loading) validate(ctx context.Context) (why *refusal, err error) {
	switch size := l.file.Size(); {
	case size > l.Settings.MaxMiB<<20:
		return &refusal{reason: tooLarge}, nil
	case size == 0 && l.Settings.Empty == refuse:
		return &refusal{reason: emptyFile}, nil
	case size == 0:
		return nil, nil
	}
	for _, err = range l.messages(ctx) {
		if err != nil {
			break
		}
	}
	if err == nil {
		err = l.bounded()
	}
	if why, is := asRefusal(err); is {
		return why, nil
	}
	return nil, err
}

// openRegular opens a local file and returns its size. It refuses a folder, pipe or device.
func openRegular(path string) (*os.File, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fault.New(fault.Usage, "read", filepath.Base(path), errors.Unwrap(err), "")
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		file.Close()
		return nil, 0, fault.New(fault.Usage, "read", filepath.Base(path), err, "")
	}
	return file, info.Size(), nil
}

// SampleName returns a name that files of the partner may have.
func (s *Settings) SampleName() string { return s.rules.Pattern.Sample() }
