package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"waybill/internal/fault"
)

// CheckFile refuses a path that can't be a textfile's: node_exporter reads *.prom, and a folder
// that is missing now will be missing at the run's end.
func CheckFile(path string) error {
	problem := ""
	switch info, err := os.Stat(filepath.Dir(path)); {
	case filepath.Ext(path) != ".prom":
		problem = "its name does not end in .prom"
	case errors.Is(err, fs.ErrNotExist):
		problem = "its folder is not there"
	case err != nil:
		problem = err.Error()
	case !info.IsDir():
		problem = "what should be its folder is a file"
	default:
		return nil
	}
	return fault.New(fault.Usage, "write metrics to", path, errors.New(problem), "name a file in the folder that node_exporter's --collector.textfile.directory names")
}

// WriteFile writes the metrics to a textfile, whole or not at all. They continue the counts of the
// previous run, see [goOn].
func (m *Metrics) WriteFile(path string) error {
	now, err := m.gatherers().Gather()
	if err != nil {
		return fault.New(fault.Transient, "gather", "metrics", err, "")
	}
	var text bytes.Buffer
	for _, family := range goOn(readFile(path), now) {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return fault.New(fault.Transient, "encode", "metrics", err, "")
		}
	}
	if err := replace(path, text.Bytes()); err != nil {
		return fault.New(fault.Transient, "write metrics to", path, err, "")
	}
	return nil
}

// replace writes a new file and renames it, so that a reader sees the old file or the new one.
func replace(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = file.Write(data)
	if err := errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// readFile returns the families of a textfile. If it is missing or can't be read, there are none,
// and a new file is begun.
func readFile(path string) map[string]*dto.MetricFamily {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	return families
}

// goOn joins the runs that write a file: it adds counters and histograms up, so that they grow like
// those of a long-lived process. What a run did not measure stays, such as the time of the last
// success. A finding of status describes one moment, so an old one is dropped.
func goOn(before map[string]*dto.MetricFamily, now []*dto.MetricFamily) []*dto.MetricFamily {
	all := map[string]*dto.MetricFamily{}
	for _, family := range now {
		all[family.GetName()] = family
	}
	for name, old := range before {
		switch family := all[name]; {
		case momentary(name):
		case family == nil:
			all[name] = old
		case family.GetType() == old.GetType():
			addFamily(family, old)
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
}

var momentaryPrefixes = []string{"waybill_build_", "waybill_service_", "waybill_receipt_", "waybill_store_breaker_", "waybill_store_consecutive_"}

func momentary(name string) bool {
	return slices.ContainsFunc(momentaryPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func addFamily(family, old *dto.MetricFamily) {
	series := map[string]*dto.Metric{}
	for _, m := range family.Metric {
		series[labels(m)] = m
	}
	for _, o := range old.Metric {
		if m := series[labels(o)]; m != nil {
			addMetric(m, o)
		} else {
			family.Metric = append(family.Metric, o)
		}
	}
}

// addMetric adds counters and histograms with the same buckets. Gauges stay as they are.
func addMetric(m, old *dto.Metric) {
	if m.Counter != nil {
		m.Counter.Value = new(m.Counter.GetValue() + old.Counter.GetValue())
	}
	if m.Histogram == nil || !sameBuckets(m.Histogram, old.Histogram) {
		return
	}
	m.Histogram.SampleCount = new(m.Histogram.GetSampleCount() + old.Histogram.GetSampleCount())
	m.Histogram.SampleSum = new(m.Histogram.GetSampleSum() + old.Histogram.GetSampleSum())
	for i, bucket := range m.Histogram.Bucket {
		bucket.CumulativeCount = new(bucket.GetCumulativeCount() + old.Histogram.Bucket[i].GetCumulativeCount())
	}
}

// sameBuckets ignores a file's last bucket, +Inf, because a gathered histogram leaves it out.
func sameBuckets(gathered, read *dto.Histogram) bool {
	if len(read.Bucket) != len(gathered.Bucket)+1 {
		return false
	}
	for i, bucket := range gathered.Bucket {
		if bucket.GetUpperBound() != read.Bucket[i].GetUpperBound() {
			return false
		}
	}
	return true
}

func labels(m *dto.Metric) string {
	pairs := make([]string, len(m.Label))
	for i, l := range m.Label {
		pairs[i] = fmt.Sprintf("%s=%q", l.GetName(), l.GetValue())
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}
