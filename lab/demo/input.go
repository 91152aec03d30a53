package main

import (
	"context"
	_ "embed" // of Synthea's format
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/demo/encounter"
	"waybill/partner/format/record"
	"waybill/partner/intake"
)

// loadInput fills the patients service, and appointments if requested, from given files. Then it
// exchanges, and loads the same file again, which changes nothing.
func loadInput(ctx context.Context, w *world, opt options, p *progress, r *report) error {
	p.step("reading " + filepath.Base(opt.input))
	counts, err := w.intake(ctx, opt.input)
	if err != nil {
		return err
	}
	r.note("%s: %d patients read (%d dead), %d inserted, %d changed, %d refused", filepath.Base(opt.input),
		counts.Read, counts.Dead, counts.Inserted, counts.Changed, counts.Refused)
	for _, refused := range counts.Reasons {
		r.note("  line %d refused: %s", refused.Line, refused.Reason)
	}
	if opt.encounters != "" {
		n, err := w.encounters(ctx, opt.encounters)
		if err != nil {
			return err
		}
		r.note("%s: %d appointments", filepath.Base(opt.encounters), n)
	}
	if err := w.remember(ctx); err != nil {
		return err
	}
	if opt.actWithin == importer.Unlimited {
		r.note("act_within is unlimited: deaths are acted on however old they are")
	} else {
		r.note("act_within is %s: deaths that are older are historic, open no case and cancel nothing (ACT_WITHIN=unlimited acts on all)", opt.actWithin)
	}
	p.step("exchanging")
	if err := w.exchangeAll(ctx, r); err != nil {
		return err
	}
	again, err := w.intake(ctx, opt.input)
	if err != nil {
		return err
	}
	r.note("the same file again: %d inserted, %d changed", again.Inserted, again.Changed)
	if again.Inserted+again.Changed > 0 {
		return errors.New("loading the same file again changed something")
	}
	return w.exchangeAll(ctx, r)
}

func (w *world) intake(ctx context.Context, path string) (intake.Counts, error) {
	file, err := os.Open(path)
	if err != nil {
		return intake.Counts{}, fault.New(fault.Usage, "read", "INPUT", err, "")
	}
	defer file.Close()
	source := filepath.Base(path)
	info, err := file.Stat()
	if err != nil {
		return intake.Counts{}, fault.New(fault.Transient, "read", "INPUT", err, "")
	}
	whole := io.NewSectionReader(file, 0, info.Size())
	format, err := formatOf(whole)
	if err != nil {
		return intake.Counts{}, fault.New(fault.Transient, "read", "INPUT", err, "")
	}
	patients, err := format.Open(source, source, time.Now(), whole)
	if err != nil {
		return intake.Counts{}, err
	}
	var counts intake.Counts
	err = pgx.BeginFunc(ctx, w.conn["patients"], func(tx pgx.Tx) error {
		counts, err = intake.Take(ctx, tx, source, intake.Dispute, patients.All(), nil)
		return err
	})
	return counts, err
}

//go:embed synthea.yaml
var synthea []byte

// formatOf returns the format of a generator's patients: Synthea's CSV, or FHIR, whose first
// character is a brace.
func formatOf(file io.ReaderAt) (*intake.Format, error) {
	head := make([]byte, 1)
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if head[0] == '{' {
		return &intake.Format{Kind: "fhir"}, nil
	}
	format := new(intake.Format)
	return format, yaml.Load(synthea, format, yaml.WithKnownFields())
}

// encounters loads visits as appointments of the same patients. A class of visit that the
// service has no kind for becomes one.
func (w *world) encounters(ctx context.Context, path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fault.New(fault.Usage, "read", "APPOINTMENTS", err, "")
	}
	defer file.Close()
	name := filepath.Base(path)
	visits := encounter.Read(file, name, time.Now())
	n := 0
	err = pgx.BeginFunc(ctx, w.conn["appointments"], func(tx pgx.Tx) error {
		for visit, err := range visits {
			if _, refused := errors.AsType[*record.Refused](err); refused {
				continue
			}
			if err != nil {
				return err
			}
			if err := book(ctx, tx, visit); err != nil {
				return fmt.Errorf("line %d: %w", visit.Line, err)
			}
			n++
		}
		return nil
	})
	return n, err
}

func book(ctx context.Context, tx pgx.Tx, e encounter.Encounter) error {
	ends := e.End
	if ends.IsZero() {
		ends = e.Start
	}
	if _, err := tx.Exec(ctx, `INSERT INTO appointments.kind (code, description) VALUES ($1, $1) ON CONFLICT DO NOTHING`, e.Kind); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO appointments.appointment (id, patient_id, kind, resource, starts_at, ends_at, status)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, e.ID, e.PatientID, e.Kind, "encounter:"+e.ID.String(), e.Start, ends, e.Status)
	return err
}
