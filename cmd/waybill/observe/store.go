package observe

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/span"
)

type storeMetrics struct {
	took  *prometheus.HistogramVec
	bytes *prometheus.CounterVec
}

// storeSeconds suit a local directory and a slow line.
var storeSeconds = []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300}

func newStoreMetrics(f factory) storeMetrics {
	return storeMetrics{
		took:  f.histogram("waybill_store_operation_duration_seconds", "How long an operation on the store took, its retries and its transfer included.", storeSeconds, "service", "op", "outcome"),
		bytes: f.counter("waybill_store_transferred_bytes_total", "Bytes of files read from and written to the store.", "service", "op"),
	}
}

// Store measures a service's store, and makes each operation a span. At the level debug it also
// logs each operation.
func (m *Metrics) Store(service string, store exchange.Store, log *slog.Logger) exchange.Store {
	return &measured{store: store, service: service, metrics: m, log: log}
}

type measured struct {
	store   exchange.Store
	service string
	metrics *Metrics
	log     *slog.Logger
}

// operation is one call, until its transfer ends.
type operation struct {
	*measured
	op, name string
	started  time.Time
	span     trace.Span
}

func (s *measured) begin(ctx context.Context, op, name string) (context.Context, *operation) {
	ctx, sp := span.Start(ctx, "store "+op)
	return ctx, &operation{measured: s, op: op, name: name, started: s.metrics.now(), span: sp}
}

func (o *operation) end(bytes int64, err error) {
	took, outcome := o.metrics.now().Sub(o.started), storeOutcome(err)
	o.metrics.stores.took.WithLabelValues(o.service, o.op, outcome).Observe(took.Seconds())
	if bytes > 0 {
		o.metrics.stores.bytes.WithLabelValues(o.service, o.op).Add(float64(bytes))
	}
	o.log.Debug("store", "op", o.op, "name", o.name, "outcome", outcome, "bytes", bytes, "duration", took)
	if errors.Is(err, exchange.ErrNotFound) || errors.Is(err, exchange.ErrExists) {
		err = nil // an answer
	}
	span.End(o.span, err)
}

func storeOutcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, exchange.ErrNotFound):
		return "not found"
	case errors.Is(err, exchange.ErrExists):
		return "exists"
	case errors.Is(err, context.Canceled):
		return "canceled"
	default:
		return fault.ClassOf(err).String()
	}
}

func (s *measured) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, o := s.begin(ctx, "get", name)
	file, err := s.store.Get(ctx, name)
	if err != nil {
		o.end(0, err)
		return nil, err
	}
	return &measuredFile{ReadCloser: file, operation: o}, nil
}

// measuredFile ends its operation when it is closed. Its reader closes it once.
type measuredFile struct {
	io.ReadCloser
	operation *operation
	bytes     int64
	err       error
}

func (f *measuredFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.bytes += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

func (f *measuredFile) Close() error {
	err := f.ReadCloser.Close()
	f.operation.end(f.bytes, errors.Join(f.err, err))
	return err
}

func (s *measured) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	ctx, o := s.begin(ctx, "put", name)
	err := s.store.Put(ctx, name, size, body) // body unwrapped, so that stores can seek in it
	o.end(sent(size, err), err)
	return err
}

func (s *measured) Publish(ctx context.Context, name string, data []byte) error {
	ctx, o := s.begin(ctx, "publish", name)
	err := s.store.Publish(ctx, name, data)
	o.end(sent(int64(len(data)), err), err)
	return err
}

// sent returns 0 for a failed call: nobody knows how much was sent.
func sent(size int64, err error) int64 {
	if err != nil {
		return 0
	}
	return size
}

func (s *measured) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ctx, o := s.begin(ctx, "list", folder)
		var failed error
		defer func() { o.end(0, failed) }()
		for name, err := range s.store.List(ctx, folder) {
			failed = err
			if !yield(name, err) {
				return
			}
		}
	}
}
