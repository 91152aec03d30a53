package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/lab/hospital"
	"waybill/lab/site"
)

// life is what people do at the services meanwhile: two registrars at the same time, staff at the
// appointments, now and then a practice whose patients are all taken over in one transaction, and a person
// who erases others.
type life struct {
	*site.Site
	seed uint64

	mu      sync.Mutex
	days    int
	refused map[string]int // changes that a service did not take, by SQLSTATE
}

// breath is the pause between two changes of one person's.
const breath = 100 * time.Millisecond

// start begins it, and returns a function that waits for its end.
func (l *life) start(ctx context.Context) *sync.WaitGroup {
	var all sync.WaitGroup
	for i, doing := range []struct {
		service string
		day     func(context.Context, *pgx.Conn, hospital.Options) error
	}{
		{site.Patients, patientsDay},
		{site.Patients, patientsDay},
		{"appointments", staffDay},
		{site.Patients, takeOver},
		{site.Patients, eraseDay},
	} {
		all.Go(func() { l.live(ctx, i+1, doing.service, doing.day) })
	}
	return &all
}

// live plays day after day, even if one of them fails.
func (l *life) live(ctx context.Context, person int, service string, day func(context.Context, *pgx.Conn, hospital.Options) error) {
	wait := func(string, int, int) { sleep(ctx, breath) }
	seed := l.seed + uint64(person)<<32
	for n := uint64(0); ctx.Err() == nil; n++ {
		err := l.once(ctx, service, func(conn *pgx.Conn) error {
			return day(ctx, conn, hospital.Options{Seed: seed + n, Now: time.Now(), Apart: person * 1_000_000, Progress: wait})
		})
		l.note(err)
		sleep(ctx, breath)
	}
}

func (l *life) once(ctx context.Context, service string, do func(*pgx.Conn) error) error {
	conn, err := l.Services[service].Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

func takeOver(ctx context.Context, conn *pgx.Conn, opt hospital.Options) error {
	sleep(ctx, 15*time.Second)
	if ctx.Err() != nil {
		return nil
	}
	return hospital.Bulk(ctx, conn, 100+int(opt.Seed%5)*300, opt.Seed)
}

func (l *life) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.days++
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		l.refused[refused.Code]++
	}
}

// unexpected returns what services refused for other reasons than that PostgreSQL was going down
// (57), a deadlock or the like (40), two people changing the same row (23), or that a database was being
// restored (55, 3D).
func (l *life) unexpected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Printf("%d whole days of people's work; refused, by SQLSTATE: %v\n", l.days, l.refused)
	for _, code := range slices.Sorted(maps.Keys(l.refused)) {
		if !strings.HasPrefix(code, "57") && !strings.HasPrefix(code, "40") && !strings.HasPrefix(code, "23") &&
			!strings.HasPrefix(code, "55") && !strings.HasPrefix(code, "3D") {
			return fmt.Errorf("a service refused a change with SQLSTATE %s", code)
		}
	}
	return nil
}
