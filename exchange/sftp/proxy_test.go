package sftp_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a store and its server and can make the lines fail.
type proxy struct {
	listener net.Listener
	backend  string
	all      sync.WaitGroup

	mu      sync.Mutex
	lines   map[*line]bool
	highest int // so many lines were open at once
}

type line struct {
	near, far net.Conn
	frozen    chan struct{} // nil: bytes flow; closed when the line is cut
}

// startProxy listens until the test ends.
func startProxy(t *testing.T, backend string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, backend: backend, lines: map[*line]bool{}}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		p.all.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// freeze stops the bytes of the lines that are open. New lines are not affected.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.lines {
		if l.frozen == nil {
			l.frozen = make(chan struct{})
		}
	}
}

// cut closes the lines that are open.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.lines {
		l.near.Close()
		l.far.Close()
		if l.frozen != nil {
			close(l.frozen)
			l.frozen = nil
		}
	}
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.backend)
		if err != nil {
			near.Close()
			continue
		}
		l := &line{near: near, far: far}
		p.mu.Lock()
		p.lines[l] = true
		p.highest = max(p.highest, len(p.lines))
		p.mu.Unlock()
		p.all.Go(func() { p.serve(l) })
	}
}

func (p *proxy) serve(l *line) {
	var both sync.WaitGroup
	both.Go(func() { p.copy(l, l.far, l.near) })
	both.Go(func() { p.copy(l, l.near, l.far) })
	both.Wait()
	p.mu.Lock()
	delete(p.lines, l)
	p.mu.Unlock()
}

func (p *proxy) copy(l *line, to io.Writer, from io.Reader) {
	defer l.near.Close()
	defer l.far.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		frozen := l.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
