package observe

import (
	"slices"
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

// Findings are what `waybill status` finds at one moment.
type Findings struct {
	state, batch, logEnd, windowEnd, heartbeat *prometheus.GaugeVec
	waiting, oldestWaiting                     *prometheus.GaugeVec // at the exporting service
	pending, pendingSince, heldEffects         *prometheus.GaugeVec // at importing ones
	quarantined, importing                     *prometheus.GaugeVec
	receiptBatch, receiptApplied               *prometheus.GaugeVec
	breaker, failures                          *prometheus.GaugeVec
}

// Find replaces the earlier findings with those that fill notes. So no series stays for a receipt or a reason
// that is gone.
func (m *Metrics) Find(fill func(*Findings)) {
	found := prometheus.NewRegistry()
	fill(newFindings(labelled(m.command, found)))
	m.found.Store(found)
}

func newFindings(f factory) *Findings {
	return &Findings{
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

// Service notes a service's state, and the newest batch on its store.
func (f *Findings) Service(service string, state health.State, logEnd int64) {
	setState(f.state, service, health.States, state)
	f.logEnd.WithLabelValues(service).Set(float64(logEnd))
}

// Exporting notes the exporting service's position.
func (f *Findings) Exporting(service string, s exporter.Status) {
	f.position(service, s.Batch, s.WindowTo)
	f.waiting.WithLabelValues(service).Set(float64(s.Waiting))
	if s.Oldest != nil {
		f.oldestWaiting.WithLabelValues(service).Set(seconds(*s.Oldest))
	}
}

// Importing notes an importing service's position.
func (f *Findings) Importing(service string, s importer.Status) {
	f.position(service, s.Batch, s.WindowTo)
	f.heartbeat.WithLabelValues(service).Set(s.Heartbeat.Seconds())
	f.quarantined.WithLabelValues(service).Set(float64(s.Quarantined))
	f.importing.WithLabelValues(service).Set(0)
	if s.Running {
		f.importing.WithLabelValues(service).Set(1)
	}
	reason := ""
	if s.Pending != nil {
		reason = s.PendingWhy
		f.pendingSince.WithLabelValues(service).Set(seconds(*s.PendingSince))
	}
	setState(f.pending, service, pendingReasons, reason)
	if s.Held != nil && *s.Held == s.Batch+1 {
		for kind, n := range s.HeldEffects {
			f.heldEffects.WithLabelValues(service, kind).Set(float64(n))
		}
	}
}

func (f *Findings) position(service string, batch int64, windowTo time.Time) {
	f.batch.WithLabelValues(service).Set(float64(batch))
	if !windowTo.IsZero() {
		f.windowEnd.WithLabelValues(service).Set(seconds(windowTo))
	}
}

// maxReceipts bounds the label `consumer`: anyone who can write into receipts/ chooses its values.
const maxReceipts = 100

// Receipts notes the positions that consumers report.
func (f *Findings) Receipts(receipts []exporter.Receipt) {
	newestFirst := slices.SortedFunc(slices.Values(receipts), func(a, b exporter.Receipt) int { return b.AppliedAt.Compare(a.AppliedAt.Time) })
	for _, r := range newestFirst[:min(len(newestFirst), maxReceipts)] {
		if r.Moved != "" {
			continue
		}
		f.receiptBatch.WithLabelValues(r.Instance).Set(float64(r.Batch))
		f.receiptApplied.WithLabelValues(r.Instance).Set(seconds(r.AppliedAt.Time))
	}
}

// Breaker notes the health of a service's store in this process.
func (f *Findings) Breaker(service string, h guard.Health) {
	setState(f.breaker, service, breakerStates, h.State)
	f.failures.WithLabelValues(service).Set(float64(h.Failures))
}
