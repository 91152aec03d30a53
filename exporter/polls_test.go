package exporter_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/humanize"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

// counter counts the requests to an S3 server that stands behind it.
type counter struct{ requests atomic.Int64 }

func (c *counter) of(work func()) int64 {
	before := c.requests.Load()
	work()
	return c.requests.Load() - before
}

// behindACounter returns an exchange on an S3 server that is reached only through the counter.
func behindACounter(t *testing.T) (hosttest.Exchange, *counter) {
	host := hosttest.Start(t, "s3")
	for _, pair := range host.Environment {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	made, err := host.NewExchange(t.Context(), "polled")
	if err != nil {
		t.Fatal(err)
	}
	place, err := url.Parse(made.URL)
	if err != nil {
		t.Fatal(err)
	}
	query := place.Query()
	server, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{}
	pass := httputil.NewSingleHostReverseProxy(server) // with the Host that was signed
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	query.Set("endpoint", front.URL)
	place.RawQuery = query.Encode()
	made.URL = place.String()
	return hosttest.Exchange{Exchange: made, Kind: "s3", Environment: host.Environment}, c
}

// polled is what one run costs in requests.
type polled struct{ idle, closely, batch int64 }

// month returns how many requests a month of runs costs, of which one in five minutes looks closely.
func (p polled) month(interval time.Duration) int64 {
	const month = 30 * 24 * time.Hour
	runs := int64(month / interval)
	return runs*p.idle + min(runs, int64(month/(5*time.Minute)))*(p.closely-p.idle)
}

func TestAnIdlePollIsOneRequest(t *testing.T) {
	place, requests := behindACounter(t)
	s := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	f := s.follower()
	export, load := func() { s.export() }, f.load
	s.register(1)
	for range 2 {
		export()
		load()
	}
	s.die(s.register(1)) // which a morgue fetches
	var out, in polled
	out.batch, in.batch = requests.of(export), requests.of(load)
	for range 2 { // by the batch, and by the time
		out.closely, in.closely = requests.of(export), requests.of(load)
		out.idle, in.idle = requests.of(export), requests.of(load)
		if out.idle != 1 || in.idle != 1 || out.closely != 2 || in.closely != 3 {
			t.Errorf("an export that finds nothing new: %+v requests, an import: %+v", out, in)
		}
		s.exec(`UPDATE exporter.plan SET looked_at = looked_at - interval '5 minutes'`)
		f.exec(`UPDATE morgue.checkpoint SET looked_at = looked_at - interval '5 minutes', applied_at = applied_at - interval '5 minutes'`)
	}
	page, err := os.ReadFile("../docs/s3.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("a batch costs %d requests to export and %d to import", out.batch, in.batch)}
	for _, row := range []struct {
		name     string
		interval time.Duration
	}{{"1 s", time.Second}, {"10 s", 10 * time.Second}, {"1 min", time.Minute}, {"5 min", 5 * time.Minute}, {"15 min", 15 * time.Minute}} {
		want = append(want, fmt.Sprintf("| %s | %s | %s |", row.name, humanize.Count(out.month(row.interval)), humanize.Count(in.month(row.interval))))
	}
	for _, line := range want {
		if !strings.Contains(string(page), line) {
			t.Errorf("docs/s3.md does not have the line %q", line)
		}
	}
}

// A run that finds nothing new asks for one file. Before an export plans a batch, and after five minutes, it looks at
// the next place, too.
func TestAGlanceDoesNotHideAnotherDatabasesBatch(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*site){
		"before a batch is planned": func(s *site) { s.register(1) },
		"after five minutes": func(s *site) {
			s.export()
			s.exec(`UPDATE exporter.plan SET looked_at = looked_at - interval '5 minutes'`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.register(1)
			s.export()
			s.export() // looks closely
			if err := s.store.Publish(t.Context(), schemas.ManifestName(2, 0), []byte(`{"format": 1,`)); err != nil {
				t.Fatal(err)
			}
			next(s)
			s.refused("the store holds batch 2, of which this database knows nothing")
			if got := s.count(`SELECT max(batch) FROM exporter.plan`); got != 1 {
				t.Errorf("batch %d was planned", got)
			}
		})
	}
}
