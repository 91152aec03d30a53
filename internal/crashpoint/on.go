//go:build crashpoints

// Package crashpoint names the places between the numbered steps of the export and import
// algorithms. In an ordinary build they do nothing; a binary built with the tag `crashpoints`
// kills or stops itself at the one that the environment names, so that tests can show what a
// crash exactly there leaves behind.
package crashpoint

import (
	"os"
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
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
	}
}
