package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/child"
)

// route is a way of a death from the patients service's database into another service's. Each but the plain call reads
// the same outbox, so that none forgets what its middle did not take; each inserts a row per patient, once.
type route struct {
	name      string
	arrives   string     // the database with the table arrived
	processes [][]string // in the order of their start
	middle    int        // the process that stands between the two databases
	consumer  int        // the process that writes into the second
	call      string     // the service's address, if a death is posted right after its commit
	disk      string     // the folder in which the middle keeps what the consumer has not taken
	endures   bool       // an hour without its consumer, and a power cut
}

const relayEvery = 10 * time.Millisecond // of the routes that poll the outbox

func (s *site) routes(ctx context.Context) ([]route, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := child.FreePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	as := func(what ...string) []string { return append([]string{self, "-as"}, what...) }
	service, broker := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+1)
	serving := as("service", s.urls["plain"], service)
	list := []route{
		{name: "database link, postgres_fdw", arrives: "plain", processes: [][]string{as("link", s.urls["plain"])}, endures: true},
		{name: "REST, called after the commit", arrives: "plain", processes: [][]string{serving}, call: "http://" + service},
		{name: "REST, from an outbox", arrives: "plain", processes: [][]string{serving, as("caller", s.urls[patients], "http://"+service)}, middle: 1, endures: true},
	}
	for _, sync := range []string{"always", "default"} {
		disk := s.path("broker-" + sync)
		list = append(list, route{name: "NATS JetStream, sync_interval " + sync, arrives: "plain", processes: [][]string{
			as("broker", disk, broker, sync), as("subscriber", s.urls["plain"], broker), as("publisher", s.urls[patients], broker),
		}, consumer: 1, disk: disk, endures: true})
	}
	for _, every := range []time.Duration{time.Second, 100 * time.Millisecond} {
		list = append(list, route{
			name: "Waybill, followers every " + every.String(), arrives: "arrivals", processes: [][]string{
				{s.path("waybill"), "export", "--follow", "--every", every.String()},
				{s.path("waybill"), "import", "arrivals", "--follow", "--every", every.String()},
			}, consumer: 1, disk: s.path("exchange"), endures: every < time.Second, // the last, since the cut takes its batches
		})
	}
	return list, nil
}

// routing lets patients die, and measures when they arrive, and which never do.
func (s *site) routing(ctx context.Context, t *table) error {
	if err := s.prepareRoutes(ctx); err != nil {
		return err
	}
	routes, err := s.routes(ctx)
	for _, r := range routes {
		if err == nil {
			err = s.route(ctx, t, r)
		}
	}
	for _, r := range routes {
		if err == nil && r.endures {
			err = s.enduring(ctx, t, r)
		}
	}
	return err
}

// prepareRoutes makes the table in which deaths arrive, and for the link what it reads.
func (s *site) prepareRoutes(ctx context.Context) error {
	if err := s.linkDatabases(ctx); err != nil {
		return err
	}
	if err := s.renew(ctx, "arrivals"); err != nil {
		return err
	}
	_, err := s.conn["plain"].Exec(ctx, createArrived)
	return err
}

const createArrived = `CREATE TABLE IF NOT EXISTS arrived (number bigint GENERATED ALWAYS AS IDENTITY, patient_id uuid PRIMARY KEY);`

func (s *site) route(ctx context.Context, t *table, r route) (err error) {
	c := &crossing{site: s, route: r, running: make([]*child.Process, len(r.processes))}
	defer func() { err = errors.Join(err, c.stop(ctx)) }()
	if err := c.start(ctx); err != nil {
		return err
	}
	delays, err := c.delays(ctx)
	if err != nil {
		return err
	}
	t.figure(r.name+", p50", "ms", goal{}, milliseconds(delays[len(delays)/2]))
	t.figure(r.name+", p99", "ms", goal{}, milliseconds(delays[len(delays)*99/100]))
	if r.call == "" {
		rate, err := c.rate(ctx)
		if err != nil {
			return err
		}
		t.figure(r.name+", deaths of one transaction", "events/s", goal{}, rate)
	}
	for _, trial := range []struct {
		what    string
		process int
	}{{"the middle killed", r.middle}, {"the consumer away", r.consumer}} {
		lost, of, err := c.lostWithout(ctx, trial.process)
		if err != nil {
			return err
		}
		t.figure(fmt.Sprintf("%s, lost of %d with %s", r.name, of, trial.what), "", goal{}, float64(lost))
	}
	return nil
}

// crossing is a route that is being used.
type crossing struct {
	*site
	route
	running    []*child.Process
	died, lost int64 // since its start
}

func (c *crossing) start(ctx context.Context) error {
	if c.arrives == "plain" {
		var now string
		if err := c.conn[patients].QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&now); err != nil {
			return err
		}
		for _, database := range []string{"plain", patients} {
			if _, err := c.conn[database].Exec(ctx, `WITH old AS (DELETE FROM sent) INSERT INTO sent VALUES ($1::text::pg_snapshot)`, now); err != nil {
				return err
			}
		}
	} else if err := c.passOn(ctx); err != nil {
		return err
	}
	if _, err := c.conn[c.arrives].Exec(ctx, "TRUNCATE arrived"); err != nil {
		return err
	}
	if err := c.launchAll(); err != nil {
		return err
	}
	return c.warm(ctx)
}

