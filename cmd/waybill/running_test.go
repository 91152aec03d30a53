package main_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/await"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
)

// The settings of a service whose jobs run all the time.
const (
	everySecond = "\njobs: {%s: '@every 1s'}"
	often       = "\njobs: {%s: {schedule: '@every 50ms', timeout: 20s}}" // a run follows for half of that
)

// running is a site whose services' jobs run, each on several machines, on a PostgreSQL of its own.
type running struct {
	*site
	server   *pg.Server
	lease    string // of a run, after which a machine that is silent loses it; "": 5m, since a busy machine is no fault
	mu       sync.Mutex
	machines map[string][]*machine // by service
	killed   int
}

// machine is one `waybill run`.
type machine struct {
	cmd *exec.Cmd
	log *bytes.Buffer
}

var jobOf = map[string]string{"patients": "export", "morgue": "import", "appointments": "import"}

func newRunning(t *testing.T, machines int) *running {
	t.Helper()
	return newRunningBy(t, everySecond, machines)
}

func newRunningBy(t *testing.T, jobs string, machines int) *running {
	t.Helper()
	server, err := pg.Start(t.Context(), pg.Options{Settings: pgtest.Fast()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	s := &site{TB: t, dir: t.TempDir(), place: hosttest.New(t), urls: map[string]string{}, conn: map[string]*pgx.Conn{}}
	r := &running{site: s, server: server, machines: map[string][]*machine{}}
	for service, job := range jobOf {
		if r.urls[service], err = server.CreateService(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		settings := fmt.Sprintf(jobs, job)
		if service == "patients" {
			r.configure(service, "export: {heartbeat: 1h, batch_events: 100}"+settings)
		} else {
			r.configure(service, "import: {instance: east, brake: off}"+settings)
		}
	}
	r.do("migrate")
	r.reconnect()
	t.Cleanup(func() {
		for service := range jobOf {
			if t.Failed() {
				t.Log(r.run(nil, "jobs", "history", service).stdout)
			}
		}
	})
	for service := range jobOf {
		for range machines {
			r.start(service)
		}
	}
	return r
}

func (r *running) reconnect() {
	r.Helper()
	for service, url := range r.urls {
		conn, err := pgx.Connect(r.Context(), url)
		if err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { conn.Close(context.Background()) })
		r.conn[service] = conn
	}
}

// start adds a machine.
func (r *running) start(service string, environment ...string) *machine {
	r.Helper()
	m := &machine{cmd: r.command(environment, "--log", "info", "run", service, "--lease", cmp.Or(r.lease, "5m"), "--stop-within", "1m", "--look", "1s"), log: &bytes.Buffer{}}
	m.cmd.Stderr = m.log
	if err := m.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = m.cmd.Process.Kill(); _ = m.cmd.Wait() })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.machines[service] = append(r.machines[service], m)
	return m
}

// killLeaders kills the machine that ticks for each service, or another if none does, and starts
// one in its place.
func (r *running) killLeaders() {
	r.Helper()
	for service := range jobOf {
		leader := ""
		if conn, err := pgx.Connect(r.Context(), r.urls[service]); err == nil { // PostgreSQL may be down
			_ = conn.QueryRow(r.Context(), `SELECT split_part(leader_id, ':', 2) FROM jobs.river_leader WHERE expires_at > now()`).Scan(&leader)
			conn.Close(r.Context())
		}
		pid, _ := strconv.Atoi(leader)
		r.replace(service, pid)
	}
}

func (r *running) replace(service string, pid int) {
	r.Helper()
	machines := r.machines[service]
	victim := r.killed % len(machines)
	for i, m := range machines {
		if m.cmd.Process.Pid == pid {
			victim = i
		}
	}
	m := machines[victim]
	r.machines[service] = append(machines[:victim:victim], machines[victim+1:]...)
	if err := m.cmd.Process.Kill(); err != nil {
		r.Errorf("kill: %v\n%s", err, m.log)
	}
	_ = m.cmd.Wait()
	r.killed++
	r.start(service)
}

// liveOn has people be admitted, die and come back to life, until ctx ends; and somebody types
// exports and imports meanwhile. Databases may be gone meanwhile.
func (r *running) liveOn(ctx context.Context) (admitted *atomic.Int64, wait func()) {
	var group sync.WaitGroup
	admitted = new(atomic.Int64)
	group.Go(func() {
		for ctx.Err() == nil {
			if r.admitted(ctx, int(admitted.Load())) {
				admitted.Add(1)
			}
		}
	})
	group.Go(func() {
		for ctx.Err() == nil {
			for _, arguments := range [][]string{{"export"}, {"import", "morgue"}, {"import", "appointments"}} {
				// A folder that is taken away under a run looks like lost files (3); the next run finds it whole.
				if result := r.run(nil, arguments...); result.code == 6 || result.code < 0 {
					r.Errorf("waybill %v meanwhile: exit %d\n%s", arguments, result.code, result.stderr)
				}
			}
		}
	})
	return admitted, group.Wait
}

