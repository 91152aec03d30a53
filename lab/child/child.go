// Package child runs server processes that live at most as long as the process that started
// them: for the demonstration, tests and benchmarks.
package child

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a server with the processes it forked.
type Process struct {
	pid   int
	end   syscall.Signal
	gone  chan struct{}
	state *os.ProcessState // once it is gone
}

// Start runs cmd, whose output must go to writers, not to files: the end of the output pipe shows
// that the children have ended, too. The signal end asks for an orderly end; the kernel sends it
// when this process ends (on Linux). The server gets a process group that the terminal's Ctrl-C
// does not reach.
//
// The kernel sends the parent-death signal when the *thread* that forked ends, and Go ends threads
// at will. So one goroutine forks and waits, locked to its thread: that thread ends only with the
// server or with this process.
func Start(cmd *exec.Cmd, end syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	endWithParent(cmd.SysProcAttr, end)
	p := &Process{end: end, gone: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // a server's log says how it ended
			p.state = cmd.ProcessState
			close(p.gone)
		}
	}()
	return p, <-started
}

// Gone is closed when the server and all its children have ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// State waits until it has ended, and returns how it did.
func (p *Process) State() *os.ProcessState {
	<-p.gone
	return p.state
}

// Stop asks for an orderly end, and kills the server if ctx ends first.
func (p *Process) Stop(ctx context.Context) error {
	p.Signal(p.end)
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	}
}

// Kill ends the server and its children at once. The children are named one by one because
// each may lead a session of its own; the server is halted first so that none is forked
// meanwhile.
func (p *Process) Kill() {
	p.Signal(syscall.SIGSTOP)
	killBelow(p.pid)
	p.Signal(syscall.SIGKILL)
	<-p.gone
}

func killBelow(pid int) {
	for _, child := range children(pid) {
		_ = syscall.Kill(child, syscall.SIGSTOP)
		killBelow(child)
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
}

// Signal sends sig to the server alone, unless it has ended.
func (p *Process) Signal(sig syscall.Signal) {
	select {
	case <-p.gone: // the number may belong to somebody else by now
	default:
		_ = syscall.Kill(p.pid, sig)
	}
}

// FreePort returns a port of 127.0.0.1 that nobody listens on. Between this and binding it
// another process may take it.
func FreePort(ctx context.Context) (int, error) { return listen(ctx, 0, 1) }

// FreePorts returns the first of n such ports in a row. They are below those that systems give
// to clients, among which there is seldom a row that is free.
func FreePorts(ctx context.Context, n int) (int, error) {
	const lowest, highest = 20_000, 32_000
	var err error
	for i := range highest / n {
		// Processes that ask at the same moment should not begin at the same port.
		first := lowest + (os.Getpid()*n+i*n)%(highest-lowest-n)
		if first, err = listen(ctx, first, n); err == nil {
			return first, nil
		}
	}
	return 0, err
}

// listen binds n ports from first on, or any ports, and releases them.
func listen(ctx context.Context, first, n int) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", first))
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	first = l.Addr().(*net.TCPAddr).Port
	if n > 1 {
		_, err = listen(ctx, first+1, n-1)
	}
	return first, err
}
