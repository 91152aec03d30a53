// Package observe makes commands observable: with Prometheus metrics, served or written to a
// textfile, and OpenTelemetry traces. docs/observability.md lists them.
//
// Labels are services, kinds, types and outcomes: few, and known beforehand. Batches, patients and
// files are never labels.
package observe

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/partner/delivery"
)

// Outcomes of a run, in addition to the classes of its error.
const (
	done = "done"
	busy = "busy" // another run held the lock, so this one did nothing
)

var outcomes = []string{done, busy, "transient", "not yet", "poison", "held", "usage"}

// Metrics are the metrics of one command. Each has it as the label `command`.
type Metrics struct {
	registry *prometheus.Registry
	found    *atomic.Pointer[prometheus.Registry] // the last findings of status
	command  string
	release  string
	others   *others // metrics of commands that this one runs
	now      func() time.Time
	runs     runMetrics
	exports  exportMetrics
	imports  importMetrics
	stores   storeMetrics

	deliveries deliveryMetrics
}

type runMetrics struct {
	total       *prometheus.CounterVec
	last        *prometheus.GaugeVec
	lastSuccess *prometheus.GaugeVec
	lastTook    *prometheus.GaugeVec
	lastOutcome *prometheus.GaugeVec
}

type exportMetrics struct {
	batches, events, parts, bytes *prometheus.CounterVec
	took                          *prometheus.HistogramVec
	last, windowEnd               *prometheus.GaugeVec
}

type importMetrics struct {
	batches, events, bytes, changed, quarantined, effects *prometheus.CounterVec
	took                                                  *prometheus.HistogramVec
	last, windowEnd                                       *prometheus.GaugeVec
}

// batchSeconds suit batches of one event and of a million.
var batchSeconds = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900}

// New returns the metrics of a command: "export", "rerun import".
func New(command, release string, now func() time.Time) *Metrics {
	registry := prometheus.NewRegistry()
	f := labelled(command, registry)
	f.gauge("waybill_build_info", "The release that ran; always 1.", "version", "goversion").
		WithLabelValues(release, runtime.Version()).Set(1)
	return &Metrics{
		registry: registry, found: new(atomic.Pointer[prometheus.Registry]), command: command, now: now, release: release, others: &others{metrics: map[string]*Metrics{}},
		runs: newRunMetrics(f), exports: newExportMetrics(f), imports: newImportMetrics(f),
		stores: newStoreMetrics(f), deliveries: newDeliveryMetrics(f),
	}
}

func newRunMetrics(f factory) runMetrics {
	return runMetrics{
		total:       f.counter("waybill_runs_total", "Runs that ended, by outcome.", "service", "outcome"),
		last:        f.gauge("waybill_last_run_timestamp_seconds", "When the last run ended.", "service"),
		lastSuccess: f.gauge("waybill_last_success_timestamp_seconds", "When the last run ended whose outcome was done.", "service"),
		lastTook:    f.gauge("waybill_last_run_duration_seconds", "How long the last run took.", "service"),
		lastOutcome: f.gauge("waybill_last_run_outcome", "1 for the outcome of the last run, 0 for the others.", "service", "outcome"),
	}
}

func newExportMetrics(f factory) exportMetrics {
	return exportMetrics{
		batches:   f.counter("waybill_export_batches_total", "Batches published, by kind.", "service", "kind"),
		events:    f.counter("waybill_export_events_total", "Events in published batches, by type.", "service", "event"),
		parts:     f.counter("waybill_export_parts_total", "Parts of published batches.", "service"),
		bytes:     f.counter("waybill_export_bytes_total", "Bytes of these parts.", "service"),
		took:      f.histogram("waybill_export_batch_duration_seconds", "How long a batch took from its plan to its publication.", batchSeconds, "service"),
		last:      f.gauge("waybill_export_last_batch", "The number of the batch published last.", "service"),
		windowEnd: f.gauge("waybill_export_window_end_timestamp_seconds", "The end of its window: what was committed before then is out.", "service"),
	}
}

func newImportMetrics(f factory) importMetrics {
	return importMetrics{
		batches:     f.counter("waybill_import_batches_total", "Batches loaded, by kind.", "service", "kind"),
		events:      f.counter("waybill_import_events_total", "Events of subscribed types that were loaded.", "service"),
		bytes:       f.counter("waybill_import_bytes_total", "Bytes of the parts fetched for them.", "service"),
		changed:     f.counter("waybill_import_changed_patients_total", "Patients' states that these events changed.", "service"),
		quarantined: f.counter("waybill_import_quarantined_rows_total", "Rows set aside because they break the contract.", "service"),
		effects:     f.counter("waybill_import_effects_total", "Effects, by kind, and whether they were only observed.", "service", "kind", "observed"),
		took:        f.histogram("waybill_import_batch_duration_seconds", "How long a batch took to load.", batchSeconds, "service"),
		last:        f.gauge("waybill_import_last_batch", "The number of the batch loaded last.", "service"),
		windowEnd:   f.gauge("waybill_import_window_end_timestamp_seconds", "The end of its window: the source's state up to then is in.", "service"),
	}
}

