package s3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"waybill/lab/servers"
)

// proxy stands before the server and keeps the headers of all requests. For those that answer
// says it will, it answers in the server's place.
type proxy struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu   sync.Mutex
	seen []*http.Request
}

func startProxy(t *testing.T, server *servers.S3, answer func(http.ResponseWriter, *http.Request) bool) *proxy {
	t.Helper()
	target, err := url.Parse(server.Endpoint())
	must(t, err)
	// The host is signed, so it must arrive as it was sent.
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	p := &proxy{answer: answer}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Clone(r.Context()))
		p.mu.Unlock()
		if p.answer == nil || !p.answer(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// requests returns those of a method.
func (p *proxy) requests(method string) []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*http.Request
	for _, r := range p.seen {
		if r.Method == method {
			found = append(found, r)
		}
	}
	return found
}

// refuse answers as S3 refuses.
func refuse(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>refused for the test</Message></Error>`, code)
	return true
}
