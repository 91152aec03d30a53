package pg_test

import (
	"runtime"
	"sync"
)

// endThreads ends n threads of this process: a goroutine that returns locked takes its
// thread with it.
func endThreads(n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { runtime.LockOSThread() })
	}
	all.Wait()
}