// WithRuntime adds the metrics of the Go runtime and of the process. They are only for serving:
// node_exporter, which reads textfiles, has metrics of the same names.
func (m *Metrics) WithRuntime() {
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Ran notes the end of a run that began at started. The service is "" if a command is for no
// particular one; idle says that another run held the lock.
func (m *Metrics) Ran(service string, started time.Time, idle bool, err error) {
	outcome := outcomeOf(idle, err)
	now := m.now()
	m.runs.total.WithLabelValues(service, outcome).Inc()
	m.runs.last.WithLabelValues(service).Set(seconds(now))
	m.runs.lastTook.WithLabelValues(service).Set(now.Sub(started).Seconds())
	setState(m.runs.lastOutcome, service, outcomes, outcome)
	if outcome == done {
		m.runs.lastSuccess.WithLabelValues(service).Set(seconds(now))
	}
}

func outcomeOf(idle bool, err error) string {
	switch {
	case err != nil:
		return fault.ClassOf(err).String()
	case idle:
		return busy
	default:
		return done
	}
}

// Published counts a batch that a service's exporter published.
func (m *Metrics) Published(service string, b exporter.BatchSummary) {
	e := m.exports
	e.batches.WithLabelValues(service, b.Kind).Inc()
	for event, n := range b.ByType {
		e.events.WithLabelValues(service, event).Add(float64(n))
	}
	e.parts.WithLabelValues(service).Add(float64(b.Parts))
	e.bytes.WithLabelValues(service).Add(float64(b.Bytes))
	e.took.WithLabelValues(service).Observe(b.Duration.Seconds())
	e.last.WithLabelValues(service).Set(float64(b.Batch))
	e.windowEnd.WithLabelValues(service).Set(seconds(b.WindowTo))
}

// Loaded counts a batch that a service's importer loaded.
func (m *Metrics) Loaded(service string, observed bool, b importer.BatchSummary) {
	i := m.imports
	i.batches.WithLabelValues(service, b.Kind).Inc()
	i.events.WithLabelValues(service).Add(float64(b.Rows))
	i.bytes.WithLabelValues(service).Add(float64(b.Bytes))
	i.changed.WithLabelValues(service).Add(float64(b.Changed))
	i.quarantined.WithLabelValues(service).Add(float64(b.Quarantined))
	for kind, n := range b.Effects {
		i.effects.WithLabelValues(service, kind, boolean(observed)).Add(float64(n))
	}
	i.took.WithLabelValues(service).Observe(b.Duration.Seconds())
	i.last.WithLabelValues(service).Set(float64(b.Batch))
	i.windowEnd.WithLabelValues(service).Set(seconds(b.WindowTo))
}

// factory makes metrics and registers them.
type factory struct{ registry prometheus.Registerer }

// labelled returns the factory of a command's metrics.
func labelled(command string, registry *prometheus.Registry) factory {
	return factory{prometheus.WrapRegistererWith(prometheus.Labels{"command": command}, registry)}
}

func (f factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	f.registry.MustRegister(c)
	return c
}

func (f factory) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	f.registry.MustRegister(g)
	return g
}

func (f factory) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	f.registry.MustRegister(h)
	return h
}

// setState sets one of the states to 1 and the others to 0.
func setState[S ~string](g *prometheus.GaugeVec, service string, states []S, now S) {
	for _, state := range states {
		value := 0.0
		if state == now {
			value = 1
		}
		g.WithLabelValues(service, string(state)).Set(value)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// deliveryMetrics count the events and files that partners got.
type deliveryMetrics struct {
	files, records, bytes *prometheus.CounterVec
	changed               *prometheus.CounterVec
}

func newDeliveryMetrics(f factory) deliveryMetrics {
	return deliveryMetrics{
		files:   f.counter("waybill_delivered_files_total", "Files delivered to a partner.", "service"),
		records: f.counter("waybill_delivered_records_total", "Records in them.", "service"),
		bytes:   f.counter("waybill_delivered_bytes_total", "Their size.", "service"),
		changed: f.counter("waybill_delivered_changed_total", "What could not be written as it is, by how: replaced and transliterated are characters; cut, blank and escaped are values; restated, skipped and unsaid are events.", "service", "how"),
	}
}

// Delivered counts a file that was delivered to a partner.
func (m *Metrics) Delivered(partner string, f delivery.FileSummary) {
	d := m.deliveries
	d.files.WithLabelValues(partner).Inc()
	d.records.WithLabelValues(partner).Add(float64(f.Rows))
	d.bytes.WithLabelValues(partner).Add(float64(f.Bytes))
	for how, n := range map[string]int64{
		"replaced": f.Replaced, "transliterated": f.Transliterated, "cut": f.Cut, "blank": f.Blank, "escaped": f.Escaped,
		"restated": f.Restated, "skipped": f.Skipped, "unsaid": f.Unsaid,
	} {
		d.changed.WithLabelValues(partner, how).Add(float64(n))
	}
}

// others are the metrics of the commands that one command runs, by name.
type others struct {
	sync.Mutex
	metrics map[string]*Metrics
}

// Of returns the metrics of a command that this one runs, such as "import" for "run". It returns
// the same ones each time; they are served together.
func (m *Metrics) Of(command string) *Metrics {
	m.others.Lock()
	defer m.others.Unlock()
	other, ok := m.others.metrics[command]
	if !ok {
		other = New(command, m.release, m.now)
		m.others.metrics[command] = other
	}
	return other
}

// gatherers returns this command's metrics and those of the others.
func (m *Metrics) gatherers() prometheus.Gatherers {
	m.others.Lock()
	defer m.others.Unlock()
	all := prometheus.Gatherers{}
	for _, of := range append(slices.Collect(maps.Values(m.others.metrics)), m) {
		all = append(all, of.registry)
		if found := of.found.Load(); found != nil {
			all = append(all, found)
		}
	}
	return all
}
