package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/site"
)

const backup = "backup" // the database that is restored

// rollback makes a backup of the patients service's database, as a template copies it, or puts it in the
// place of the database and begins a generation. Nobody is connected meanwhile.
func (w *world) rollback(ctx context.Context, m mishap) error {
	defer w.hold()()
	return w.alone(site.Patients, func() error {
		if m.kind == backedUp {
			return w.swap(ctx, "DROP DATABASE IF EXISTS "+backup, "CREATE DATABASE "+backup+" TEMPLATE patients OWNER patients")
		}
		w.history.restores.Add(1)
		defer w.history.restores.Add(1)
		if err := w.swap(ctx, "DROP DATABASE IF EXISTS patients", "ALTER DATABASE "+backup+" RENAME TO patients"); err != nil {
			return err
		}
		return w.insist(ctx, "export", "--new-generation")
	})
}

// hold keeps the exporters from running until it is released.
func (w *world) hold() (release func()) {
	var turns []*sync.Mutex
	for _, machine := range w.machines {
		if machine.service == site.Patients {
			machine.turn.Lock()
			turns = append(turns, &machine.turn)
		}
	}
	return func() {
		for _, turn := range turns {
			turn.Unlock()
		}
	}
}

// swap runs statements while nobody is connected to the patients database.
func (w *world) swap(ctx context.Context, statements ...string) error {
	conn, err := w.connectAgain(ctx, w.Services[site.Patients].Server.SuperURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	statements = append([]string{
		"ALTER DATABASE patients ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'patients'",
	}, append(statements, "ALTER DATABASE patients ALLOW_CONNECTIONS true")...)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// connectAgain connects once the server is up: another mishap may just have killed a process of it.
func (w *world) connectAgain(ctx context.Context, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, calm)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// insist repeats a command, without the lines, until it succeeds: a store may be down for a while.
func (w *world) insist(ctx context.Context, arguments ...string) error {
	for {
		code, said := w.waybill(ctx, arguments...)
		switch {
		case code == exitDone:
			return nil
		case ctx.Err() != nil:
			return errors.New("the time was over before waybill " + arguments[0] + " was through")
		case code != exitTransient:
			return fmt.Errorf("waybill %v ended with %d: %s", arguments, code, said)
		}
		sleep(ctx, time.Second)
	}
}
