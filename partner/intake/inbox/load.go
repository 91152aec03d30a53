package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/format/charset"
	"waybill/partner/format/container"
	"waybill/partner/format/record"
	"waybill/partner/intake"
	"waybill/partner/intake/register"
)

// bad is a record that is not taken.
type bad struct {
	record.Where
	message int64 // its place among the file's messages; 0: it is of none
	reason  string
	raw     []byte
}

// load reads a file twice: once to judge it, once to take it in.
func (in *Inbox) load(ctx context.Context, tx pgx.Tx, entry register.File, got *fetched, result *FileResult) error {
	j := &judged{firsts: map[string]int64{}}
	if got.Size() > 0 {
		if err := in.judge(ctx, tx, got, j); err != nil {
			return err
		}
	}
	result.Warnings = j.warnings
	result.Counts = register.Counts{Records: j.records, Quarantined: j.refused}
	if err := in.bounded(j, result); err != nil {
		return err
	}
	if got.Size() > 0 {
		if err := in.apply(ctx, tx, got, j, result); err != nil {
			return err
		}
		if err := in.brake(ctx, tx, entry, result); err != nil {
			return err
		}
	}
	result.bad = j.bad
	entry.Counts = result.Counts
	id, err := in.enter(ctx, tx, entry, result)
	if err != nil {
		return err
	}
	return in.keep(ctx, tx, id, got, j)
}

// judged is what the first reading found.
type judged struct {
	records  int64
	refused  int64
	bad      []bad // in no order; not all, when they are too many
	verdicts map[int64]string
	warnings []string
	firsts   map[string]int64 // where the first record of each member begins
}

// mostKept bounds the records of which a refused file's report tells.
const mostKept = mostListed

func (j *judged) refuse(b bad, limit int64) {
	j.refused++
	if j.refused > limit {
		b.raw = nil // the file is refused, and with it this record
	}
	if int64(len(j.bad)) < max(limit, mostKept)+1 {
		j.bad = append(j.bad, b)
	}
}

// bounded refuses a file with more bad records than the partner is allowed.
func (in *Inbox) bounded(j *judged, result *FileResult) error {
	result.Counts.Quarantined = j.refused
	if j.refused <= in.Settings.Quarantine {
		return nil
	}
	first := j.bad[0]
	return &refusal{
		reason: fmt.Sprintf("%d of %d records can't be taken, and quarantine_records allows %d; the first: line %d: %s",
			j.refused, j.records, in.Settings.Quarantine, first.Line, first.reason),
		bad: j.bad,
	}
}

// reading begins to read a file.
func (in *Inbox) reading(got *fetched) (*intake.Reading, error) {
	return in.Settings.Format.Open("the file", in.Settings.Source, got)
}

// judge reads a file for what can't be taken of it, and for messages that were taken before.
func (in *Inbox) judge(ctx context.Context, tx pgx.Tx, got *fetched, j *judged) error {
	pass, err := in.reading(got)
	if err != nil {
		return err
	}
	messages := in.examine(ctx, pass.All(), j)
	if in.Settings.Format.Kind != "hl7" {
		for _, err := range messages {
			if err != nil {
				return err
			}
		}
		j.warnings = pass.Warnings()
		return nil
	}
	if err := register.Stage(ctx, tx, messages); err != nil {
		return err
	}
	j.warnings = pass.Warnings()
	j.verdicts, err = register.Judge(ctx, tx, in.Partner, in.Settings.ControlIDs == take)
	return err
}

// examine counts a file's records, keeps those that are refused, and yields its messages.
func (in *Inbox) examine(ctx context.Context, all iter.Seq2[record.Record, error], j *judged) iter.Seq2[register.Message, error] {
	return func(yield func(register.Message, error) bool) {
		var c counter
		for r, err := range all {
			where, message, why, err := placed(r, err)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(register.Message{}, err)
				return
			}
			j.records++
			if _, begun := j.firsts[where.Member]; !begun {
				j.firsts[where.Member] = where.From
			}
			n, fresh := c.count(message, why)
			if why != nil {
				j.refuse(bad{where, n, why.Reason, why.Raw}, in.Settings.Quarantine)
			}
			if fresh && !yield(messageOf(n, message, why), nil) {
				return
			}
		}
	}
}

