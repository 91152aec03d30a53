package inbox

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/partner/format/record"
	"waybill/partner/intake"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// RecordResult is what would happen to one record. It says nothing of the patient but the id.
type RecordResult struct {
	Member  string    `json:"member,omitempty"`
	Line    int       `json:"line"`
	Control string    `json:"control_id,omitempty"`
	Outcome string    `json:"outcome"`
	Patient uuid.UUID `json:"patient,omitzero"`
	Events  []string  `json:"events,omitempty"` // of the whole file, shown with the patient's first record that changes something
	Reason  string    `json:"reason,omitempty"`
}

// Outcomes of records that are not sent to the patients service.
const (
	outcomePassed      = "passed"
	outcomeDuplicate   = "duplicate"
	outcomeQuarantined = "quarantined"
)

// tryFile tries a local file, of any name.
func (r *run) tryFile(ctx context.Context, path string) error {
	r.now = r.state.Now
	file, size, err := openRegular(path)
	if err != nil {
		return err
	}
	if r.keys, err = r.Settings.Open.Read(); err != nil {
		return err
	}
	defer file.Close()
	got := &fetched{SectionReader: io.NewSectionReader(file, 0, size)}
	defer got.close()
	if got.signature, err = r.localSignature(path); err != nil {
		return err
	}
	if got.sha256, err = hashAll(got.SectionReader); err != nil {
		return fault.New(fault.Transient, "read", filepath.Base(path), err, "")
	}
	f := &drop.File{Found: exchange.Found{Name: filepath.Base(path), Size: size}, State: drop.Due, Number: -1, Ordinal: -1}
	if number, fits := r.Settings.rules.Pattern.Match(f.Name); fits && r.Settings.Order == drop.BySequence {
		next, _ := r.numbers().next()
		f.Number, f.Ordinal = number, r.Settings.rules.Sequence.Ordinal(number, next)
	}
	result, err := r.decideFile(ctx, f, got)
	if err == nil {
		r.summary.Files = append(r.summary.Files, *result)
	}
	return errors.Join(err, r.verdict())
}

// trial keeps the outcome of each record of a dry run. A nil trial keeps nothing.
type trial struct {
	result   *FileResult
	position int64 // of the outbox, before the file
}

func beginTrial(ctx context.Context, tx pgx.Tx, result *FileResult) (*trial, error) {
	t := &trial{result: result}
	err := tx.QueryRow(ctx, `SELECT coalesce(max(position), 0) FROM patients.outbox`).Scan(&t.position)
	return t, err
}

// record notes the next record of the file.
func (t *trial) record(it *item, verdict string) {
	if t == nil {
		return
	}
	row := RecordResult{Member: it.Member, Line: it.Line, Control: it.Control}
	switch {
	case it.refused != nil:
		row.Outcome, row.Reason = outcomeQuarantined, it.refused.Reason
	case verdict == register.Duplicate:
		row.Outcome = outcomeDuplicate
	case verdict == register.Conflict:
		row.Outcome, row.Reason = outcomeQuarantined, conflicting
	case it.Act == record.Pass:
		row.Outcome = outcomePassed
	}
	t.result.Records = append(t.result.Records, row)
}

func (t *trial) outcome(o intake.Outcome) {
	if t == nil {
		return
	}
	row := &t.result.Records[o.Seq-1]
	row.Outcome, row.Reason, row.Patient = o.Kind, o.Reason, o.Patient
}

// end fires the deferred triggers and collects the events of the file.
func (t *trial) end(ctx context.Context, tx pgx.Tx) error {
	if t == nil {
		return nil
	}
	if _, err := tx.Exec(ctx, `SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED`); err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, `SELECT patient_id, event FROM patients.outbox WHERE position > $1 AND tx = pg_current_xact_id() ORDER BY position`, t.position)
	events := map[uuid.UUID][]string{}
	var patient uuid.UUID
	var event string
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&patient), &event}, func() error {
		events[patient] = append(events[patient], event)
		return nil
	}); err != nil {
		return err
	}
	for i := range t.result.Records {
		row := &t.result.Records[i]
		if row.Outcome != "unchanged" && row.Outcome != "stale" && row.Patient != uuid.Nil {
			row.Events = events[row.Patient]
			delete(events, row.Patient)
		}
	}
	return nil
}
