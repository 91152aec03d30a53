package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/format/charset"
	"waybill/partner/format/record"
	"waybill/partner/intake"
	"waybill/partner/intake/register"
)

// Decision is what a person decides, and why.
type Decision struct {
	Person string
	Reason string
}

func (d Decision) check(what string) error {
	if d.Person == "" || d.Reason == "" {
		return fault.New(fault.Usage, what, "", errors.New("who decides and why is kept"), "give --reason")
	}
	return nil
}

// Quarantine lists what was set aside; all: also what was decided since.
func (in *Inbox) Quarantine(ctx context.Context, all bool) (items []register.Item, err error) {
	err = in.alone(ctx, false, func() error {
		items, err = register.Items(ctx, in.conn, in.Partner, all)
		return in.failed(err)
	})
	return items, err
}

// Show returns one item with its bytes.
func (in *Inbox) Show(ctx context.Context, id int64) (item register.Item, err error) {
	err = in.alone(ctx, false, func() error {
		items, err := in.items(ctx, []int64{id})
		if err == nil {
			item = items[0]
		}
		return err
	})
	return item, err
}

// Released is what became of one item.
type Released struct {
	ID      int64  `json:"id"`
	Outcome string `json:"outcome"` // of a record; of a whole file: it is read again by the next run
	Reason  string `json:"reason,omitempty"`
	Still   bool   `json:"still_quarantined,omitempty"`
}

// Release tries records again, and has whole files read again by the next run. What can't be taken
// even now stays where it is, which is an error of class [fault.Poison].
func (in *Inbox) Release(ctx context.Context, ids []int64, d Decision) (list []Released, err error) {
	if err := d.check("release"); err != nil {
		return nil, err
	}
	err = in.alone(ctx, true, func() error {
		items, err := in.undecided(ctx, ids)
		if err == nil {
			err = register.Decide(ctx, in.conn, in.Partner, "release", fmt.Sprint("items ", ids), d.Person, d.Reason)
		}
		for i := 0; err == nil && i < len(items); i++ {
			var r Released
			err = pgx.BeginFunc(ctx, in.conn, func(tx pgx.Tx) (err error) {
				r, err = in.release(ctx, tx, items[i], d)
				return err
			})
			if err == nil {
				list = append(list, r)
			}
		}
		return in.failed(err)
	})
	still := 0
	for _, r := range list {
		if r.Still {
			still++
		}
	}
	if err == nil && still > 0 {
		err = fault.New(fault.Poison, "release", in.Partner, fmt.Errorf("%d of %d can't be taken even now", still, len(list)), "correct the partner's file here, or discard them")
	}
	return list, err
}

// Discard leaves items behind; they stay in the register, marked.
func (in *Inbox) Discard(ctx context.Context, ids []int64, d Decision) error {
	if err := d.check("discard"); err != nil {
		return err
	}
	return in.alone(ctx, true, func() error {
		items, err := in.undecided(ctx, ids)
		if err != nil {
			return err
		}
		return in.failed(pgx.BeginFunc(ctx, in.conn, func(tx pgx.Tx) error {
			for _, item := range items {
				if err := register.Settle(ctx, tx, item.ID, "discarded", d.Person, d.Reason); err != nil {
					return err
				}
			}
			return register.Decide(ctx, tx, in.Partner, "discard", fmt.Sprint("items ", ids), d.Person, d.Reason)
		}))
	})
}

// Pass goes on behind a number that will not come.
func (in *Inbox) Pass(ctx context.Context, number int64, d Decision) error {
	if err := d.check("pass"); err != nil {
		return err
	}
	rules := in.Settings.rules
	if in.Settings.Order != "sequence" || !rules.Sequence.Fits(number) {
		return fault.New(fault.Usage, "pass", fmt.Sprint("number ", number), errors.New("this partner's files have no such number"), "")
	}
	return in.alone(ctx, true, func() error {
		return in.failed(pgx.BeginFunc(ctx, in.conn, func(tx pgx.Tx) error {
			var err error
			if in.state, err = register.Open(ctx, tx, in.Partner); err != nil {
				return err
			}
			next, known := in.next()
			if !known || rules.Sequence.Number(next) != number {
				return fault.New(fault.Usage, "pass", fmt.Sprint("number ", number), errors.New("it is not the one that is waited for"), "`waybill partner check "+in.Partner+"` shows it")
			}
			if err := register.Expect(ctx, tx, in.Partner, next, next+1, next+1); err != nil {
				return err
			}
			return register.Decide(ctx, tx, in.Partner, "pass", fmt.Sprint("number ", number), d.Person, d.Reason)
		}))
	})
}

