package inbox

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/partner/format/record"
	"waybill/partner/intake"
	"waybill/partner/intake/register"
)

// loading takes in the records of one file, in one transaction.
type loading struct {
	Config
	now    time.Time
	tx     pgx.Tx
	file   *fetched
	result *FileResult
	trial  *trial           // nil: the run is no dry run
	tally  map[string]int64 // effects of the run's earlier files

	bad      []bad // in no order; incomplete if there are too many
	verdicts map[int64]string
	firsts   map[string]int64 // where the first record of each member begins
	shared   []string         // warnings about records with an identifier of another patient
}

// bad is a record that is not taken.
type bad struct {
	record.Where
	message int64 // its place among the file's messages; 0: the record has no message
	reason  string
	raw     []byte
}

// load judges the file's records and hands the good ones to the patients service. Then it judges again by the
// outcomes.
func (l *loading) load(ctx context.Context) error {
	if err := l.judge(ctx); err != nil {
		return err
	}
	if err := l.bounded(); err != nil {
		return err
	}
	disputed, err := l.apply(ctx)
	if err != nil {
		return err
	}
	if err := l.dispute(ctx, disputed); err != nil {
		return err
	}
	if err := l.bounded(); err != nil {
		return err
	}
	l.result.Warnings = append(l.result.Warnings, l.shared...)
	return l.trial.end(ctx, l.tx)
}