func (c *crossing) launchAll() error {
	for i := range c.processes {
		if err := c.launch(i); err != nil {
			return err
		}
	}
	return nil
}

// passOn has Waybill's consumer load all that was there before.
func (c *crossing) passOn(ctx context.Context) error {
	_, err := c.export(ctx)
	if err == nil {
		_, err = c.load(ctx, c.arrives)
	}
	return err
}

func (c *crossing) launch(i int) (err error) {
	cmd := exec.Command(c.processes[i][0], c.processes[i][1:]...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "WAYBILL_CONFIG="+c.dir), os.Stderr
	c.running[i], err = child.Start(cmd, syscall.SIGKILL)
	return err
}

func (c *crossing) stop(ctx context.Context) (err error) {
	for _, p := range slices.Backward(c.running) {
		if p != nil {
			err = errors.Join(err, p.Stop(ctx))
		}
	}
	return err
}

// warm waits until a first death has come through.
func (c *crossing) warm(ctx context.Context) error {
	for {
		if _, err := c.die(ctx, 1); err != nil {
			return err
		}
		if n, err := c.count(ctx, c.arrives, "arrived"); err != nil || n > 0 {
			return errors.Join(err, c.settle(ctx))
		}
	}
}

// die lets that many patients die, one at a time at a steady rate, and returns when each death was committed.
func (c *crossing) die(ctx context.Context, n int) (map[string]time.Time, error) {
	died := map[string]time.Time{}
	tick := time.NewTicker(time.Second / newsPerSecond)
	defer tick.Stop()
	for range n {
		id, err := c.oneDies(ctx)
		if err != nil {
			return nil, err
		}
		died[id] = time.Now()
		c.died++
		if c.call != "" {
			post(ctx, c.call, []string{id}, 3) // what fails three times is forgotten
		}
		<-tick.C
	}
	return died, nil
}

// delays returns, in order, how long each death took.
func (c *crossing) delays(ctx context.Context) ([]time.Duration, error) {
	seen, over, failed := map[string]time.Time{}, make(chan struct{}), make(chan error, 1)
	go func() { failed <- c.watch(ctx, seen, over) }()
	died, err := c.die(ctx, newsPerSecond*int(newsFor/time.Second))
	if err == nil {
		err = c.settle(ctx)
	}
	close(over)
	if err := errors.Join(err, <-failed); err != nil {
		return nil, err
	}
	var delays []time.Duration
	for id, at := range died {
		if !seen[id].IsZero() {
			delays = append(delays, seen[id].Sub(at))
		}
	}
	slices.Sort(delays)
	return delays, nil
}

// watch looks every millisecond for what has arrived.
func (c *crossing) watch(ctx context.Context, seen map[string]time.Time, over <-chan struct{}) error {
	conn, err := pgx.Connect(ctx, c.urls[c.arrives])
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var last int64
	for ended := false; ; {
		rows, _ := conn.Query(ctx, `SELECT number, patient_id::text FROM arrived WHERE number > $1`, last)
		var id string
		var number int64
		if _, err := pgx.ForEachRow(rows, []any{&number, &id}, func() error {
			seen[id], last = time.Now(), max(last, number)
			return nil
		}); err != nil || ended {
			return err
		}
		select {
		case <-over:
			ended = true // once more
		case <-tick.C:
		}
	}
}

// rate lets many die in one transaction.
func (c *crossing) rate(ctx context.Context) (float64, error) {
	n := c.patients / 20
	if err := c.site.die(ctx, n); err != nil {
		return 0, err
	}
	began := time.Now()
	c.died += int64(n)
	err := c.settle(ctx)
	return float64(n) / time.Since(began).Seconds(), err
}

// lostWithout counts the deaths that never arrive when a process is killed in the middle of them, and is started again
// after as many.
func (c *crossing) lostWithout(ctx context.Context, process int) (lost, of int64, err error) {
	before := c.died
	lost, err = c.lostBetween(ctx,
		func() error { return nil },
		func() error { c.running[process].Kill(); return nil },
		func() error { return c.launch(process) },
	)
	return lost, c.died - before, err
}

// lostBetween has people die for a second after each step, and counts the deaths that never arrive.
func (c *crossing) lostBetween(ctx context.Context, steps ...func() error) (lost int64, err error) {
	for _, step := range steps {
		if err := step(); err != nil {
			return 0, err
		}
		if _, err := c.die(ctx, newsPerSecond); err != nil {
			return 0, err
		}
	}
	return c.lostSince(ctx)
}

// lostSince counts the deaths that never arrive and were not counted before.
func (c *crossing) lostSince(ctx context.Context) (lost int64, err error) {
	if err := c.settle(ctx); err != nil {
		return 0, err
	}
	arrived, err := c.count(ctx, c.arrives, "arrived")
	lost = c.died - c.lost - arrived
	c.lost += lost
	return lost, err
}

// settle waits until all have arrived, or none has for ten seconds.
func (c *crossing) settle(ctx context.Context) error {
	last, since := int64(-1), time.Now()
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for time.Since(since) < 10*time.Second {
		n, err := c.count(ctx, c.arrives, "arrived")
		if err != nil || n >= c.died-c.lost {
			return err
		}
		if n != last {
			last, since = n, time.Now()
		}
		<-tick.C
	}
	return nil
}
