package span_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"waybill/internal/fault"
	"waybill/internal/span"
)

// run begins a run whose spans are recorded.
func run(t *testing.T) (context.Context, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	ctx, root := provider.Tracer("test").Start(t.Context(), "run")
	t.Cleanup(func() { root.End() })
	return ctx, recorder
}

func TestATraceGoesOnInAnotherProcess(t *testing.T) {
	exporting, _ := run(t)
	exporting, batch := span.Start(exporting, "export batch")
	importing, recorder := run(t)
	_, s := span.Continue(importing, span.Traceparent(exporting), "import batch", span.Batch.Int64(7))
	span.End(s, nil)
	got := recorder.Ended()[0]
	if got.Parent().SpanID() != batch.SpanContext().SpanID() || got.SpanContext().TraceID() != batch.SpanContext().TraceID() {
		t.Errorf("its parent is %v, want %v", got.Parent(), batch.SpanContext())
	}
	if len(got.Links()) != 1 || len(got.Attributes()) != 1 {
		t.Errorf("%d links, attributes %v; want one to its own run, and the batch", len(got.Links()), got.Attributes())
	}
}

func TestWhatIsNoTraceparentIsAsGoodAsNone(t *testing.T) {
	for _, traceparent := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01", strings.Repeat("0", 1<<16)} {
		ctx, recorder := run(t)
		_, s := span.Continue(ctx, traceparent, "import batch")
		span.End(s, nil)
		if got := recorder.Ended()[0]; got.Parent().SpanID() != recorder.Started()[0].SpanContext().SpanID() {
			t.Errorf("%.60q: its parent is not the run", traceparent)
		}
	}
}

func TestWithoutATraceNothingHappens(t *testing.T) {
	ctx, s := span.Start(t.Context(), "export batch")
	if s.IsRecording() || span.Traceparent(ctx) != "" {
		t.Errorf("recording %v, traceparent %q", s.IsRecording(), span.Traceparent(ctx))
	}
}

func TestASpanKeepsOfAnErrorItsClassAlone(t *testing.T) {
	ctx, recorder := run(t)
	_, s := span.Start(ctx, "load")
	span.End(s, fault.New(fault.Poison, "load", "batch 7", errors.New("of somebody"), ""))
	got := recorder.Ended()[0].Status()
	if got.Code != codes.Error || got.Description != "poison" {
		t.Errorf("%+v", got)
	}
}