// admitted tells whether person n was; that may have to be tried again.
func (r *running) admitted(ctx context.Context, n int) bool {
	for service, statements := range map[string][]string{
		"appointments": {fmt.Sprintf(`INSERT INTO appointments.appointment (id, patient_id, kind, resource, starts_at, ends_at)
			VALUES ('%s', '%s', 'consultation', 'room %d', '2999-01-01 10:00+00', '2999-01-01 10:15+00') ON CONFLICT DO NOTHING`, appointment(n), patient(n), n)},
		"patients": {
			fmt.Sprintf(`INSERT INTO patients.patient (id, family_name) VALUES ('%s', 'Test') ON CONFLICT DO NOTHING`, patient(n)),
			fmt.Sprintf(`UPDATE patients.patient SET death_status = 'formal' WHERE id = '%s' AND %d %% 3 > 0`, patient(n), n),
			fmt.Sprintf(`UPDATE patients.patient SET death_status = 'none' WHERE id = '%s' AND %d %% 3 > 1`, patient(n), n),
		},
	} {
		conn, err := pgx.Connect(ctx, r.urls[service])
		if err != nil {
			return false
		}
		defer conn.Close(context.WithoutCancel(ctx))
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return false
			}
		}
		if _, err := conn.Exec(ctx, `SELECT pg_sleep(0.02)`); err != nil {
			return false
		}
	}
	return true
}

// wait lets real time go by, by a clock that is not PostgreSQL's.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// agreed waits until source, log and consumers say the same.
func (r *running) agreed() {
	r.Helper()
	said := ""
	defer func() {
		if r.Failed() {
			r.Log(said)
		}
	}()
	await.True(r, "they agree", func() bool {
		result, status := r.run(nil, "reconcile"), r.run(nil, "status", "--json")
		said = result.stdout + result.stderr + status.stdout
		return result.code == 0 && status.code == 0 && strings.Contains(status.stdout, `"state": "ok"`)
	})
}

// unstuck checks that no run is left running or waiting but young ones.
func (r *running) unstuck() {
	r.Helper()
	for service := range jobOf {
		await.SQL(r, r.conn[service], `NOT EXISTS (SELECT FROM jobs.run WHERE finished_at IS NULL AND queued_at < clock_timestamp() - interval '20 s')
			AND NOT EXISTS (SELECT FROM jobs.river_job WHERE state = 'running' AND attempted_at < clock_timestamp() - interval '20 s')
			AND NOT EXISTS (SELECT FROM jobs.river_job WHERE state IN ('retryable', 'scheduled', 'pending', 'discarded'))`)
	}
}

// endedWell waits until so many runs of a service's job ended well. Where leaders are killed one
// after the other few do, since each time the next is elected only when the lease of the last is over.
func (r *running) endedWell(service string, runs int) {
	r.Helper()
	await.SQL(r, r.conn[service], `(SELECT count(*) FROM jobs.run WHERE job = $1 AND outcome IN ('done', 'nothing', 'busy')) >= $2`, jobOf[service], runs)
}

// stop ends all machines as an operator does.
func (r *running) stop() {
	r.Helper()
	for service, machines := range r.machines {
		for _, m := range machines {
			if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				r.Error(err)
			}
		}
		for _, m := range machines {
			if err := m.cmd.Wait(); err != nil {
				r.Errorf("run %s ended with %v\n%s", service, err, m.log)
			}
		}
	}
	r.machines = map[string][]*machine{}
}

// loseStore takes the exchange away for a while.
func (r *running) loseStore(d time.Duration) {
	r.Helper()
	gone := r.place.Path + ".gone"
	if err := os.Rename(r.place.Path, gone); err != nil {
		r.Fatal(err)
	}
	wait(r.Context(), d)
	_ = os.RemoveAll(r.place.Path) // somebody may have begun it anew
	if err := os.Rename(gone, r.place.Path); err != nil {
		r.Fatal(err)
	}
}

func (r *running) restart() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Minute)
	defer cancel()
	if err := r.server.Restart(ctx); err != nil {
		r.Fatal(err)
	}
}

// exported waits until so many events are in batches.
func (r *running) exported(events int) {
	r.Helper()
	await.True(r, fmt.Sprint(events, " events are exported"), func() bool {
		var status []struct {
			Export *struct {
				Waiting int `json:"waiting"`
			} `json:"export"`
		}
		if err := json.Unmarshal(resultIn(r.run(nil, "status", "--json").stdout), &status); err != nil {
			r.Fatal(err)
		}
		var recorded int
		if err := r.conn["patients"].QueryRow(r.Context(), `SELECT count(*) FROM patients.outbox`).Scan(&recorded); err != nil {
			r.Fatal(err)
		}
		for _, s := range status {
			if s.Export != nil && s.Export.Waiting == 0 && recorded == events {
				return true
			}
		}
		return false
	})
}
