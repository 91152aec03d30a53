package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"waybill/lab/hospital"
	"waybill/lab/servers"
)

// distantPatients is more than die while followers are watched.
const distantPatients = 8000

// distant has followers exchange by S3 with what each request takes at AWS, by its documentation: 100 ms at least, and less than
// ten in S3 Express One Zone. It does so in the first round alone.
func (s *site) distant(ctx context.Context, t *table) (err error) {
	if s.other != nil {
		return nil
	}
	dir := s.path("store-distant")
	host, err := servers.StartHost(ctx, "s3", dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Stop(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	var delay atomic.Int64
	if err := s.makeDistant(ctx, host, &delay); err != nil {
		return err
	}
	for _, class := range []struct {
		name  string
		delay time.Duration
	}{{"S3 Standard", 100 * time.Millisecond}, {"S3 Express", 5 * time.Millisecond}} {
		for _, every := range []time.Duration{time.Second, 100 * time.Millisecond} {
			delay.Store(int64(class.delay))
			delays, err := s.other.delays(ctx, every)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("the same over S3, %s a request as at %s, --every %s, ", class.delay, class.name, every)
			t.figure(what+"p50", "ms", goal{}, milliseconds(delays[len(delays)/2]))
			t.figure(what+"p99", "ms", atMost(milliseconds(2*every+20*time.Millisecond)), milliseconds(delays[len(delays)*99/100]))
		}
	}
	return nil
}

// makeDistant makes a patients service and consumers that reach the host's S3 through a proxy, which delays each request.
func (s *site) makeDistant(ctx context.Context, host *servers.Host, delay *atomic.Int64) (err error) {
	if s.other, err = s.another("distant"); err != nil {
		return err
	}
	for _, variable := range host.Environment {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	exchange, err := host.NewExchange(ctx, "distant")
	if err != nil {
		return err
	}
	if exchange.URL, err = slowly(ctx, exchange.URL, delay); err != nil {
		return err
	}
	if err := s.other.party(ctx, patients, "export: {}"); err != nil {
		return err
	}
	if err := s.other.configure(s.other.path(patients+".yaml"), patients, exchange, "export: {}"); err != nil {
		return err
	}
	for _, c := range consumers() {
		if err := s.other.consumer(ctx, c); err != nil {
			return err
		}
		if err := s.other.configure(s.other.path(c.name+".yaml"), c.name, exchange, c.settings()); err != nil {
			return err
		}
	}
	return hospital.Bulk(ctx, s.other.conn[patients], distantPatients, 1)
}

// slowly returns the address of the store behind a proxy that ends with the context.
func slowly(ctx context.Context, store string, delay *atomic.Int64) (string, error) {
	u, err := url.Parse(store)
	if err != nil {
		return "", err
	}
	query := u.Query()
	endpoint, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		return "", err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(endpoint)
		r.Out.Host = r.In.Host // the signature is of it
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(time.Duration(delay.Load()))
		proxy.ServeHTTP(w, r)
	}))
	context.AfterFunc(ctx, server.Close)
	query.Set("endpoint", server.URL)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
