package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"waybill/lab/child"
	"waybill/lab/proxy"
	"waybill/lab/servers"
	"waybill/lab/site"
)

// crew are the machines: two for each service.
var crew = []struct{ name, service string }{
	{"patients-east", "patients"},
	{"patients-west", "patients"},
	{"morgue-east", "morgue"},
	{"morgue-west", "morgue"},
	{"appointments-east", "appointments"},
	{"appointments-west", "appointments"},
}

// machine runs waybill as cron would: again and again, each time a new process. It has a line of
// its own to the store and another to its service's database.
type machine struct {
	name, service   string
	binary, dir     string
	store, database *proxy.Proxy
	history         *history

	turn    sync.Mutex // held while it runs, or may not
	mu      sync.Mutex
	runs    int
	running *run
	started *sync.Cond
	over    bool // nothing more is started
}

// run is one process.
type run struct {
	*child.Process
	began  time.Time
	output *child.Tail // its end
	all    bytes.Buffer
	shot   atomic.Bool  // its end by SIGKILL is our doing
	slept  atomic.Int64 // for how long it was frozen
	stuck  atomic.Bool
}

func (r *run) ended() bool {
	select {
	case <-r.Gone():
		return true
	default:
		return false
	}
}

// newMachine sets up the lines, which begin at address, and writes the configuration.
func newMachine(s *site.Site, binary, name, service, address string, h *history) (*machine, error) {
	m := &machine{
		name: name, service: service, binary: binary, dir: filepath.Join(s.Root, name), history: h,
		store: proxy.New(address, "127.0.0.1"), database: proxy.New(address, "127.0.0.1"),
	}
	m.started = sync.NewCond(&m.mu)
	if err := os.MkdirAll(filepath.Join(m.dir, "spool"), 0o700); err != nil {
		return nil, err
	}
	for _, port := range s.Host.Ports {
		if err := m.store.Forward(port); err != nil {
			return nil, err
		}
	}
	party, err := m.party(s, address)
	if err != nil {
		return nil, err
	}
	return m, party.Write(filepath.Join(m.dir, service+".yaml"))
}

func (m *machine) party(s *site.Site, address string) (site.Party, error) {
	party := site.Party{Service: m.service, Spool: filepath.Join(m.dir, "spool"), Section: "export: {heartbeat: 3s, batch_events: 300}", Keys: s.Keys(m.service).Settings}
	if m.service != site.Patients {
		_, side, _ := strings.Cut(m.name, "-")
		party.Section = fmt.Sprintf("import: {instance: %s, lease: %s, brake: off, act_within: %s}", side, lease, s.ActWithinText())
	}
	far, port, err := behind(s.Services[m.service].URL, address)
	if err != nil {
		return party, err
	}
	party.Database = far
	if party.Exchange, err = at(s.Exchange, address); err != nil {
		return party, err
	}
	return party, m.database.Forward(port)
}

// behind returns a URL with another address in place of its host and port.
func behind(text, address string) (string, int, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", 0, err
	}
	port, err := net.LookupPort("tcp", u.Port())
	u.Host = net.JoinHostPort(address, u.Port())
	return u.String(), port, err
}

// at does not change the URL of a directory.
func at(e servers.Exchange, address string) (servers.Exchange, error) {
	if strings.HasPrefix(e.URL, "file:") {
		return e, nil
	}
	return e.At(address)
}

// work runs the command until ctx ends, and lets the last run finish.
func (m *machine) work(ctx context.Context) error {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.over = true
		m.started.Broadcast()
	}()
	for ctx.Err() == nil {
		if err := m.once(); err != nil {
			return err
		}
		sleep(ctx, 400*time.Millisecond)
	}
	return nil
}

func (m *machine) once() error {
	m.turn.Lock()
	defer m.turn.Unlock()
	r, err := m.start()
	if err == nil {
		m.finish(r)
	}
	return err
}

// finish waits for a run's end. A run that is stuck has to print its stacks, and is killed.
func (m *machine) finish(r *run) {
	stuck := time.AfterFunc(patience, func() {
		r.stuck.Store(true)
		r.Signal(syscall.SIGQUIT)
	})
	defer stuck.Stop()
	m.history.note(m, r, r.State())
}

// snapshotOnceIn is how many runs of an exporter come to one that appends a snapshot.
const snapshotOnceIn = 20

// command is what this machine has to do next.
func (m *machine) command() []string {
	m.runs++
	switch {
	case m.service != site.Patients:
		return []string{"import", m.service}
	case m.runs%snapshotOnceIn == 0:
		return []string{"export", "--snapshot"}
	default:
		return []string{"export"}
	}
}

func (m *machine) start() (*run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cmd := exec.Command(m.binary, append([]string{"--config", m.dir}, m.command()...)...)
	r := &run{began: time.Now()}
	r.output = child.NewTail(&r.all)
	cmd.Stdout, cmd.Stderr = r.output, r.output
	var err error
	if r.Process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	m.running = r
	m.started.Broadcast()
	return r, nil
}

// next waits for the next run to begin, and then until it has run for that long. It returns nil if there is
// no other run.
func (m *machine) next(after time.Duration) *run {
	m.mu.Lock()
	old := m.running
	for m.running == old && !m.over {
		m.started.Wait()
	}
	r, over := m.running, m.over
	m.mu.Unlock()
	if over {
		return nil
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Gone():
	}
	return r
}

// repair heals the lines.
func (m *machine) repair() {
	m.store.Heal()
	m.database.Heal()
}

func (m *machine) close() {
	m.store.Close()
	m.database.Close()
}
