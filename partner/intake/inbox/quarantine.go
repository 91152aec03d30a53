package inbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/intake"
	"waybill/partner/intake/drop"
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

// Quarantine lists what was set aside. With all, it also lists what was decided since.
func (in *Inbox) Quarantine(ctx context.Context, all bool) (items []register.Item, err error) {
	err = in.connected(ctx, func(s *session) error {
		items, err = register.Items(ctx, s.conn, s.Partner, all)
		return s.failed(err)
	})
	return items, err
}

// Show returns one item with its bytes.
func (in *Inbox) Show(ctx context.Context, id int64) (item register.Item, err error) {
	err = in.connected(ctx, func(s *session) error {
		items, err := s.items(ctx, []int64{id})
		if err == nil {
			item = items[0]
		}
		return err
	})
	return item, err
}

// Released is the result for one item.
type Released struct {
	ID      int64  `json:"id"`
	Outcome string `json:"outcome"` // of a record; of a whole file: it is read again by the next run
	Reason  string `json:"reason,omitempty"`
	Still   bool   `json:"still_quarantined,omitempty"`
}

// Release tries records again, and lets the next run read whole files again. What still can't be taken stays set
// aside, which is an error of class [fault.Poison].
func (in *Inbox) Release(ctx context.Context, ids []int64, d Decision) (list []Released, err error) {
	if err := d.check("release"); err != nil {
		return nil, err
	}
	err = in.locked(ctx, func(s *session) error {
		items, err := s.undecided(ctx, ids)
		if err == nil {
			err = register.Decide(ctx, s.conn, s.Partner, "release", fmt.Sprint("items ", ids), d.Person, d.Reason)
		}
		for i := 0; err == nil && i < len(items); i++ {
			var r Released
			err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) (err error) {
				if err = register.CheckTables(ctx, tx); err == nil {
					r, err = s.release(ctx, tx, items[i], d)
				}
				return err
			})
			if err == nil {
				list = append(list, r)
			}
		}
		return s.failed(err)
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

// Discard gives items up. They stay in the register, marked.
func (in *Inbox) Discard(ctx context.Context, ids []int64, d Decision) error {
	if err := d.check("discard"); err != nil {
		return err
	}
	return in.locked(ctx, func(s *session) error {
		items, err := s.undecided(ctx, ids)
		if err != nil {
			return err
		}
		return s.failed(pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			for _, item := range items {
				if err := register.Settle(ctx, tx, item.ID, "discarded", d.Person, d.Reason); err != nil {
					return err
				}
			}
			return register.Decide(ctx, tx, s.Partner, "discard", fmt.Sprint("items ", ids), d.Person, d.Reason)
		}))
	})
}

// Pass skips a missing number that will not come.
func (in *Inbox) Pass(ctx context.Context, number int64, d Decision) error {
	if err := d.check("pass"); err != nil {
		return err
	}
	subject, sequence := fmt.Sprint("number ", number), in.Settings.rules.Sequence
	if in.Settings.Order != drop.BySequence || !sequence.Fits(number) {
		return fault.New(fault.Usage, "pass", subject, errors.New("this partner's files have no such number"), "")
	}
	return in.locked(ctx, func(s *session) error {
		return s.failed(pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			state, err := register.Open(ctx, tx, s.Partner)
			if err != nil {
				return err
			}
			next, known := numbering{state, s.Settings}.next()
			if !known || sequence.Number(next) != number {
				return fault.New(fault.Usage, "pass", subject, errors.New("the next number is another"), "`waybill partner check "+s.Partner+"` shows it")
			}
			if err := register.Expect(ctx, tx, s.Partner, next, next+1, next+1); err != nil {
				return err
			}
			return register.Decide(ctx, tx, s.Partner, "pass", subject, d.Person, d.Reason)
		}))
	})
}

func (s *session) items(ctx context.Context, ids []int64) ([]register.Item, error) {
	items, err := register.Get(ctx, s.conn, s.Partner, ids)
	if err != nil {
		return nil, s.failed(err)
	}
	known := map[int64]bool{}
	for _, item := range items {
		known[item.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			return nil, fault.New(fault.Usage, "find", fmt.Sprint("item ", id), errors.New("it is not in this partner's quarantine"), "`waybill quarantine list "+s.Partner+"`")
		}
	}
	return items, nil
}

// undecided returns the items that nobody has decided.
func (s *session) undecided(ctx context.Context, ids []int64) ([]register.Item, error) {
	items, err := s.items(ctx, ids)
	for _, item := range items {
		if item.Status != "open" {
			return nil, fault.New(fault.Usage, "decide", fmt.Sprint("item ", item.ID), errors.New("it was "+item.Status+" before"), "")
		}
	}
	return items, err
}

// release tries one item in a transaction of its own.
func (s *session) release(ctx context.Context, tx pgx.Tx, item register.Item, d Decision) (Released, error) {
	r := Released{ID: item.ID}
	if !item.Record {
		r.Outcome = "read again by the next run"
		if err := register.ReadAgain(ctx, tx, item.File); err != nil {
			return r, err
		}
		return r, register.Settle(ctx, tx, item.ID, "released", d.Person, d.Reason)
	}
	state, err := register.Read(ctx, tx, s.Partner)
	if err != nil {
		return r, err
	}
	pass, err := s.Settings.Format.OfOneRecord().Open("the record", s.Settings.Source, state.Now, bytes.NewReader(append(bytes.Clone(item.Head), item.Raw...)))
	if err != nil {
		return r, err
	}
	counts, err := intake.Take(ctx, tx, s.Settings.Source, intake.Released, pass.All(), func(o intake.Outcome) error {
		r.Outcome, r.Reason = o.Kind, o.Reason
		return nil
	})
	if err != nil {
		return r, err
	}
	if r.Still = counts.Read == 0 || counts.Refused > 0 || counts.Disputed > 0; r.Still {
		if len(counts.Reasons) > 0 {
			r.Reason = counts.Reasons[0].Reason
		}
		r.Reason = cmp.Or(r.Reason, "there is no record in it")
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
