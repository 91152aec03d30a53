package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// flushLimit bounds how long a run waits at its end for a collector that does not answer. During
// the run it never waits: spans are queued, and dropped if the queue is full.
const flushLimit = 2 * time.Second

// Tracing returns the provider that the OTEL_* variables configure, and a function that sends
// queued spans. Without an endpoint it does nothing. An error of the collector is logged once and
// never fails a run.
func Tracing(ctx context.Context, release string, getenv func(string) string, log *slog.Logger) (trace.TracerProvider, func()) {
	none, nothing := noop.NewTracerProvider(), func() {}
	endpoint, problem := traceEndpoint(getenv)
	if problem != "" {
		log.Warn("no traces are sent", "reason", problem)
	}
	if endpoint == "" {
		return none, nothing
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		log.Warn("no traces are sent", "reason", err.Error())
		return none, nothing
	}
	// An error means that a part of the description is missing, such as the environment's.
	described, _ := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "waybill"), attribute.String("service.version", release)),
		resource.WithFromEnv())
	sending := &quiet{SpanExporter: exporter, log: log}
	provider := sdk.NewTracerProvider(sdk.WithResource(described), sdk.WithBatcher(sending))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
		defer cancel()
		sending.tell(provider.Shutdown(ctx))
	}
}

// traceEndpoint returns where traces go; "" for nowhere. problem says why traces go nowhere
// although variables ask for them.
func traceEndpoint(getenv func(string) string) (endpoint, problem string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if endpoint = getenv(name); endpoint != "" {
			break
		}
	}
	if endpoint == "" || getenv("OTEL_SDK_DISABLED") == "true" || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return "", ""
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := getenv(name); protocol != "" && protocol != "http/protobuf" {
			return "", fmt.Sprintf("%s is %q, and only http/protobuf is spoken", name, protocol)
		}
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
		return "", "the endpoint is not the URL of an OTLP/HTTP collector, like http://localhost:4318"
	}
	return endpoint, ""
}

// quiet logs the collector's errors, which the SDK would print outside the log.
type quiet struct {
	sdk.SpanExporter
	log  *slog.Logger
	once sync.Once
}

func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	q.tell(q.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

func (q *quiet) tell(err error) {
	if err != nil {
		q.once.Do(func() { q.log.Warn("traces were lost", "reason", err.Error()) })
	}
}