// placed tells a record, or one that was refused, from an error that ends the file.
func placed(r record.Record, err error) (record.Where, *record.Message, *record.Refused, error) {
	if why, refused := errors.AsType[*record.Refused](err); refused {
		return why.Where, why.Message, why, nil
	}
	return r.Where, r.Message, nil, err
}

// counter numbers messages: one may make several records.
type counter struct {
	n    int64
	last *record.Message
}

func (c *counter) count(m *record.Message, why *record.Refused) (n int64, fresh bool) {
	if m == nil && why == nil || m != nil && m == c.last {
		return c.n, false
	}
	c.n, c.last = c.n+1, m
	return c.n, true
}

func messageOf(n int64, m *record.Message, why *record.Refused) register.Message {
	out := register.Message{N: n, Code: "AA"}
	if m != nil {
		out.Head = [8]string{
			m.SendingApplication, m.SendingFacility, m.ReceivingApplication, m.ReceivingFacility,
			m.Processing, m.Version, m.Type, m.Event,
		}
		out.Control, out.Hash = m.Control, m.Hash
	}
	if why != nil {
		out.Code, out.Text = "AE", why.Reason
		if m == nil {
			out.Code = "AR"
		}
	}
	return out
}

// apply hands the records that are new to the patients service.
func (in *Inbox) apply(ctx context.Context, tx pgx.Tx, got *fetched, j *judged, result *FileResult) error {
	pass, err := in.reading(got)
	if err != nil {
		return err
	}
	disputed := map[int64]string{}
	trial, err := in.beginTrial(ctx, tx, result)
	if err != nil {
		return err
	}
	counts, err := intake.Take(ctx, tx, in.Settings.Source, in.fresh(ctx, pass.All(), j, result, trial), func(o intake.Outcome) error {
		if o.Kind == "disputed" {
			disputed[o.Seq] = o.Reason
		}
		trial.outcome(o)
		return nil
	})
	if err != nil {
		return err
	}
	result.Effects = map[string]int64{"rekeyed": counts.Rekeyed}
	c := &result.Counts
	c.Inserted, c.Unchanged, c.Stale, c.Conflicts, c.Dead = counts.Inserted, counts.Unchanged, counts.Stale, counts.Conflicts, counts.Dead
	c.Changed = counts.Changed + counts.Merged
	if err := in.dispute(got, j, disputed); err != nil {
		return err
	}
	if err := in.bounded(j, result); err != nil {
		return err
	}
	return trial.end(ctx, tx)
}

