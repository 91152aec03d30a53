package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"waybill/lab/proxy"
	"waybill/lab/site"
)

// kind is a kind of mishap.
type kind string

const (
	killed       kind = "kill"        // SIGKILL of a run of waybill
	frozen       kind = "freeze"      // SIGSTOP of one, SIGCONT later
	cutOffFrozen kind = "freeze, cut" // and meanwhile its line to the database is cut, which ends what it had open
	cut          kind = "cut"         // a line is cut once
	away         kind = "away"        // a line is cut, and stays so
	stalled      kind = "stall"       // nothing gets through a line
	slow         kind = "slow"        // little does
	storeKilled  kind = "kill store"  // SIGKILL of the store's server
	baseKilled   kind = "kill base"   // SIGKILL of all of PostgreSQL's processes
	baseStopped  kind = "stop base"   // PostgreSQL stopped in the manner immediate
	backendShot  kind = "kill backend"
	clockStepped kind = "step clock"
	leftOpen     kind = "leave open"  // a clerk's transaction, on cases or appointments
	captureOff   kind = "capture off" // while people are changed, and repaired
	backedUp     kind = "back up"     // the patients database
	restored     kind = "restore"     // that backup, and a new generation
)

// mishap is one thing that goes wrong.
type mishap struct {
	at      time.Duration
	kind    kind
	machine int           // of the machines
	service string        // whose database
	store   bool          // the machine's line to the store, or that to its database
	after   time.Duration // of a run's start
	bytes   int64         // that the line lets through before
	lasts   time.Duration
	offset  time.Duration // of a clock
}

// weights say how often each kind happens, relative to the others.
var weights = []choice{
	{killed, 24},
	{frozen, 14},
	{cutOffFrozen, 12},
	{cut, 16},
	{away, 8},
	{stalled, 8},
	{slow, 5},
	{storeKilled, 5},
	{baseKilled, 4},
	{baseStopped, 4},
	{backendShot, 4},
	{clockStepped, 4},
	{leftOpen, 8},
	{captureOff, 2},
}

type choice struct {
	kind   kind
	weight int
}

const (
	lease = 2 * time.Second
	// longest is how far a clock is set wrong at most.
	longest = 10 * time.Minute
	// endless is longer than a run waits for a store.
	endless = 130 * time.Second
)

// schedule plans what goes wrong, every second and a half on average: the same for the same seed
// and length.
func schedule(seed uint64, length time.Duration) []mishap {
	r := rand.New(rand.NewPCG(seed, 1))
	var list []mishap
	for at := between(r, 500*time.Millisecond, 2500*time.Millisecond); at < length; at += between(r, 500*time.Millisecond, 2500*time.Millisecond) {
		list = append(list, random(r, at))
	}
	if length > 3*endless { // each once
		for i, n := range r.Perm(len(crew)) {
			long := mishap{at: length * time.Duration(i) / 12, kind: frozen, machine: n, after: between(r, 0, 150*time.Millisecond), lasts: endless}
			if i%2 == 1 {
				long.kind, long.store = stalled, true
			}
			list = insert(list, long)
		}
	}
	for i, kind := range []kind{backedUp, restored, backedUp, restored} { // a restore loses some of the time
		list = insert(list, mishap{at: length * time.Duration(2+i*3/2) / 8, kind: kind})
	}
	return list
}

func insert(list []mishap, m mishap) []mishap {
	i := 0
	for i < len(list) && list[i].at < m.at {
		i++
	}
	return append(list[:i:i], append([]mishap{m}, list[i:]...)...)
}

// random draws all values, also those that the kind does not use, so that a change to one kind does not
// change the others.
func random(r *rand.Rand, at time.Duration) mishap {
	m := mishap{
		at: at, kind: drawn(r), machine: r.IntN(len(crew)), service: site.Services()[r.IntN(len(site.Services()))], store: r.IntN(3) > 0,
		after: between(r, 20*time.Millisecond, 150*time.Millisecond), bytes: r.Int64N(20_000),
		lasts:  between(r, 500*time.Millisecond, 3*time.Second),
		offset: between(r, -longest, longest).Round(time.Second),
	}
	if m.kind == frozen || m.kind == cutOffFrozen {
		m.lasts += lease + lease/2
	}
	return m
}

func drawn(r *rand.Rand) kind {
	total := 0
	for _, c := range weights {
		total += c.weight
	}
	n := r.IntN(total)
	for _, c := range weights {
		if n -= c.weight; n < 0 {
			return c.kind
		}
	}
	return killed
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// fault is what a proxy does to a line.
func (k kind) fault() proxy.Fault {
	switch k {
	case stalled:
		return proxy.Stall
	case slow:
		return proxy.Slow
	default:
		return proxy.Cut
	}
}

func (m mishap) String() string {
	line := "database"
	if m.store {
		line = "store"
	}
	name := crew[m.machine].name
	switch m.kind {
	case killed:
		return fmt.Sprintf("%s %s, %s into a run", m.kind, name, m.after.Round(time.Millisecond))
	case frozen, cutOffFrozen:
		return fmt.Sprintf("%s %s, %s into a run, for %s", m.kind, name, m.after.Round(time.Millisecond), m.lasts.Round(time.Millisecond))
	case cut:
		return fmt.Sprintf("%s %s's line to its %s, %d bytes on", m.kind, name, line, m.bytes)
	case away, stalled, slow:
		return fmt.Sprintf("%s %s's line to its %s for %s", m.kind, name, line, m.lasts.Round(time.Millisecond))
	case leftOpen:
		what := "cases"
		if m.store {
			what = "appointments"
		}
		return fmt.Sprintf("%s a clerk's transaction on %s for %s", m.kind, what, (2 * m.lasts).Round(time.Millisecond))
	case captureOff:
		return string(m.kind) + ", changes, and a repair"
	case backedUp, restored:
		return string(m.kind) + " the patients database"
	case storeKilled:
		return fmt.Sprintf("%s for %s", m.kind, m.lasts.Round(time.Millisecond))
	case clockStepped:
		return fmt.Sprintf("%s of %s' database to %+ds", m.kind, m.service, int(m.offset.Seconds()))
	case backendShot:
		return fmt.Sprintf("%s of %s", m.kind, m.service)
	default:
		return fmt.Sprintf("%s of %s for %s", m.kind, m.service, m.lasts.Round(time.Millisecond))
	}
}

// fingerprint is equal for equal schedules.
func fingerprint(list []mishap) string {
	h := fnv.New32a()
	for _, m := range list {
		fmt.Fprintf(h, "%+v\n", m)
	}
	return fmt.Sprintf("%08x", h.Sum32())
}