// alone runs do with a connection; locked: as the only one that changes anything of this partner's.
func (in *Inbox) alone(ctx context.Context, locked bool, do func() error) error {
	done, err := in.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !locked {
		return do()
	}
	if ok, err := register.Lock(ctx, in.conn, in.Partner); err != nil || !ok {
		if err == nil {
			err = fault.New(fault.Transient, "take in", in.Partner, errors.New("an intake of this partner is at work"), "run again when it is done")
		}
		return in.failed(err)
	}
	return do()
}

func (in *Inbox) items(ctx context.Context, ids []int64) ([]register.Item, error) {
	items, err := register.Get(ctx, in.conn, in.Partner, ids)
	if err != nil {
		return nil, in.failed(err)
	}
	known := map[int64]bool{}
	for _, item := range items {
		known[item.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			return nil, fault.New(fault.Usage, "find", fmt.Sprint("item ", id), errors.New("it is not in this partner's quarantine"), "`waybill quarantine list "+in.Partner+"`")
		}
	}
	return items, nil
}

// undecided are those that nobody has decided.
func (in *Inbox) undecided(ctx context.Context, ids []int64) ([]register.Item, error) {
	items, err := in.items(ctx, ids)
	for _, item := range items {
		if item.Status != "open" {
			return nil, fault.New(fault.Usage, "decide", fmt.Sprint("item ", item.ID), errors.New("it was "+item.Status+" before"), "")
		}
	}
	return items, err
}

// release tries one item in a transaction of its own.
func (in *Inbox) release(ctx context.Context, tx pgx.Tx, item register.Item, d Decision) (Released, error) {
	r := Released{ID: item.ID}
	if !item.Record {
		r.Outcome = "read again by the next run"
		if err := register.ReadAgain(ctx, tx, item.File); err != nil {
			return r, err
		}
		return r, register.Settle(ctx, tx, item.ID, "released", d.Person, d.Reason)
	}
	format := ofOneRecord(in.Settings.Format)
	pass, err := format.Open("the record", in.Settings.Source, bytes.NewReader(append(bytes.Clone(item.Head), item.Raw...)))
	if err != nil {
		return r, err
	}
	counts, err := intake.Take(ctx, tx, in.Settings.Source, noted(pass.All(), &r), func(o intake.Outcome) error {
		r.Outcome, r.Reason = o.Kind, o.Reason
		return nil
	})
	if err != nil {
		return r, err
	}
	if r.Still = counts.Read == 0 || counts.Refused > 0 || counts.Disputed > 0; r.Still {
		if r.Reason == "" {
			r.Reason = "there is no record in it"
		}
		r.Outcome = outcomeQuarantined
		return r, nil
	}
	if r.Outcome == "" {
		r.Outcome = outcomePassed
	}
	if item.Message != nil {
		if err := register.Accepted(ctx, tx, item.File, *item.Message); err != nil {
			return r, err
		}
	}
	return r, register.Settle(ctx, tx, item.ID, "released", d.Person, d.Reason)
}

// noted keeps why a record is refused even now.
func noted(all iter.Seq2[record.Record, error], r *Released) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for rec, err := range all {
			if why, refused := errors.AsType[*record.Refused](err); refused {
				r.Reason = why.Reason
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// ofOneRecord is a format for a record as it lies in the quarantine: out of its container, and without
// the header and trailer that count a whole file's records.
func ofOneRecord(f intake.Format) *intake.Format {
	f.Container, f.Members = "", ""
	if set, err := charset.Of(f.Charset); err == nil && set.Wide() {
		f.Charset = ""
	}
	if f.CSV != nil {
		layout := *f.CSV
		layout.Trailer = nil
		f.CSV = &layout
	}
	if f.Fixed != nil {
		layout := *f.Fixed
		layout.Header, layout.Trailer = nil, nil
		f.Fixed = &layout
	}
	return &f
}
