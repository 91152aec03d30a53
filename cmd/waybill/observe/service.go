package observe

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"waybill/exchange"
	"waybill/exchange/guard"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/health"
)

var pendingReasons = []string{exchange.Gap, exchange.Torn, exchange.NoPart, exchange.Short, exchange.Purged, exchange.RolledBack}

var breakerStates = []string{guard.Closed, guard.HalfOpen, guard.Open}

// serviceMetrics are what `waybill status` finds.
type serviceMetrics struct {
	state, batch, logEnd, windowEnd, heartbeat *prometheus.GaugeVec
	waiting, oldestWaiting                     *prometheus.GaugeVec // at the exporting service
	pending, pendingSince, heldEffects         *prometheus.GaugeVec // at importing ones
	quarantined, importing                     *prometheus.GaugeVec
	receiptBatch, receiptApplied               *prometheus.GaugeVec
	breaker, failures                          *prometheus.GaugeVec
}

func newServiceMetrics(f factory) serviceMetrics {
	return serviceMetrics{
		state:          f.gauge("waybill_service_state", "1 for the state that status shows for the service, 0 for the others.", "service", "state"),
		batch:          f.gauge("waybill_service_batch", "The last batch published or applied; -1: none.", "service"),
		logEnd:         f.gauge("waybill_service_log_end_batch", "The newest batch on the store; -1: none.", "service"),
		windowEnd:      f.gauge("waybill_service_window_end_timestamp_seconds", "What the source committed before then is out, or in.", "service"),
		heartbeat:      f.gauge("waybill_service_heartbeat_seconds", "The longest that the producer lets the log be silent.", "service"),
		waiting:        f.gauge("waybill_service_waiting_events", "Committed events that are in no batch yet.", "service"),
		oldestWaiting:  f.gauge("waybill_service_oldest_waiting_timestamp_seconds", "When the oldest of them was recorded; absent when there are none.", "service"),
		pending:        f.gauge("waybill_service_pending", "1 for the reason why the next batch is incomplete on the store, 0 for the others.", "service", "reason"),
		pendingSince:   f.gauge("waybill_service_pending_since_timestamp_seconds", "Since when the importer has seen that; absent when nothing is pending.", "service"),
		heldEffects:    f.gauge("waybill_service_held_effects", "Effects of the batch that the brake holds, by kind.", "service", "kind"),
		quarantined:    f.gauge("waybill_service_quarantined_rows", "Rows in quarantine.", "service"),
		importing:      f.gauge("waybill_service_importing", "1 while an importer is running.", "service"),
		receiptBatch:   f.gauge("waybill_receipt_batch", "The batch up to which a consumer's instance says it has applied the log.", "consumer"),
		receiptApplied: f.gauge("waybill_receipt_applied_timestamp_seconds", "When it applied that batch, by its own clock.", "consumer"),
		breaker:        f.gauge("waybill_store_breaker_state", "1 for the state of the store's circuit breaker, 0 for the others.", "service", "state"),
		failures:       f.gauge("waybill_store_consecutive_failures", "Attempts on the store that failed in a row.", "service"),
	}
}

// Service notes a service's state, in lower case, and the newest batch on its store.
func (m *Metrics) Service(service string, state health.State, logEnd int64) {
	var states []string
	for _, s := range health.States {
		states = append(states, strings.ToLower(string(s)))
	}
	setState(m.services.state, service, states, strings.ToLower(string(state)))
	m.services.logEnd.WithLabelValues(service).Set(float64(logEnd))
}

// Exporting notes how far the exporting service is.
func (m *Metrics) Exporting(service string, s exporter.Status) {
	m.position(service, s.Batch, s.WindowTo)
	m.services.waiting.WithLabelValues(service).Set(float64(s.Waiting))
	if s.Oldest != nil {
		m.services.oldestWaiting.WithLabelValues(service).Set(seconds(*s.Oldest))
	}
}

// Importing notes how far an importing service is.
func (m *Metrics) Importing(service string, s importer.Status) {
	m.position(service, s.Batch, s.WindowTo)
	m.services.heartbeat.WithLabelValues(service).Set(s.Heartbeat.Seconds())
	m.services.quarantined.WithLabelValues(service).Set(float64(s.Quarantined))
	m.services.importing.WithLabelValues(service).Set(0)
	if s.Running {
		m.services.importing.WithLabelValues(service).Set(1)
	}
	reason := ""
	if s.Pending != nil {
		reason = s.PendingWhy
		m.services.pendingSince.WithLabelValues(service).Set(seconds(*s.PendingSince))
	}
	setState(m.services.pending, service, pendingReasons, reason)
	if s.Held != nil && *s.Held == s.Batch+1 {
		for kind, n := range s.HeldEffects {
			m.services.heldEffects.WithLabelValues(service, kind).Set(float64(n))
		}
	}
}

func (m *Metrics) position(service string, batch int64, windowTo time.Time) {
	m.services.batch.WithLabelValues(service).Set(float64(batch))
	if !windowTo.IsZero() {
		m.services.windowEnd.WithLabelValues(service).Set(seconds(windowTo))
	}
}

// maxReceipts bounds the label `consumer`: anyone who can write into receipts/ chooses its values.
const maxReceipts = 100

// Receipts notes how far consumers say they are.
func (m *Metrics) Receipts(receipts []exporter.Receipt) {
	newestFirst := slices.SortedFunc(slices.Values(receipts), func(a, b exporter.Receipt) int { return b.AppliedAt.Compare(a.AppliedAt.Time) })
	for _, r := range newestFirst[:min(len(newestFirst), maxReceipts)] {
		if r.Moved != "" {
			continue
		}
		m.services.receiptBatch.WithLabelValues(r.Instance).Set(float64(r.Batch))
		m.services.receiptApplied.WithLabelValues(r.Instance).Set(seconds(r.AppliedAt.Time))
	}
}

// Breaker notes how a service's store has been doing in this process.
func (m *Metrics) Breaker(service string, h guard.Health) {
	setState(m.services.breaker, service, breakerStates, h.State)
	m.services.failures.WithLabelValues(service).Set(float64(h.Failures))
}