// judge finds the records that can't be taken, and the messages that were taken before.
func (l *loading) judge(ctx context.Context) (err error) {
	messages := l.messages(ctx)
	if !l.Settings.Format.HasMessages() {
		for _, err := range messages {
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := register.Stage(ctx, l.tx, messages); err != nil {
		return err
	}
	l.verdicts, err = register.Judge(ctx, l.tx, l.Partner, l.Settings.ControlIDs == take)
	return err
}

// messages counts the file's records, keeps the bad ones, and yields the messages.
func (l *loading) messages(ctx context.Context) iter.Seq2[register.Message, error] {
	return func(yield func(register.Message, error) bool) {
		for it, err := range l.pass(ctx) {
			if err != nil {
				yield(register.Message{}, err)
				return
			}
			l.result.Counts.Records++
			if _, begun := l.firsts[it.Member]; !begun {
				l.firsts[it.Member] = it.From
			}
			if why := it.refused; why != nil {
				l.refuse(bad{it.Where, it.message, why.Reason, why.Raw})
			}
			if it.opens && !yield(it.head(), nil) {
				return
			}
		}
	}
}

func (l *loading) refuse(b bad) {
	limit := l.Settings.Quarantine
	l.result.Counts.Quarantined++
	if l.result.Counts.Quarantined > limit {
		b.raw = nil // the file is refused, and with it this record
	}
	if int64(len(l.bad)) <= max(limit, mostListed) {
		l.bad = append(l.bad, b)
	}
}

// bounded refuses a file that has more bad records than the partner may have.
func (l *loading) bounded() error {
	c := l.result.Counts
	if c.Quarantined <= l.Settings.Quarantine {
		return nil
	}
	return &refusal{
		reason: fmt.Sprintf("%d of %d records can't be taken, and quarantine_records allows %d; the first: line %s: %s",
			c.Quarantined, c.Records, l.Settings.Quarantine, Line(l.bad[0].Member, int64(l.bad[0].Line)), l.bad[0].reason),
		bad: l.bad, counts: c,
	}
}

// apply hands the new records to the patients service. It returns the reasons of those that the service disputes,
// by their places in the file.
func (l *loading) apply(ctx context.Context) (disputed map[int64]string, err error) {
	disputed = map[int64]string{}
	counts, err := intake.Take(ctx, l.tx, l.Settings.Source, l.Settings.IdentityChange, l.wanted(ctx), func(o intake.Outcome) error {
		if o.Kind == "disputed" {
			disputed[o.Seq] = o.Reason
		} else if o.Reason != "" && len(l.shared) < mostListed {
			l.shared = append(l.shared, fmt.Sprintf("record %d has an identifier of another patient, who keeps it: are they one person?", o.Seq))
		}
		l.trial.outcome(o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.result.Effects = map[string]int64{"rekeyed": counts.Rekeyed}
	c := &l.result.Counts
	c.Inserted, c.Unchanged, c.Stale, c.Conflicts, c.Dead = counts.Inserted, counts.Unchanged, counts.Stale, counts.Conflicts, counts.Dead
	c.Changed = counts.Changed + counts.Merged
	return disputed, nil
}

// wanted yields every record. Records that must not be taken become ones that ask for nothing, so that outcomes
// keep the records' places in the file.
func (l *loading) wanted(ctx context.Context) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for it, err := range l.pass(ctx) {
			if err != nil {
				yield(it.Record, err)
				return
			}
			verdict := l.verdicts[it.message]
			l.trial.record(&it, verdict)
			switch {
			case it.refused != nil || verdict != "":
				it.Act = record.Pass
				if verdict == register.Duplicate && it.opens {
					l.result.Counts.Duplicates++
				}
			case it.Act == record.Pass:
				l.result.Counts.Passed++
			}
			if !yield(it.Record, nil) {
				return
			}
		}
	}
}

const conflicting = "another message was taken under its control id"

// dispute adds the records that the register or the patients service did not take to the bad ones. It reads the
// file again to get their bytes.
func (l *loading) dispute(ctx context.Context, disputed map[int64]string) error {
	reasons := map[int64]string{} // by message
	for n, verdict := range l.verdicts {
		if verdict == register.Conflict {
			reasons[n] = conflicting
		}
	}
	if len(disputed) == 0 && len(reasons) == 0 {
		return nil
	}
	var found []bad
	var places []record.Where
	var seq int64
	for it, err := range l.pass(ctx) {
		if err != nil {
			return err
		}
		seq++
		reason := disputed[seq]
		if reason == "" && it.opens {
			reason = reasons[it.message]
		}
		if reason != "" {
			found, places = append(found, bad{it.Where, it.message, reason, nil}), append(places, it.Where)
		}
	}
	raw, err := l.Settings.Format.Cut(l.file, places)
	if err != nil {
		return err
	}
	for i, b := range found {
		b.raw = raw[i]
		l.refuse(b)
	}
	return nil
}

// enterRecords enters the messages of a taken file, and the records that were set aside.
func (l *loading) enterRecords(ctx context.Context, id int64) error {
	if l.Settings.Format.HasMessages() && l.file.Size() > 0 {
		if err := register.Keep(ctx, l.tx, l.Partner, id); err != nil {
			return err
		}
	}
	heads := map[string][]byte{}
	for _, b := range l.bad {
		if _, known := heads[b.Member]; !known {
			head, err := l.head(b.Member)
			if err != nil {
				return err
			}
			heads[b.Member] = head
		}
		if err := l.setAside(ctx, id, b, heads[b.Member]); err != nil {
			return err
		}
	}
	return nil
}

func (l *loading) setAside(ctx context.Context, id int64, b bad, head []byte) error {
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
		if err := register.Answer(ctx, l.tx, id, b.message, code, b.reason); err != nil {
			return err
		}
	}
	return register.SetAside(ctx, l.tx, l.Partner, item)
}

// mostHead bounds the bytes before the first record.
const mostHead = 64 << 10

// head returns the lines before a member's first record. A record that was set aside can't be read again without
// them.
func (l *loading) head(member string) ([]byte, error) {
	first := l.firsts[member]
	if !l.Settings.Format.HeadLines() || first == 0 || first > mostHead {
		return nil, nil
	}
	cut, err := l.Settings.Format.Cut(l.file, []record.Where{{Member: member, To: first}})
	if err != nil {
		return nil, err
	}
	return cut[0], nil
}
