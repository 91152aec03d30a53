package observe_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v4"
)

const deployed = "../../../deploy/"

type rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func readRules(t *testing.T, file string) []rule {
	t.Helper()
	var content struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Load([]byte(read1(t, deployed+"prometheus/"+file)), &content, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	return content.Groups[0].Rules
}

func read1(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// expressions are all that is asked of Prometheus, by what asks.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range append(readRules(t, "alerts.yml"), readRules(t, "recording.yml")...) {
		all[r.Alert+r.Record] = r.Expr
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal([]byte(read1(t, deployed+"grafana/waybill.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all["panel "+panel.Title+" "+target.RefID] = target.Expr
		}
	}
	if len(all) < 35 {
		t.Fatalf("only %d expressions", len(all))
	}
	return all
}

var (
	selector = regexp.MustCompile(`(waybill[_:][a-z_0-9:]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`by \(([a-z, ]+)\) \((?:rate|increase)?\(?(waybill_[a-z_]+)`)
	suffix   = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// What alerts, recording rules and the dashboard ask for exists, with its labels and outcomes.
func TestRulesAndDashboardAskForMetricsThereAre(t *testing.T) {
	families, recorded := families(t), map[string]bool{}
	for _, r := range readRules(t, "recording.yml") {
		recorded[r.Record] = true
	}
	family := func(name string) *dto.MetricFamily {
		if f := families[name]; f != nil {
			return f
		}
		return families[suffix.ReplaceAllString(name, "")]
	}
	for who, expr := range expressions(t) {
		found := selector.FindAllStringSubmatch(expr, -1)
		if len(found) == 0 {
			t.Errorf("%s asks for nothing: %s", who, expr)
		}
		for _, s := range found {
			if strings.Contains(s[1], ":") {
				if !recorded[s[1]] {
					t.Errorf("%s asks for %s, which no rule records", who, s[1])
				}
				continue
			}
			checkSelector(t, who, family(s[1]), s)
		}
		for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(g[1], ", ") {
				if label != "le" && len(valuesOf(family(g[2]), label)) == 0 {
					t.Errorf("%s groups %s by %s, which it has not", who, g[2], label)
				}
			}
		}
	}
}

// checkSelector sees that the metric is there, and that it has the labels and, where these are states, the values that are
// asked for.
func checkSelector(t *testing.T, who string, f *dto.MetricFamily, s []string) {
	t.Helper()
	if f == nil {
		t.Errorf("%s asks for %s, which is not there", who, s[1])
		return
	}
	for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
		values := valuesOf(f, m[1])
		if len(values) == 0 {
			t.Errorf("%s asks for the label %s of %s, which has none", who, m[1], s[1])
		}
		for want := range strings.SplitSeq(m[2], "|") {
			if states := s[1] == "waybill_last_run_outcome" || m[1] == "state"; states && !slices.Contains(values, want) {
				t.Errorf("%s asks for the %s %s, which does not occur", who, m[1], want)
			}
		}
	}
}

func valuesOf(f *dto.MetricFamily, label string) (values []string) {
	for _, metric := range f.GetMetric() {
		for _, l := range metric.Label {
			if l.GetName() == label {
				values = append(values, l.GetValue())
			}
		}
	}
	return values
}

// Who is called by an alert finds what to do, in words and on a page that exists.
func TestAlertsSayWhatToDo(t *testing.T) {
	page, alerts := read1(t, "../../../docs/observability.md"), readRules(t, "alerts.yml")
	for _, r := range alerts {
		if s := r.Labels["severity"]; s != "page" && s != "ticket" || r.Annotations["summary"] == "" || r.Annotations["runbook"] == "" {
			t.Errorf("%s is incomplete", r.Alert)
		}
		if !strings.Contains(page, "| `"+r.Alert+"` |") {
			t.Errorf("%s is not documented", r.Alert)
		}
		path, found := strings.CutPrefix(r.Annotations["runbook_url"], "https://waybill.example/")
		name, anchor, _ := strings.Cut(path, "/")
		if !found || !hasHeading(read1(t, "../../../docs/"+name+".md"), strings.TrimPrefix(anchor, "#")) {
			t.Errorf("%s: there is no page %q", r.Alert, r.Annotations["runbook_url"])
		}
	}
	if len(alerts) < 9 {
		t.Errorf("only %d alerts", len(alerts))
	}
}

var symbols = regexp.MustCompile(`[^a-z0-9 -]`)

// hasHeading reports whether a page has the anchor; "" is the page itself.
func hasHeading(page, anchor string) bool {
	for line := range strings.Lines(page) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			slug := strings.ReplaceAll(symbols.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
			if anchor == "" || slug == anchor {
				return true
			}
		}
	}
	return false
}
