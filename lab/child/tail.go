package child

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
)

const tailBytes = 4096

// Tail passes a server's log on and keeps its end, for error messages.
type Tail struct {
	mu   sync.Mutex
	next io.Writer
	tail []byte
}

// NewTail returns a Tail that passes on to next; nil discards.
func NewTail(next io.Writer) *Tail {
	if next == nil {
		next = io.Discard
	}
	return &Tail{next: next}
}

// Write implements [io.Writer].
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = append(t.tail, p...)
	if len(t.tail) > tailBytes {
		t.tail = slices.Clone(t.tail[len(t.tail)-tailBytes:])
	}
	return t.next.Write(p)
}

// String returns the last lines on one line.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return LastLines(t.tail)
}

// LastLines makes the end of an output fit into an error message.
func LastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(out, []byte("?")))), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], "; ")
}
