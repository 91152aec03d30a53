package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long a run may take before it counts as stuck: longer than it may be frozen,
// and then be kept waiting by a store.
const patience = 2*endless + 30*time.Second

// history counts how runs ended, and keeps the promises that were broken.
type history struct {
	began time.Time
	out   io.Writer

	mu       sync.Mutex
	runs     int
	codes    map[int]int
	shot     int // ended by our SIGKILL
	replaced int // importers past their lease whose place another took
	frozen   int // runs that were halted in the middle
	took     []time.Duration
	woken    int // runs that were frozen for longer than the lease, and then found themselves replaced
	broken   []string

	restores atomic.Int32 // odd while one is under way
}

func newHistory(out io.Writer) *history {
	return &history{began: time.Now(), out: out, codes: map[int]int{}}
}

// say prints a line with the time since the beginning.
func (h *history) say(format string, arguments ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.out, "%7.1fs  %s\n", time.Since(h.began).Seconds(), fmt.Sprintf(format, arguments...))
}

// breach records a broken promise.
func (h *history) breach(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	h.mu.Lock()
	h.broken = append(h.broken, text)
	h.mu.Unlock()
	h.say("BROKEN: %s", text)
}

// failed reports whether any promise was broken.
func (h *history) failed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.broken) == 0 {
		return nil
	}
	return fmt.Errorf("%d promises were broken; the first: %s", len(h.broken), h.broken[0])
}

// Exit codes that a run may have while things go wrong: done, given up for now, late.
const exitDone, exitTransient, exitLate = 0, 4, 5

// note records how a run ended.
func (h *history) note(m *machine, r *run, state *os.ProcessState) {
	said, slept := r.output.String(), time.Duration(r.slept.Load())
	status := state.Sys().(syscall.WaitStatus)
	switch {
	case r.stuck.Load():
		h.breach("a run of %s was stuck; where, is in %s", m.name, kept(r))
	case status.Signaled():
		if !r.shot.Load() || status.Signal() != syscall.SIGKILL {
			h.breach("a run of %s ended by %s: %s", m.name, status.Signal(), said)
		}
	case status.ExitStatus() != exitDone && status.ExitStatus() != exitTransient && status.ExitStatus() != exitLate:
		h.breach("a run of %s ended with %d: %s", m.name, status.ExitStatus(), said)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs++
	if status.Signaled() {
		h.shot++
		return
	}
	h.codes[status.ExitStatus()]++
	if slept > 0 {
		h.frozen++
	} else {
		h.took = append(h.took, time.Since(r.began))
	}
	if bytes.Contains(r.all.Bytes(), []byte("took the place")) {
		h.replaced++
	}
	if slept > lease && status.ExitStatus() == exitTransient {
		h.woken++
	}
}

// kept writes a run's output into a file that stays.
func kept(r *run) string {
	file, err := os.CreateTemp("", "waybill-stuck-*.txt")
	if err == nil {
		_, err = file.Write(r.all.Bytes())
	}
	if err != nil {
		return err.Error()
	}
	return file.Name()
}

func (h *history) print() {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.out, "%d runs: %d done, %d gave up for now, %d found the log late, %d were killed, %d frozen, of which %d woke up to give up; %d frozen importers were replaced; a run took %s (median)\n",
		h.runs, h.codes[exitDone], h.codes[exitTransient], h.codes[exitLate], h.shot, h.frozen, h.woken, h.replaced, percentile(h.took, 50))
}
