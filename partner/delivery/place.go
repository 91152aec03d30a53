package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/progress"
)

// resume finishes the file that an earlier run left unfinished.
func (s *session) resume(ctx context.Context) error {
	p, err := s.unfinished(ctx)
	if err != nil || p == nil {
		return err
	}
	s.config.Log.Warn("resuming a file that an earlier run did not finish", "file", p.number, "placed", p.placed)
	return s.finish(ctx, p)
}

// finish delivers a plan, from the step that an earlier run reached: write the file, mark it as placed,
// write the trigger, mark all as delivered.
func (s *session) finish(ctx context.Context, p *plan) error {
	started := time.Now()
	if !p.placed {
		if err := s.place(ctx, p.name, p.content); err != nil {
			return err
		}
		crashpoint.Here("deliver.3")
		if err := s.mark(ctx, p, `placed_at = clock_timestamp()`); err != nil {
			return err
		}
		crashpoint.Here("deliver.4")
	}
	if p.trigger != nil {
		if err := s.place(ctx, *p.trigger, p.triggerText); err != nil {
			return err
		}
		crashpoint.Here("deliver.5")
	}
	if err := s.mark(ctx, p, `delivered_at = clock_timestamp(), content = NULL`); err != nil {
		return err
	}
	crashpoint.Here("deliver.6")
	s.report(p, time.Since(started))
	progress.Say(ctx, "files", int64(len(s.summary.Files)), 0)
	return nil
}

func (s *session) mark(ctx context.Context, p *plan, set string) error {
	_, err := s.conn.Exec(ctx, `UPDATE file SET `+set+` WHERE number = $1`, p.number)
	return fault.Database("mark", fileName(p), err)
}

// tries limits how often place tries: between two looks the partner may fetch and delete the file.
const tries = 3

// place makes sure that the partner's folder has the whole file. It replaces a file that a crash cut short. A file
// with other bytes stays, and the delivery stops.
func (s *session) place(ctx context.Context, name string, data []byte) error {
	for range tries {
		err := s.config.Store.Publish(ctx, name, data)
		if !errors.Is(err, exchange.ErrExists) {
			return err
		}
		switch there, err := s.compare(ctx, name, data); {
		case errors.Is(err, exchange.ErrNotFound): // it was fetched meanwhile
		case err != nil:
			return err
		case there == same:
			return nil
		case there == other:
			return taken(name)
		default: // torn
			if err := s.config.Store.Delete(ctx, name); err != nil {
				return fault.New(fault.ClassOf(err), "remove what is left of", name, err, "remove it: it is the beginning of a file, left by a broken connection")
			}
		}
	}
	return fault.New(fault.Transient, "write", name, fmt.Errorf("the name was taken and free again %d times", tries), "")
}

func taken(name string) error {
	return fault.New(fault.Poison, "write", name, errors.New("another file has the name"),
		"find out whose it is and move it away: the partner may not have fetched the earlier file of this number")
}

// likeness says how an existing file of that name compares with ours.
type likeness int

const (
	same likeness = iota
	torn          // the file's beginning
	other
)

func (s *session) compare(ctx context.Context, name string, data []byte) (likeness, error) {
	r, err := s.config.Store.Get(ctx, name)
	if err != nil {
		return other, err
	}
	defer r.Close()
	there, err := io.ReadAll(io.LimitReader(r, int64(len(data))+1))
	switch {
	case err != nil:
		return other, err
	case bytes.Equal(there, data):
		return same, nil
	case bytes.HasPrefix(data, there):
		return torn, nil
	default:
		return other, nil
	}
}

func (p *plan) summary() FileSummary {
	return FileSummary{
		Number: p.number, Name: p.name, Rows: p.rows, Bytes: p.bytes, SHA256: p.sha256, Changes: p.changes, Resumed: p.resumed,
	}
}

func (s *session) report(p *plan, took time.Duration) {
	f := p.summary()
	f.Duration = humanize.Seconds(took)
	s.summary.Files = append(s.summary.Files, f)
	s.config.Delivered(f)
	if f.Replaced+f.Cut+f.Blank+f.Skipped > 0 {
		s.config.Log.Warn("values were changed for the partner", "file", f.Number, "replaced", f.Replaced, "cut", f.Cut, "blank", f.Blank, "skipped", f.Skipped)
	}
	s.config.Log.Info("delivered", "file", f.Number, "rows", f.Rows, "unsaid", f.Unsaid, "bytes", f.Bytes,
		"transliterated", f.Transliterated, "escaped", f.Escaped, "restated", f.Restated, "resumed", f.Resumed, "duration", f.Duration)
}

func (s *session) resend(ctx context.Context, number int64) error {
	p, err := s.read(ctx, `WHERE number = $1`, number)
	if err != nil {
		return err
	}
	if p == nil {
		return fault.New(fault.Usage, "send again", fmt.Sprintf("file %d", number), errors.New("there is no such file"), "`waybill status` shows the last")
	}
	again := *p
	if err := s.fill(ctx, &again, span{after: p.after, to: p.to, origin: p.origin}); err != nil {
		return err
	}
	if again.plain != p.plain || again.name != p.name {
		return fault.New(fault.Poison, "send again", fileName(p), errors.New("the file would differ"),
			"the partner's settings or this release changed, or its rows were deleted after keep_days")
	}
	if again.sha256 != p.sha256 { // sealed anew, perhaps to other keys
		return s.replan(ctx, p, &again)
	}
	if err := s.place(ctx, again.name, again.content); err != nil {
		return err
	}
	if p.trigger != nil {
		if err := s.place(ctx, *p.trigger, p.triggerText); err != nil {
			return err
		}
	}
	s.report(&again, 0)
	return nil
}

// replan makes a delivered file's plan one of other bytes, and finishes it. If the partner's folder still has the bytes
// that were delivered, they stay.
func (s *session) replan(ctx context.Context, before, p *plan) error {
	if there, err := s.config.Store.Get(ctx, before.name); err == nil {
		defer there.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, there); err != nil {
			return err
		}
		if hex.EncodeToString(hash.Sum(nil)) != before.sha256 {
			return taken(before.name)
		}
		s.report(before, 0)
		return nil
	} else if !errors.Is(err, exchange.ErrNotFound) {
		return err
	}
	if p.trigger != nil {
		if there, err := s.compare(ctx, *p.trigger, p.triggerText); err == nil && there == other {
			return taken(*p.trigger)
		}
	}
	p.placed = false
	if _, err := s.conn.Exec(ctx, `UPDATE file SET bytes = $2, sha256 = $3, content = $4, trigger_text = $5, placed_at = NULL, delivered_at = NULL WHERE number = $1`,
		p.number, p.bytes, p.sha256, p.content, p.triggerText); err != nil {
		return fault.Database("plan", fileName(p), err)
	}
	return s.finish(ctx, p)
}
