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
	"slices"
	"sync/atomic"
	"time"

	"waybill/lab/hospital"
)

// distantPatients is more than die while followers are watched.
const distantPatients = 8000

// distant has followers exchange by S3 with what each request takes at AWS, by its documentation: 100 ms at least, and less than
// ten in S3 Express One Zone. It does so in the first round alone.
func (s *site) distant(ctx context.Context, t *table) (err error) {
	if slices.ContainsFunc(s.others, func(of *site) bool { return of.prefix == "distant_" }) {
		return nil
	}
	dir := s.path("store-distant")
	host, store, err := startHost(ctx, "s3", dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Stop(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	of, err := s.another("distant")
	if err != nil {
		return err
	}
	var delay atomic.Int64
	of.store = store
	if of.store.URL, err = slowly(ctx, store.URL, &delay); err != nil {
		return err
	}
	if err := of.party(ctx, patients, "export: {}"); err != nil {
		return err
	}
	for _, c := range consumers() {
		if err := of.consumer(ctx, c); err != nil {
			return err
		}
	}
	if err := hospital.Bulk(ctx, of.conn[patients], distantPatients, 1); err != nil {
		return err
	}
	for _, class := range []struct {
		name  string
		delay time.Duration
	}{{"S3 Standard", 100 * time.Millisecond}, {"S3 Express", 5 * time.Millisecond}} {
		delay.Store(int64(class.delay))
		what := fmt.Sprintf("the same over S3, %s a request as at %s", class.delay, class.name)
		if err := of.watched(ctx, t, what, time.Second, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
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
