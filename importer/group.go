package importer

import (
	"context"
	"iter"
	"slices"
)

// loadGroup loads batches in one transaction, or, if one of them can't be loaded, each up to that one in its own.
func (s *session) loadGroup(ctx context.Context, group []*fetched) error {
	defer func() {
		for _, f := range group {
			f.discard()
		}
	}()
	if first := group[0]; first.err != nil {
		return s.noteStop(ctx, first.entry, s.judgeEnd(ctx, first.err))
	}
	err := s.load(ctx, loadMode{}, group...)
	if err == nil || len(group) == 1 {
		return s.noteStop(ctx, group[0].entry, err)
	}
	if s.conn.IsClosed() {
		return err
	}
	for _, f := range group {
		f.err = nil // of the group's load
		if err := s.load(ctx, loadMode{}, f); err != nil {
			return s.noteStop(ctx, f.entry, err)
		}
	}
	return nil
}

// grouped yields what is loaded in one transaction: a batch, or small ones that were fetched while earlier ones were being
// loaded. After an hour without the consumer, commits would otherwise take most of the time.
func grouped(batches <-chan *fetched) iter.Seq[[]*fetched] {
	return func(yield func([]*fetched) bool) {
		next, open := <-batches
		for open {
			group := []*fetched{next}
			next, open = gather(&group, batches)
			if !yield(group) {
				break
			}
			if next == nil && open {
				next, open = <-batches
			}
		}
		if next != nil {
			next.discard()
		}
	}
}

// gather adds what is there and may be loaded together with the group's first batch; to heartbeats alone, for which nobody
// waits, also what comes next. It returns a batch that may not be added, and whether there may be more.
func gather(group *[]*fetched, batches <-chan *fetched) (next *fetched, open bool) {
	for (*group)[0].small() && len(*group) < groupSize {
		select {
		case next, open = <-batches:
		default:
			if slices.ContainsFunc(*group, func(f *fetched) bool { return !f.heartbeat() }) {
				return nil, true
			}
			next, open = <-batches
		}
		if !open || !next.small() {
			return next, open
		}
		*group = append(*group, next)
	}
	return nil, true
}

func drain(batches <-chan *fetched) {
	for f := range batches {
		f.discard()
	}
}
