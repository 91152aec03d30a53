package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes traces as an OpenTelemetry collector does, by OTLP over HTTP.
type collector struct {
	testing.TB
	server *httptest.Server
	mu     sync.Mutex
	raw    []string
	spans  []*trace.Span
}

func newCollector(t testing.TB) *collector {
	c := &collector{TB: t}
	c.server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.server.Close)
	return c
}

// environment sends a command's traces here.
func (c *collector) environment() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.server.URL}
}

func (c *collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collect.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "not traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, string(body))
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// sent returns all that was received, as it came.
func (c *collector) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw
}

// named returns the spans of a name that are of a batch; -1: of any or none.
func (c *collector) named(name string, batch int64) (found []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name && (batch < 0 || batchOf(s) == batch) {
			found = append(found, s)
		}
	}
	return found
}

func batchOf(s *trace.Span) int64 {
	for _, a := range s.Attributes {
		if a.Key == "waybill.batch" {
			return a.Value.GetIntValue()
		}
	}
	return -1
}
