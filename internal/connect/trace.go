package connect

import (
	"context"
	"errors"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	metrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

// tracer records connections and statements: their text, which is part of the program, but no arguments,
// and of an error only its code. It does not see COPY and apply.sql.
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
	data.Err = codeOnly(data.Err)
	t.spans.TraceQueryEnd(ctx, conn, data)
}

// codeOnly hides PostgreSQL's message, which may quote a row.
func codeOnly(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return coded{pg}
	}
	return err
}

type coded struct{ *pgconn.PgError }

func (e coded) Error() string { return "SQLSTATE " + e.Code }

func (e coded) Unwrap() error { return e.PgError }

func (t tracer) TraceConnectStart(ctx context.Context, data pgx.TraceConnectStartData) context.Context {
	return t.spans.TraceConnectStart(ctx, data)
}

func (t tracer) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	t.spans.TraceConnectEnd(ctx, data)
}
