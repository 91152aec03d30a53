package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"waybill/exporter/plan"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Retire ends the stream, once every consumer has moved to a later one or is left behind on purpose. The stream's
// last batch says so, and the outbox no longer keeps events for it.
func (e *Exporter) Retire(ctx context.Context, leaveBehind []string, reason, person string) (Summary, error) {
	return e.locked(ctx, e.config.Wait, func(s *session, ctx context.Context) error {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		if err := s.checkMoved(ctx, leaveBehind); err != nil {
			return err
		}
		err := decision.Note(ctx, s.db, "exporter", decision.Decision{Kind: "retire", Subject: s.contract.Name, Reason: reason, Person: person})
		if err != nil {
			return err
		}
		last, err := s.db.Last(ctx)
		if err != nil {
			return err
		}
		final, err := s.db.Insert(ctx, last.Following(schemas.Retired))
		if err != nil {
			return err
		}
		return s.Publish(ctx, final)
	})
}

// checkMoved looks for consumers that have not moved: the stream's end would stop them.
func (s *session) checkMoved(ctx context.Context, leaveBehind []string) error {
	var succeeded bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM exporter.stream WHERE array_position($2::text[], stream) > array_position($2, $1))`,
		s.contract.Name, schemas.Streams()).Scan(&succeeded)
	if err != nil {
		return fault.Database("read", "exporter.stream", err)
	}
	if !succeeded {
		return fault.New(fault.Usage, "retire", s.contract.Name, errors.New("no later stream has begun"), "add it to export.streams, and run `waybill export`")
	}
	known, err := s.Consumers(ctx)
	if err != nil {
		return err
	}
	var left []string
	for _, k := range known {
		if k.Moved == "" && !slices.Contains(leaveBehind, k.Instance) {
			left = append(left, k.Instance)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fault.New(fault.Held, "retire", s.contract.Name, fmt.Errorf("not on a later stream: %s", strings.Join(left, ", ")),
		"have them install a release that follows the later stream; or leave them behind: --leave-behind "+strings.Join(left, " --leave-behind "))
}

// Consumers notes the receipts on the stream, and returns all consumers that it ever had.
func (e *Exporter) Consumers(ctx context.Context) ([]Known, error) {
	_, known, err := noteReceipts(ctx, e.config.DatabaseURL, e.contract.Name, e.reader.Reader)
	return known, err
}

// retired fails if the stream has ended, because no batch may follow.
func (s *session) retired(last *plan.Plan) error {
	if last.Kind != schemas.Retired || !last.Published {
		return nil
	}
	return fault.New(fault.Usage, "export", s.contract.Name, fmt.Errorf("it was retired with batch %d", last.Batch), "remove it from export.streams")
}

// checkStreams refuses to leave out a stream that this database publishes: its consumers would wait for it.
func (s *session) checkStreams(ctx context.Context) error {
	var others *string
	err := s.db.QueryRow(ctx, `SELECT string_agg(stream, ', ') FROM exporter.stream WHERE stream <> ALL ($1)`, s.config.Streams).Scan(&others)
	if err != nil || others == nil {
		return fault.Database("read", "exporter.stream", err)
	}
	return fault.New(fault.Usage, "export", s.contract.Name, errors.New("this database publishes "+*others+" as well"),
		"add it to export.streams; when its consumers have moved, `waybill retire "+*others+" --reason TEXT`")
}
