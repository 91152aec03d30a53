package observe

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// others are the metrics of the commands that one command runs, by name.
type others struct {
	sync.Mutex
	metrics map[string]*Metrics
}

// Of returns the metrics of a command that this one runs, "import" of "run": the same each time,
// and served with its own.
func (m *Metrics) Of(command string) *Metrics {
	m.others.Lock()
	defer m.others.Unlock()
	other, ok := m.others.metrics[command]
	if !ok {
		other = New(command, m.release, m.now)
		if m.others.metrics == nil {
			m.others.metrics = map[string]*Metrics{}
		}
		m.others.metrics[command] = other
	}
	return other
}

// gatherers are this command's metrics and those of the others.
func (m *Metrics) gatherers() prometheus.Gatherers {
	m.others.Lock()
	defer m.others.Unlock()
	all := prometheus.Gatherers{m.registry}
	for _, other := range m.others.metrics {
		all = append(all, other.registry)
	}
	return all
}
