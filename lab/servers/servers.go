// Package servers runs real file servers as child processes on ports of 127.0.0.1: for the
// demonstration, tests and benchmarks. Each lives at most as long as the process that
// started it, keeps its files in a folder that the caller can look into, and can be killed,
// halted and started again on the same port and files.
package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"waybill/internal/fault"
	"waybill/lab/child"
)

const (
	readyInterval = 20 * time.Millisecond
	portAttempts  = 5
)

// Server is what all kinds of servers have in common. Its methods may be called concurrently.
type Server struct {
	name    string
	command func(port int) (*exec.Cmd, error)
	log     io.Writer
	port    int

	mu      sync.Mutex
	process *child.Process
}

// start runs the command that command makes for a free port, and returns once connections are
// accepted there.
func start(ctx context.Context, name string, log io.Writer, command func(port int) (*exec.Cmd, error)) (*Server, error) {
	s := &Server{name: name, command: command, log: log}
	var err error
	for range portAttempts {
		if s.port, err = child.FreePort(ctx); err != nil {
			return nil, s.failed("find a port for", err)
		}
		if err = s.launch(ctx); err == nil || !strings.Contains(strings.ToLower(err.Error()), "in use") {
			break
		}
	}
	return s, err
}

func (s *Server) launch(ctx context.Context) error {
	cmd, err := s.command(s.port)
	if err != nil {
		return s.failed("start", err)
	}
	tail := child.NewTail(s.log)
	cmd.Stdout, cmd.Stderr = tail, tail
	p, err := child.Start(cmd, syscall.SIGTERM)
	if err != nil {
		return s.failed("start", err)
	}
	if err := s.waitReady(ctx, p); err != nil {
		p.Kill()
		return s.failed("start", fmt.Errorf("%w: %s", err, tail))
	}
	s.process = p
	return nil
}

func (s *Server) waitReady(ctx context.Context, p *child.Process) error {
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", s.Addr()); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-p.Gone():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Addr returns host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Stop ends the server in order; when ctx ends first, it is killed. Its files stay. Stopping a
// stopped server is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(ctx)
	s.process = nil
	if err != nil {
		return s.failed("stop", err)
	}
	return nil
}

// Kill ends the server and its sessions with SIGKILL and returns when they are gone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Kill()
		s.process = nil
	}
}

// Start runs a stopped or killed server again, on the same port and files.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	return s.launch(ctx)
}

func (s *Server) failed(op string, cause error) error {
	return fault.New(fault.Transient, op, s.name, cause, "`make servers` installs what the servers need")
}
