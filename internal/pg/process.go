package pg

import (
	"context"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a postmaster with the processes it forked.
type process struct {
	pid  int
	gone chan struct{} // closed when the postmaster and all its children have ended
}

// startProcess runs cmd, whose output must go to writers and not to files: the end of the
// output pipe is what tells that the children too have ended.
//
// The kernel sends the parent-death signal when the *thread* that forked ends, and Go ends
// threads at will. So one goroutine forks and waits, locked to its thread: that thread ends
// with the server or with this process, and not before.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{gone: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		endWithParent(cmd.SysProcAttr)
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how a server ended is told by its log
			close(p.gone)
		}
	}()
	return p, <-started
}

// stop asks for PostgreSQL's fast shutdown and falls back to kill when ctx ends.
func (p *process) stop(ctx context.Context) error {
	p.signal(syscall.SIGINT)
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
}

// kill ends the postmaster and its children at once. The children are named one by one
// because each leads a session of its own; the postmaster is halted first so that none is
// forked meanwhile.
func (p *process) kill() {
	p.signal(syscall.SIGSTOP)
	for _, child := range children(p.pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	p.signal(syscall.SIGKILL)
	<-p.gone
}

func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.gone: // the number may belong to somebody else by now
	default:
		_ = syscall.Kill(p.pid, sig)
	}
}
