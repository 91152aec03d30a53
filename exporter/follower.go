package exporter

import (
	"context"
	"errors"
	"time"

	"waybill/exporter/plan"
	"waybill/internal/fault"
)

// Follower is an exporter that runs again and again on one connection. Between runs it holds no lock, so that others
// can work. It is for one goroutine.
type Follower struct {
	exporter *Exporter
	session  *session  // nil before the first run, and after one that failed
	sampled  time.Time // when patients were last compared with their last events
}

// Follower returns one that has opened nothing yet.
func (e *Exporter) Follower() *Follower { return &Follower{exporter: e} }

// sampleEvery bounds how often a follower compares patients, which costs 35 ms and more: at 10 s, ten million take a day.
const sampleEvery = 10 * time.Second

// Run is [Exporter.Run].
func (f *Follower) Run(ctx context.Context) (summary Summary, err error) {
	if f.session == nil {
		if f.session, err = f.exporter.connect(ctx, "export"); err != nil {
			return Summary{}, err
		}
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	f.session.begin()
	summary, err = f.session.do(ctx, 0, func(s *session, ctx context.Context) error {
		if err := s.poll(ctx); err != nil || time.Since(f.sampled) < sampleEvery {
			return err
		}
		f.sampled = time.Now()
		return s.checkCaptured(ctx)
	})
	if errors.Is(err, plan.ErrRunning) {
		summary.Running, err = true, nil
		return summary, err
	}
	if err == nil {
		err = f.session.unlock(ctx)
	}
	return summary, err
}

// Close ends the connection.
func (f *Follower) Close() {
	if f.session != nil {
		f.session.close()
		f.session = nil
	}
}

// unlock lets other exporters run.
func (s *session) unlock(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	return fault.Database("unlock", "exporter", err)
}
