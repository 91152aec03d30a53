package exporter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas"
)

// Repair puts the files of published batches, both ends included, on the store again, from the
// outbox and the plans: parts that are lost or damaged, and manifests that are. Files that are
// whole stay as they are.
func (e *Exporter) Repair(ctx context.Context, from, to int64) (Summary, error) {
	return e.locked(ctx, func(s *session, ctx context.Context) error {
		for batch := from; batch <= to; batch++ {
			if err := s.repair(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

const notAgainHint = "publish `waybill export --snapshot`, and have the consumers pass the batch"

func (s *session) repair(ctx context.Context, batch int64) (err error) {
	started := time.Now()
	ctx, repair := span.Start(ctx, "repair batch", span.Batch.Int64(batch))
	defer func() { span.End(repair, err) }()
	p, err := s.publishedPlan(ctx, batch)
	if err != nil {
		return err
	}
	m, err := schemas.ParseManifest(p.manifest)
	if err != nil {
		return fault.New(fault.Poison, "read", "stored manifest of "+batchName(batch), err, "")
	}
	c := &Checked{Batch: batch, plan: p}
	if _, err := s.checkFiles(ctx, c, m); err != nil {
		return err
	}
	if err := s.putBack(ctx, c, m); err != nil {
		return err
	}
	return s.report(p, time.Since(started))
}

// publishedPlan returns the plan of a batch that this database has published.
func (s *session) publishedPlan(ctx context.Context, batch int64) (*plan, error) {
	p, err := scanPlan(s.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan WHERE batch = $1 AND published_at IS NOT NULL`, batch))
	if err != nil {
		return nil, fault.Database("read", "exporter.plan", err)
	}
	if p == nil {
		return nil, s.notPublished(ctx, batch)
	}
	return p, nil
}

// notPublished tells a batch that was pruned from one that this database never had.
func (s *session) notPublished(ctx context.Context, batch int64) error {
	var floor int64
	if err := s.conn.QueryRow(ctx, `SELECT coalesce(max(batch), 0) FROM exporter.floor`).Scan(&floor); err != nil {
		return fault.Database("read", "exporter.floor", err)
	}
	cause := errors.New("this database has not published it")
	if batch < floor {
		cause = fmt.Errorf("it was pruned: the log begins at batch %d", floor)
	}
	return fault.New(fault.Usage, "look up", batchName(batch), cause, "`waybill batches` lists the log")
}

// putBack writes a batch's lost files once more, the manifest last. Of a batch that was checked, that
// is as many as can be made again; of another nothing is changed unless all can.
func (s *session) putBack(ctx context.Context, c *Checked, m *schemas.Manifest) error {
	lost := slices.DeleteFunc(slices.Clone(m.Parts), func(p schemas.Part) bool {
		return !slices.Contains(c.Lost, p.Name) || c.made != nil && !c.makes(p)
	})
	if len(lost) > 0 {
		if err := s.makesAgain(ctx, c, lost); err != nil {
			return err
		}
		restored, err := s.restore(ctx, c.plan, lost)
		if err != nil {
			return err
		}
		if restored < len(lost) { // the outbox was changed in between
			return notAgain(c.Batch, lost[0].Name)
		}
	}
	return s.writer.Append(ctx, c.Batch, c.plan.manifest)
}

// makesAgain makes the batch's parts, without keeping them, to see that the lost ones are among them.
func (s *session) makesAgain(ctx context.Context, c *Checked, lost []schemas.Part) (err error) {
	if err := s.checkIdentity(ctx, c.plan); fault.ClassOf(err) == fault.Poison {
		return fault.New(fault.Poison, "repair", batchName(c.Batch), err, notAgainHint)
	} else if err != nil {
		return err
	}
	if c.plan.forgotten() {
		return notAgain(c.Batch, lost[0].Name)
	}
	if c.made != nil {
		return nil
	}
	if c.made, err = s.writeParts(ctx, c.plan, forget); err != nil {
		return err
	}
	for _, p := range lost {
		if !c.makes(p) {
			return s.whyNotAgain(ctx, c.plan, p.Name)
		}
	}
	return nil
}

// restore makes the parts again and puts those that are lost under their own names.
func (s *session) restore(ctx context.Context, p *plan, lost []schemas.Part) (restored int, err error) {
	_, err = s.writeParts(ctx, p, func(ctx context.Context, _ string, file *os.File, _ int64, sum string) (string, error) {
		at := slices.IndexFunc(lost, func(l schemas.Part) bool { return l.SHA256 == sum })
		if at < 0 {
			return "", nil
		}
		restored++
		return lost[at].Name, s.writer.Restore(ctx, lost[at], file, s.config.Delete)
	})
	return restored, err
}

func notAgain(batch int64, names ...string) error {
	return fault.New(fault.Poison, "repair", batchName(batch), fmt.Errorf("%s does not come out again as it was published", strings.Join(names, ", ")),
		fmt.Sprintf("the outbox was pruned or the release is another one: `waybill rerun export --batch %d` tells, and corrects if it can; or ", batch)+notAgainHint)
}
