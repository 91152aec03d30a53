// Package proxy passes TCP connections on and disturbs them on demand, for tests of bad lines. It
// listens on a loopback address of its own, on the very ports of the server, so that protocols
// which name further ports (FTP) go through it too.
package proxy

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Fault is a disturbance of a line.
type Fault int

// The faults.
const (
	None  Fault = iota
	Cut         // connections are reset, and new ones too
	Stall       // nothing gets through any more, without an error
	Slow        // a few kilobytes a second get through
)

const slowPiece, slowPause = 2 << 10, 5 * time.Millisecond

// Proxy passes on what comes to its address. Its methods may be called concurrently.
type Proxy struct {
	from, to string // hosts

	mu        sync.Mutex
	changed   *sync.Cond
	listeners []net.Listener
	lines     map[*line]struct{}
	passed    int64
	fault     Fault
	after     int64 // the fault begins when so many bytes have passed
	once      bool  // the fault ends with the connections that it hits
	struck    int
	closed    bool
	running   sync.WaitGroup
}

// New returns a proxy that listens on the host from, 127.0.0.2 say, and connects to the host to.
func New(from, to string) *Proxy {
	p := &Proxy{from: from, to: to, lines: map[*line]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// Forward passes connections to a port on to the same port of the other host.
func (p *Proxy) Forward(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(p.from, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, l)
	p.running.Go(func() { p.accept(l, net.JoinHostPort(p.to, strconv.Itoa(port))) })
	return nil
}

// Passed returns how many bytes have gone through, in both directions.
func (p *Proxy) Passed() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// Strike begins a fault after this many more bytes, or at once. With once a cut ends with the
// connections that it hits; otherwise it lasts until [Proxy.Heal].
func (p *Proxy) Strike(f Fault, after int64, once bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.after, p.once = f, p.passed+after, once
	p.changed.Broadcast()
	if f == Cut && after <= 0 {
		p.struck += len(p.lines)
		if once && len(p.lines) > 0 {
			p.fault = None
		}
		p.cutAll()
	}
}

// Heal ends all faults. Stalled lines continue.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = None
	p.changed.Broadcast()
}

// Struck returns how many connections a fault has hit.
func (p *Proxy) Struck() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// Close ends everything and returns when nothing runs any more.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listeners {
		_ = l.Close()
	}
	p.cutAll()
	p.changed.Broadcast()
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) cutAll() {
	for l := range p.lines {
		l.reset()
	}
}

func (p *Proxy) accept(l net.Listener, target string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			abort(client)
			continue
		}
		p.pass(&line{client: client, server: server})
	}
}

func (p *Proxy) pass(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.reset()
		return
	}
	p.lines[l] = struct{}{}
	p.running.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { p.copy(l, l.server, l.client) })
		both.Go(func() { p.copy(l, l.client, l.server) })
		both.Wait()
		l.close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.lines, l)
	})
}

// copy passes one direction on, half-closing where its source does.
func (p *Proxy) copy(l *line, to, from net.Conn) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !p.deliver(l, to, buffer[:n]) {
			return
		}
		if errors.Is(err, io.EOF) {
			_ = to.(*net.TCPConn).CloseWrite()
			return
		}
		if err != nil {
			l.reset()
			return
		}
	}
}

// deliver sends data in pieces between which faults may begin. It returns false for a line that
// has ended.
func (p *Proxy) deliver(l *line, to net.Conn, data []byte) bool {
	for len(data) > 0 {
		n, fault := p.await(l, int64(len(data)))
		switch fault {
		case Cut:
			l.reset()
			return false
		case Slow:
			n = min(n, slowPiece)
			time.Sleep(slowPause)
		}
		if _, err := to.Write(data[:n]); err != nil {
			l.reset()
			return false
		}
		p.mu.Lock()
		p.passed += n
		p.mu.Unlock()
		data = data[n:]
	}
	return true
}

// await returns how many of the next bytes may pass and how. It blocks while the line is stalled.
func (p *Proxy) await(l *line, want int64) (int64, Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		left := p.after - p.passed
		switch {
		case p.closed || l.ended():
			return 0, Cut
		case p.fault == None:
			return want, None
		case left > 0:
			return min(want, left), None
		}
		if !l.struck {
			l.struck = true
			p.struck++
		}
		fault := p.fault
		if fault != Stall {
			if p.once && fault == Cut {
				p.fault = None
			}
			return want, fault
		}
		p.changed.Wait()
	}
}

// line is a client's connection and the one to the server.
type line struct {
	client, server net.Conn
	struck         bool
	mu             sync.Mutex
	over           bool
}

func (l *line) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// reset ends both so that their peers see an error and no orderly end.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		abort(l.client)
		abort(l.server)
	}
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		_ = l.client.Close()
		_ = l.server.Close()
	}
}

func abort(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}
