package ftp

import (
	"context"
	"time"

	"github.com/jackc/puddle/v2"

	"waybill/exchange/wire"
)

const recheck = time.Second

// lease is a connection in use.
type lease struct {
	*conn
	store    *Store
	resource *puddle.Resource[*conn]
	unwatch  func()
}

// acquire takes a connection that answers. A used connection is tested first, which costs one round
// trip; an upload takes ten. Connections that servers or firewalls have dropped are replaced.
func (s *Store) acquire(ctx context.Context) (*lease, error) {
	defer wire.BePatient(ctx)()
	for {
		resource, err := s.acquireAny(ctx)
		if err != nil {
			return nil, err
		}
		l := &lease{resource.Value(), s, resource, resource.Value().watch(ctx)}
		if l.fresh {
			l.fresh = false
			return l, nil
		}
		if err := l.NoOp(); err == nil {
			return l, nil
		}
		l.release(false)
	}
}

// acquireAny opens a connection or takes an idle one. If the server accepts no more, it waits for
// one of ours, if there are any.
func (s *Store) acquireAny(ctx context.Context) (*puddle.Resource[*conn], error) {
	for {
		resource, err := s.pool.Acquire(ctx)
		if err == nil {
			return resource, nil
		}
		ours := s.pool.Stat()
		if !isFull(err) || ours.TotalResources() == 0 {
			s.signal() // others who wait must not wait for us
			return nil, err
		}
		if ours.IdleResources() > 0 {
			continue
		}
		select {
		case <-s.freed:
		case <-time.After(recheck): // a connection still counts for a moment after it has ended
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Store) signal() {
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// release gives a sound connection back, and ends another.
func (l *lease) release(sound bool) {
	l.unwatch()
	if sound && !l.broken && l.ctx.Err() == nil {
		l.resource.Release()
	} else {
		l.hangUp()
		l.resource.Destroy()
	}
	l.store.signal()
}
