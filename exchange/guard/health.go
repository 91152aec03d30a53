package guard

import (
	"sync"
	"time"
)

// States of a store's circuit breaker.
const (
	Closed   = "closed"    // calls go through
	Open     = "open"      // calls fail at once
	HalfOpen = "half-open" // the next call decides
)

// Health is a store's record in this process.
type Health struct {
	State     string     `json:"state"`
	Failures  int        `json:"failures"`             // in a row; 0: the last call succeeded
	Since     *time.Time `json:"since,omitempty"`      // when the first of them happened
	NextTry   *time.Time `json:"next_try,omitempty"`   // while open
	LastError string     `json:"last_error,omitempty"` // of them
}

type health struct {
	now     func() time.Time
	mu      sync.Mutex
	current Health
}

func (h *health) read() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

func (h *health) change(state string, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current.State, h.current.NextTry = state, nil
	if state == Open {
		h.current.NextTry = new(h.now().Add(pause))
	}
}

// note counts an attempt.
func (h *health) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !passing(err) {
		h.current = Health{State: h.current.State, NextTry: h.current.NextTry}
		return
	}
	if h.current.Failures++; h.current.Failures == 1 {
		h.current.Since = new(h.now())
	}
	h.current.LastError = err.Error()
}
