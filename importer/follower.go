package importer

import (
	"context"
	"errors"

	"waybill/internal/fault"
)

// Follower is an importer that runs again and again on the same connections, whose temporary tables it keeps. Between
// runs it holds no lease, so that people's decisions and re-runs have their turn. It is for one goroutine.
type Follower struct {
	importer *Importer
	session  *session // nil before the first run, and after one that failed
}

// Follower returns one that has opened nothing yet.
func (i *Importer) Follower() *Follower { return &Follower{importer: i} }

// Run is [Importer.Run] without a person's wishes.
func (f *Follower) Run(ctx context.Context) (summary Summary, err error) {
	summary.Consumer = f.importer.consumer.Name
	if f.session == nil {
		if f.session, err = f.importer.dial(ctx, importName); err != nil {
			return summary, err
		}
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	err = f.session.enter(ctx, access{tally: map[string]int64{}})
	if errors.Is(err, errRunning) {
		f.Close() // with its place in line, if it waited for a re-run
		summary.Running = true
		return summary, nil
	}
	if err != nil {
		return summary, err
	}
	summary, err = f.session.do(ctx, func(s *session, ctx context.Context) error { return s.run(ctx, Options{}) })
	if err == nil {
		err = f.session.rest(ctx)
	}
	return summary, err
}

// Close ends the connections.
func (f *Follower) Close() {
	if f.session != nil {
		f.session.close()
		f.session = nil
	}
}

// rest gives back the lease, and the place in line of a run that waited for a re-run.
func (s *session) rest(ctx context.Context) error {
	if err := s.lease.giveBack(ctx); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
	return fault.Database("leave the line for the lease of", s.subject(), err)
}
