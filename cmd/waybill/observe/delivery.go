package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"waybill/partner/delivery"
)

// deliveryMetrics count what partners were given.
type deliveryMetrics struct {
	files, records, bytes *prometheus.CounterVec
	changed               *prometheus.CounterVec
}

func newDeliveryMetrics(f factory) deliveryMetrics {
	return deliveryMetrics{
		files:   f.counter("waybill_delivered_files_total", "Files delivered to a partner.", "service"),
		records: f.counter("waybill_delivered_records_total", "Records in them.", "service"),
		bytes:   f.counter("waybill_delivered_bytes_total", "Their size.", "service"),
		changed: f.counter("waybill_delivered_changed_total", "What could not be written as it is, by how: replaced and transliterated are characters, cut are values, unsaid are events that the format can't say.", "service", "how"),
	}
}

// Delivered counts a file that was delivered to a partner.
func (m *Metrics) Delivered(partner string, f delivery.FileSummary) {
	d := m.deliveries
	d.files.WithLabelValues(partner).Inc()
	d.records.WithLabelValues(partner).Add(float64(f.Rows))
	d.bytes.WithLabelValues(partner).Add(float64(f.Bytes))
	for how, n := range map[string]int64{"replaced": f.Replaced, "transliterated": f.Transliterated, "cut": f.Cut, "unsaid": f.Unsaid} {
		d.changed.WithLabelValues(partner, how).Add(float64(n))
	}
}
