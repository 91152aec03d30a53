//go:build crashpoints

// Package crashpoint names the places between the numbered steps of the export and import
// algorithms. In an ordinary build they do nothing; a binary built with the tag `crashpoints`
// kills or stops itself at the one that the environment names, so that tests can show what a
// crash exactly there leaves behind.
package crashpoint

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// stopped keeps a process that was continued from stopping at the same place again.
var stopped atomic.Bool

// Here marks the place called name: WAYBILL_KILL_AT=name kills the process there with SIGKILL,
// WAYBILL_STOP_AT=name stops it with SIGSTOP until somebody continues it.
func Here(name string) {
	switch name {
	case os.Getenv("WAYBILL_KILL_AT"):
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case os.Getenv("WAYBILL_STOP_AT"):
		if !stopped.Swap(true) {
			stop()
		}
	}
}

// stop returns when somebody has continued the process. It signals its own thread: any thread could take
// a signal to the process, and this one would meanwhile continue past the place.
func stop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGSTOP)
}

// calls counts the marks of each kind.
var calls = struct {
	sync.Mutex
	of map[string]int
}{of: map[string]int{}}

// Call marks a call of one kind, "store" or "db", before it is made; made marks it again afterwards.
// WAYBILL_KILL_AT=db:17 kills the process at the seventeenth mark of that kind.
func Call(kind string) (made func()) {
	mark(kind)
	return func() { mark(kind) }
}

func mark(kind string) {
	calls.Lock()
	defer calls.Unlock() // held while it kills, so that no later mark is passed meanwhile
	calls.of[kind]++
	Here(fmt.Sprintf("%s:%d", kind, calls.of[kind]))
}

// Report writes down how many calls were marked, into the file that WAYBILL_CALLS names.
func Report() {
	file := os.Getenv("WAYBILL_CALLS")
	if file == "" {
		return
	}
	calls.Lock()
	defer calls.Unlock()
	data, err := json.Marshal(calls.of)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// Conn returns c with its writes marked as calls of a kind: a request that was sent takes effect even if
// its answer is never read.
func Conn(c net.Conn, kind string) net.Conn { return &conn{c, kind} }

type conn struct {
	net.Conn
	kind string
}

func (c *conn) Write(p []byte) (int, error) {
	defer Call(c.kind)()
	return c.Conn.Write(p)
}
