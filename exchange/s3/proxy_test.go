package s3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"waybill/internal/fact"
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

// Google's gateway is one that does.
func TestAGatewayMayRewriteAcceptEncoding(t *testing.T) {
	c := config()
	c.Endpoint = startProxy(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Set("Accept-Encoding", "gzip,gzip(gfe)")
		return false
	}).URL
	store := open(t, c)
	must(t, store.Publish(t.Context(), "log/a", []byte("x")))
	must(t, store.Put(t.Context(), "parts/a", 9*mB, pattern(9*mB)))
	wantBytes(t, store, "parts/a", patternBytes(t, 9*mB))
	must(t, store.Move(t.Context(), "log/a", "log/b"))
	for name, err := range store.List(t.Context(), "log") {
		if name != "b" || err != nil {
			t.Errorf("listed: %q, %v", name, err)
		}
	}
	must(t, store.Delete(t.Context(), "log/b"))
}

// A setting that the server does not report counts neither as a problem nor as right.
func TestSettingsThatAServerDoesNotTell(t *testing.T) {
	empty := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("object-lock") {
			fmt.Fprint(w, `<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ObjectLockConfiguration>`)
			return true
		}
		return false
	}
	denied := func(w http.ResponseWriter, r *http.Request) bool {
		for _, setting := range []string{"object-lock", "versioning", "lifecycle"} {
			if r.URL.Query().Has(setting) {
				return refuse(w, http.StatusForbidden, "AccessDenied")
			}
		}
		return false
	}
	inspect := func(answer func(http.ResponseWriter, *http.Request) bool) map[string]fact.Fact {
		c := config()
		c.Endpoint = startProxy(t, server, answer).URL
		facts, err := open(t, c).Inspect(t.Context())
		must(t, err)
		found := map[string]fact.Fact{}
		for _, f := range facts {
			found[f.Name] = f
		}
		return found
	}
	if lock := inspect(empty)["object lock"]; lock.Value != "off" {
		t.Errorf("%+v", lock)
	}
	for _, setting := range []string{"object lock", "versions", "lifecycle"} {
		if f := inspect(denied)[setting]; f.Value != "not readable: AccessDenied" || f.Advice == "" {
			t.Errorf("%+v", f)
		}
	}
}

// refuse answers as S3 refuses.
func refuse(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>refused for the test</Message></Error>`, code)
	return true
}
