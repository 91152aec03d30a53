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
	"go.yaml.in/yaml/v4"
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

type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

var (
	selector = regexp.MustCompile(`(waybill_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(?:=~|=)"([^"]*)"`)
)

func TestAlertsAskForMetricsThereAre(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file rules
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	all := families(t)
	for _, r := range file.Groups[0].Rules {
		found := selector.FindAllStringSubmatch(r.Expr, -1)
		if len(found) == 0 || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["runbook"] == "" {
			t.Errorf("%s is incomplete", r.Alert)
		}
		if !strings.Contains(string(page), "| `"+r.Alert+"` |") {
			t.Errorf("%s is not documented", r.Alert)
		}
		if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
			t.Errorf("%s: parentheses in %s", r.Alert, r.Expr)
		}
		for _, s := range found {
			checkSelector(t, r.Alert, all[s[1]], s)
		}
	}
	if n := len(file.Groups[0].Rules); n < 5 {
		t.Errorf("only %d rules", n)
	}
}

// checkSelector sees that the metric is there, and that it has the labels and, where these are
// states, the values that are asked for.
func checkSelector(t *testing.T, alert string, f *dto.MetricFamily, s []string) {
	t.Helper()
	if f == nil {
		t.Errorf("%s asks for %s, which is not there", alert, s[1])
		return
	}
	for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
		var values []string
		for _, metric := range f.Metric {
			for _, l := range metric.Label {
				if l.GetName() == m[1] {
					values = append(values, l.GetValue())
				}
			}
		}
		if len(values) == 0 {
			t.Errorf("%s asks for the label %s of %s, which has none", alert, m[1], s[1])
		}
		for want := range strings.SplitSeq(m[2], "|") {
			if m[1] == "outcome" && !slices.Contains(values, want) {
				t.Errorf("%s asks for the outcome %s, which does not occur", alert, want)
			}
		}
	}
}
