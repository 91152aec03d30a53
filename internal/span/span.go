// Package span marks the steps of a run in the trace that a context carries, and carries a trace
// from one party to the next. Without a trace in the context, nothing happens.
//
// Names and attributes say what was done and to which batch, never to whom.
package span

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"waybill/internal/fault"
)

const scope = "waybill"

// Attributes of spans.
const (
	Service = attribute.Key("waybill.service")
	Batch   = attribute.Key("waybill.batch")
	Kind    = attribute.Key("waybill.kind")
	Event   = attribute.Key("waybill.event") // the event type of a part, or "mixed"
	Events  = attribute.Key("waybill.events")
	Bytes   = attribute.Key("waybill.bytes")
	Changed = attribute.Key("waybill.changed")
)

// Start begins a span under the one in ctx. Its end is [End].
func Start(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return tracer(ctx).Start(ctx, name, trace.WithAttributes(attributes...))
}

// Continue begins a span under the one that traceparent names, which another process began, and
// links it to the one in ctx. An empty or invalid traceparent is ignored: then it is
// [Start].
func Continue(ctx context.Context, traceparent, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	carrier := propagation.MapCarrier{key: traceparent}
	origin := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	if !origin.IsValid() {
		return Start(ctx, name, attributes...)
	}
	return tracer(ctx).Start(trace.ContextWithRemoteSpanContext(ctx, origin), name,
		trace.WithAttributes(attributes...), trace.WithLinks(trace.LinkFromContext(ctx)))
}

// End ends a span, as failed if err is not nil. It keeps the error's class; the text is the log's.
func End(s trace.Span, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.SetStatus(codes.Error, fault.ClassOf(err).String())
	}
	s.End()
}

const key = "traceparent" // of W3C Trace Context

// Traceparent names the span in ctx for [Continue], or is "".
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[key]
}

func tracer(ctx context.Context) trace.Tracer {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(scope)
}
