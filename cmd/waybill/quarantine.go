package main

import (
	"context"
	"errors"
	"fmt"

	"waybill/internal/humanize"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

type quarantineCommand struct {
	List    quarantineListCommand    `cmd:"" help:"List what was set aside of a partner's files: places and reasons."`
	Show    quarantineShowCommand    `cmd:"" help:"Print one record as the partner sent it. It is about a patient."`
	Release quarantineReleaseCommand `cmd:"" help:"Try records again, or have whole files read again by the next run."`
	Discard quarantineDiscardCommand `cmd:"" help:"Leave records or files behind; they stay in the register."`
}

// inboxOf returns the inbox of the partner of that name.
func (on *installation) inboxOf(name string) (*inbox.Inbox, error) {
	p, err := on.partner(name)
	if err != nil {
		return nil, err
	}
	return on.inbox(p)
}

type quarantineListCommand struct {
	Partner string `arg:"" help:"The partner."`
	All     bool   `help:"Also what was released or discarded."`
}

func (c *quarantineListCommand) Run(ctx context.Context, env *environment) error {
	in, err := env.inboxOf(c.Partner)
	if err != nil {
		return err
	}
	items, err := in.Quarantine(ctx, c.All)
	if err != nil {
		return err
	}
	if env.out.json {
		return env.out.printJSON(append([]register.Item{}, items...))
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(env.out, "nothing is set aside")
		return err
	}
	t := env.out.table("ID", "FILE", "LINE", "BYTES", "CONTROL ID", "STATUS", "REASON")
	for _, i := range items {
		line, bytes := "(all)", ""
		if i.Record {
			line, bytes = inbox.Line(i.Member, *i.Line), fmt.Sprintf("%d-%d", *i.From, *i.To)
		}
		status := i.Status
		if i.Person != nil {
			status = fmt.Sprintf("%s by %s: %s", i.Status, *i.Person, *i.Why)
		}
		t.row(i.ID, i.FileName, line, bytes, i.Control, status, i.Reason)
	}
	return t.print()
}

type quarantineShowCommand struct {
	Partner string `arg:"" help:"The partner."`
	ID      int64  `arg:"" help:"The item's number, from the list."`
}

func (c *quarantineShowCommand) Run(ctx context.Context, env *environment) error {
	in, err := env.inboxOf(c.Partner)
	if err != nil {
		return err
	}
	item, err := in.Show(ctx, c.ID)
	if err != nil {
		return err
	}
	if item.Status != "open" && !env.out.json {
		_, err = fmt.Fprintf(env.out, "item %d was %s; its bytes were deleted then\n", item.ID, item.Status)
		return err
	}
	if env.out.json {
		return env.out.printJSON(shownItem{item, item.Raw})
	}
	_, err = env.out.Write(item.Raw)
	return err
}

// shownItem is an item with its bytes.
type shownItem struct {
	register.Item
	Raw []byte `json:"raw"` // Base64: its charset is the partner's
}

// itemFlags name items and the reason for a decision about them.
type itemFlags struct {
	Partner string  `arg:"" help:"The partner."`
	IDs     []int64 `arg:"" name:"id" help:"The items' numbers, from the list."`
	Reason  string  `required:"" placeholder:"TEXT" help:"Why; kept in the register."`
}

type quarantineReleaseCommand struct{ itemFlags }

func (c *quarantineReleaseCommand) Run(ctx context.Context, env *environment) error {
	in, err := env.inboxOf(c.Partner)
	if err != nil {
		return err
	}
	released, err := in.Release(ctx, c.IDs, inbox.Decision{Person: person(), Reason: c.Reason})
	return errors.Join(env.out.printReleased(released), err)
}

func (out *printer) printReleased(list []inbox.Released) error {
	if out.json {
		return out.printJSON(append([]inbox.Released{}, list...))
	}
	t := out.table("ID", "OUTCOME", "BECAUSE")
	for _, r := range list {
		t.row(r.ID, r.Outcome, r.Reason)
	}
	return t.print()
}

// discardedItems are the items that a person has given up.
type discardedItems struct {
	Partner   string  `json:"partner"`
	Discarded []int64 `json:"discarded"`
}

type quarantineDiscardCommand struct{ itemFlags }

func (c *quarantineDiscardCommand) Run(ctx context.Context, env *environment) error {
	in, err := env.inboxOf(c.Partner)
	if err != nil {
		return err
	}
	if err := in.Discard(ctx, c.IDs, inbox.Decision{Person: person(), Reason: c.Reason}); err != nil {
		return err
	}
	return env.out.answer(discardedItems{c.Partner, c.IDs}, "discarded %s", humanize.Plural(int64(len(c.IDs)), "item", "items"))
}