// fresh yields a file's records, those that are not to be taken as ones that ask for nothing: what
// becomes of the others is told by their place.
func (in *Inbox) fresh(ctx context.Context, all iter.Seq2[record.Record, error], j *judged, result *FileResult, t *trial) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		var c counter
		for r, err := range all {
			where, message, why, err := placed(r, err)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(r, err)
				return
			}
			n, first := c.count(message, why)
			verdict := ""
			if message != nil {
				verdict = j.verdicts[n]
			}
			t.record(where, r, why, verdict)
			switch {
			case why != nil:
				r.Act = record.Pass
			case verdict == register.Duplicate:
				if r.Act = record.Pass; first {
					result.Counts.Duplicates++
				}
			case verdict == register.Conflict:
				r.Act = record.Pass
			case r.Act == record.Pass:
				result.Counts.Passed++
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

const conflicting = "another message was taken under its control id"

// dispute adds the records that the register or the patients service did not take to the bad ones,
// with their bytes, for which the file is read once more.
func (in *Inbox) dispute(got *fetched, j *judged, disputed map[int64]string) error {
	conflicts := map[int64]bool{}
	for n, verdict := range j.verdicts {
		if verdict == register.Conflict {
			conflicts[n] = true
		}
	}
	if len(disputed) == 0 && len(conflicts) == 0 {
		return nil
	}
	pass, err := in.reading(got)
	if err != nil {
		return err
	}
	var c counter
	var seq int64
	var found []bad
	for r, err := range pass.All() {
		where, message, why, err := placed(r, err)
		if err != nil {
			return err
		}
		seq++
		n, first := c.count(message, why)
		switch reason, is := disputed[seq]; {
		case is:
			found = append(found, bad{Where: where, message: n, reason: reason})
		case conflicts[n] && first:
			found = append(found, bad{Where: where, message: n, reason: conflicting})
		}
	}
	if err := in.readRaw(got, found); err != nil {
		return err
	}
	for _, b := range found {
		j.refuse(b, in.Settings.Quarantine)
	}
	return nil
}

// readRaw fills in the bytes of records, which are in the order of the file.
func (in *Inbox) readRaw(got *fetched, list []bad) error {
	f := &in.Settings.Format
	set, err := charset.Of(f.Charset)
	if err != nil {
		return err
	}
	for m, err := range container.Members(f.Container, got, f.Limits, f.Members) {
		if err != nil {
			return err
		}
		r, at := set.Reader(m), int64(0)
		var last []byte
		for len(list) > 0 && list[0].Member == m.Name {
			b := &list[0]
			list = list[1:]
			if b.From < at { // another record of the same message
				b.raw = last
				continue
			}
			if _, err := io.CopyN(io.Discard, r, b.From-at); err != nil {
				return unraw(err)
			}
			b.raw = make([]byte, b.To-b.From)
			if _, err := io.ReadFull(r, b.raw); err != nil {
				return unraw(err)
			}
			at, last = b.To, b.raw
		}
		if len(list) == 0 {
			return nil
		}
	}
	return nil
}

func unraw(err error) error {
	return fault.New(fault.Transient, "read", "the file again", err, "")
}

// keep enters what a taken file's messages were, and what was set aside.
func (in *Inbox) keep(ctx context.Context, tx pgx.Tx, id int64, got *fetched, j *judged) error {
	if in.Settings.Format.Kind == "hl7" && got.Size() > 0 {
		if err := register.Keep(ctx, tx, in.Partner, id); err != nil {
			return err
		}
	}
	heads := map[string][]byte{}
	for _, b := range j.bad {
		head, err := in.head(got, j, b.Member, heads)
		if err != nil {
			return err
		}
		item := register.Item{
			File: id, Record: true, Member: b.Member, Line: new(int64(b.Line)), From: &b.From, To: &b.To, Control: b.Control,
			Reason: b.reason, Raw: b.raw, Head: head,
		}
		if b.message > 0 {
			item.Message = &b.message
			code := "AE"
			if b.reason == conflicting || b.Control == "" {
				code = "AR"
			}
			if err := register.Answer(ctx, tx, id, b.message, code, b.reason); err != nil {
				return err
			}
		}
		if err := register.SetAside(ctx, tx, in.Partner, item); err != nil {
			return err
		}
	}
	return nil
}

// mostHead bounds what lies before the first record, in bytes.
const mostHead = 64 << 10

// head returns what lies before the first record of a CSV file: the names of its columns, without
// which a record that was set aside can't be read again.
func (in *Inbox) head(got *fetched, j *judged, member string, read map[string][]byte) ([]byte, error) {
	first := j.firsts[member]
	if in.Settings.Format.Kind != "csv" || first == 0 || first > mostHead {
		return nil, nil
	}
	if head, known := read[member]; known {
		return head, nil
	}
	head := []bad{{Where: record.Where{Member: member, To: first}}}
	err := in.readRaw(got, head)
	read[member] = head[0].raw
	return read[member], err
}
