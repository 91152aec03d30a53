package observe_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// described is a metric's type and labels, but for `command`, which all have.
func described(f *dto.MetricFamily) string {
	var labels []string
	for _, l := range f.Metric[0].Label {
		if l.GetName() != "command" {
			labels = append(labels, l.GetName())
		}
	}
	slices.Sort(labels)
	return strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, " ")
}

func families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(everything(t)))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var metricRow = regexp.MustCompile("(?m)^\\| `(waybill_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]+) \\|")

func TestTheDocumentationListsTheMetricsThereAre(t *testing.T) {
	page, err := os.ReadFile("../../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range metricRow.FindAllStringSubmatch(string(page), -1) {
		labels := strings.Split(row[3], ", ")
		slices.Sort(labels)
		documented[row[1]] = row[2] + " " + strings.Join(labels, " ")
	}
	all := families(t)
	for name, f := range all {
		if documented[name] != described(f) {
			t.Errorf("%s is a %s; documented: %q", name, described(f), documented[name])
		}
	}
	for name := range documented {
		if all[name] == nil {
			t.Errorf("%s is documented and not there", name)
		}
	}
}
