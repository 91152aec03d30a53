package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/proxy"
)

// befall makes a mishap happen and repairs what it left, after a time.
func (w *world) befall(ctx context.Context, m mishap) error {
	machine := w.machines[m.machine]
	switch m.kind {
	case killed:
		if r := machine.next(m.after); r != nil {
			r.shot.Store(true)
			r.Signal(syscall.SIGKILL)
		}
	case frozen, cutOffFrozen:
		w.freeze(ctx, machine, m)
	case cut, away, stalled, slow:
		w.spoil(ctx, machine, m)
	case storeKilled:
		if w.Host.Server == nil { // a directory
			return nil
		}
		return w.alone("store", func() error {
			w.Host.Kill()
			sleep(ctx, m.lasts)
			return w.Host.Start(w.ctx)
		})
	case baseKilled, baseStopped:
		return w.alone(m.service, func() error { return w.restart(ctx, m) })
	case backendShot:
		return w.shoot(ctx, m.service)
	case leftOpen:
		return w.forget(ctx, m)
	case captureOff:
		return w.unwatched(ctx)
	case backedUp, restored:
		return w.rollback(ctx, m)
	case clockStepped:
		return w.Services[m.service].Clock.Step(m.offset)
	}
	return nil
}

// freeze halts a run and wakes it up later, unless it has ended.
func (w *world) freeze(ctx context.Context, machine *machine, m mishap) {
	_ = w.alone("process "+machine.name, func() error {
		r := machine.next(m.after)
		if r == nil || r.ended() {
			return nil
		}
		began := time.Now()
		r.Signal(syscall.SIGSTOP)
		if m.kind == cutOffFrozen {
			machine.database.Strike(proxy.Cut, 0, true)
		}
		sleep(ctx, m.lasts)
		r.slept.Add(int64(time.Since(began)))
		r.Signal(syscall.SIGCONT)
		return nil
	})
}

func (w *world) spoil(ctx context.Context, machine *machine, m mishap) {
	line, name := machine.database, "database"
	if m.store {
		line, name = machine.store, "store"
	}
	_ = w.alone(machine.name+" "+name, func() error {
		if m.kind == cut { // it waits for a connection to hit
			line.Strike(proxy.Cut, m.bytes, true)
			return nil
		}
		line.Strike(m.kind.fault(), 0, false)
		sleep(ctx, m.lasts)
		line.Heal()
		return nil
	})
}

// restart kills or stops PostgreSQL and starts it again on what it left. It is started even
// if ctx has ended.
func (w *world) restart(ctx context.Context, m mishap) error {
	server := w.Services[m.service].Server
	if m.kind == baseKilled {
		server.Kill()
	} else if err := server.StopAtOnce(w.ctx); err != nil {
		return err
	}
	sleep(ctx, m.lasts)
	return server.Restart(w.ctx)
}

// shoot kills a backend that works for waybill, as a machine short of memory would; PostgreSQL
// ends all the others and recovers.
func (w *world) shoot(ctx context.Context, service string) error {
	conn, err := pgx.Connect(ctx, w.Services[service].Server.SuperURL("postgres"))
	if err != nil { // it is down already
		return nil
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid int
	err = conn.QueryRow(ctx, `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
		ORDER BY application_name LIKE 'waybill%' DESC, backend_start LIMIT 1`).Scan(&pid)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if errors.Is(err, syscall.ESRCH) || err != nil && conn.IsClosed() || errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// alone calls do while no other call of that name runs.
func (w *world) alone(name string, do func() error) error {
	w.mu.Lock()
	lock := w.locks[name]
	if lock == nil {
		lock = new(sync.Mutex)
		w.locks[name] = lock
	}
	w.mu.Unlock()
	lock.Lock()
	defer lock.Unlock()
	return do()
}
