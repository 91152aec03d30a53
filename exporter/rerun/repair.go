package rerun

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
)

const notAgainHint = "publish `waybill export --snapshot`, and have the consumers pass the batch"

// Repair puts the lost files of a published batch back, and returns its plan. It changes nothing unless
// all of them can be written again.
func (l *Log) Repair(ctx context.Context, batch int64) (p *plan.Plan, err error) {
	ctx, repair := span.Start(ctx, "repair batch", span.Batch.Int64(batch))
	defer func() { span.End(repair, err) }()
	if p, err = l.DB.Published(ctx, batch); err != nil {
		return nil, err
	}
	c, err := begin(p)
	if err != nil {
		return nil, err
	}
	if _, err := l.checkFiles(ctx, c); err != nil {
		return nil, err
	}
	return p, l.putBack(ctx, c)
}

// putBack writes a batch's lost files again, the manifest last. For a batch that was checked, it
// writes as many as the outbox still yields; otherwise all or none.
func (l *Log) putBack(ctx context.Context, c *Checked) error {
	lost := slices.DeleteFunc(slices.Clone(c.manifest.Parts), func(p schemas.Part) bool {
		return !slices.Contains(c.Lost, p.Name) || c.made != nil && !c.reproduces(p)
	})
	if len(lost) > 0 {
		if err := l.reproduce(ctx, c, lost); err != nil {
			return err
		}
		restored, err := l.restore(ctx, c.plan, lost)
		if err != nil {
			return err
		}
		if restored < len(lost) { // the outbox was changed in between
			return notAgain(c.plan, lost[0].Name)
		}
	}
	return l.Writer.Append(ctx, c.Batch, c.plan.Bytes)
}

// reproduce makes the batch's parts, without keeping them, to see that the lost ones are among them.
func (l *Log) reproduce(ctx context.Context, c *Checked, lost []schemas.Part) (err error) {
	if err := l.DB.CheckIdentity(ctx, c.plan); fault.ClassOf(err) == fault.Poison {
		return fault.New(fault.Poison, "repair", c.plan.Name(), err, notAgainHint)
	} else if err != nil {
		return err
	}
	if c.plan.Forgotten() {
		return notAgain(c.plan, lost[0].Name)
	}
	if c.made != nil {
		return nil
	}
	if c.made, err = l.Write(ctx, c.plan, discard); err != nil {
		return err
	}
	for _, p := range lost {
		if !c.reproduces(p) {
			return l.explainLoss(ctx, c.plan, p.Name)
		}
	}
	return nil
}

// restore makes the parts again and stores the lost ones under their old names.
func (l *Log) restore(ctx context.Context, p *plan.Plan, lost []schemas.Part) (restored int, err error) {
	_, err = l.Write(ctx, p, func(ctx context.Context, _ string, file *os.File, _ int64, sum string) (string, error) {
		at := slices.IndexFunc(lost, func(l schemas.Part) bool { return l.SHA256 == sum })
		if at < 0 {
			return "", nil
		}
		restored++
		return lost[at].Name, l.Writer.Restore(ctx, lost[at], file, l.Delete)
	})
	return restored, err
}

func notAgain(p *plan.Plan, names ...string) error {
	return fault.New(fault.Poison, "repair", p.Name(), fmt.Errorf("%s can't be written again as it was published", strings.Join(names, ", ")),
		fmt.Sprintf("the outbox was pruned, or another release wrote it: `waybill rerun export --batch %d` shows which, and corrects if it can; or ", p.Batch)+notAgainHint)
}

// explainLoss says why a part can't be written again as it was published: events of patients who were
// erased since are blank, which is not damage.
func (l *Log) explainLoss(ctx context.Context, p *plan.Plan, part string) error {
	var erased int64
	err := l.DB.QueryRow(ctx, `SELECT count(*) FROM (`+p.Query(l.Contract)+`) published JOIN patients.erasure e USING (patient_id)
		WHERE published.version < e.version`).Scan(&erased)
	if err != nil {
		return fault.Database("read", "patients.erasure", err)
	}
	if erased == 0 {
		return notAgain(p, part)
	}
	return fault.New(fault.Poison, "repair", p.Name(), fmt.Errorf("it held %d events of patients who were erased since, and can't be written again as it was", erased), notAgainHint)
}
