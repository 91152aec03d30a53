package connect

import (
	"context"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	metrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"waybill/internal/fault"
)

// tracer records connections and statements: their text, which is the program's own, and neither
// their arguments nor the values that errors quote. COPY and apply.sql go past it.
type tracer struct{ spans *otelpgx.Tracer }

// tracerIn returns a tracer for the trace that ctx carries, or nil.
func tracerIn(ctx context.Context) pgx.QueryTracer {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return nil
	}
	return tracer{otelpgx.NewTracer(
		otelpgx.WithTracerProvider(span.TracerProvider()),
		otelpgx.WithMeterProvider(metrics.NewMeterProvider()),
	)}
}

func (t tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return t.spans.TraceQueryStart(ctx, conn, data)
}

func (t tracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	data.Err = fault.WithoutValues(data.Err)
	t.spans.TraceQueryEnd(ctx, conn, data)
}

func (t tracer) TraceConnectStart(ctx context.Context, data pgx.TraceConnectStartData) context.Context {
	return t.spans.TraceConnectStart(ctx, data)
}

func (t tracer) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	t.spans.TraceConnectEnd(ctx, data)
}
