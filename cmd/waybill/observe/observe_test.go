package observe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"waybill/cmd/waybill/observe"
	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/guard"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner/delivery"
	"waybill/partner/format/charset"
	"waybill/schemas"
)

var (
	at      = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	nowhere = slog.New(slog.DiscardHandler)
)

// metrics returns a command's, with a clock that each look puts on by a second.
func metrics(command string) *observe.Metrics {
	now := at
	return observe.New(command, "1.2.3", func() time.Time { now = now.Add(time.Second); return now })
}

// textfile runs work under the metrics of a command and returns the file that it leaves.
func textfile(t *testing.T, path string, m *observe.Metrics) string {
	t.Helper()
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("the line %q is missing in\n%s", line, text)
		}
	}
}

// everything is a file with every metric there is.
func everything(t *testing.T) string {
	t.Helper()
	m := metrics("test")
	m.Ran("morgue", at, false, nil)
	m.Published("patients", exporter.BatchSummary{Kind: schemas.Changes, ByType: map[string]int64{schemas.Died: 3}, WindowTo: at})
	m.Loaded("morgue", true, importer.BatchSummary{Kind: schemas.Changes, Effects: map[string]int64{"opened": 3}, WindowTo: at})
	m.Delivered("gp_link", delivery.FileSummary{Rows: 3, Changes: delivery.Changes{Count: charset.Count{Replaced: 1}}})
	m.Find(found)
	place := m.Store("morgue", directory(t), nowhere)
	if err := place.Publish(t.Context(), "x", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	return textfile(t, filepath.Join(t.TempDir(), "all.prom"), m)
}

// found notes everything that status can find.
func found(f *observe.Findings) {
	f.Service("morgue", "held", 3)
	f.Exporting("patients", exporter.Status{Waiting: 2, Oldest: &at, WindowTo: at})
	f.Importing("morgue", importer.Status{
		Batch: 2, WindowTo: at, Held: new(int64(3)), HeldEffects: map[string]int64{"opened": 62},
		Pending: new(int64(3)), PendingWhy: exchange.Gap, PendingSince: &at, Running: true,
	})
	f.Receipts([]exporter.Receipt{{Receipt: &schemas.Receipt{Instance: "morgue@east", AppliedAt: schemas.At(at)}}})
	f.Breaker("morgue", guard.Health{State: guard.Open, Failures: 10})
}

func directory(t *testing.T) exchange.Store {
	t.Helper()
	place, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(everything(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A consumer that moved to another stream has one series, of the stream that it follows now.
func TestAReceiptFromBeforeAMoveIsNoSeries(t *testing.T) {
	m := metrics("status")
	m.Find(func(f *observe.Findings) {
		f.Receipts([]exporter.Receipt{
			{Moved: "patient-events-2", Receipt: &schemas.Receipt{Instance: "morgue@east", Batch: 3, AppliedAt: schemas.At(at)}},
			{Receipt: &schemas.Receipt{Instance: "morgue@east", Batch: 7, AppliedAt: schemas.At(at.Add(time.Hour))}},
			{Moved: "patient-events-2", Receipt: &schemas.Receipt{Instance: "morgue@west", Batch: 4, AppliedAt: schemas.At(at)}},
		})
	})
	text := textfile(t, filepath.Join(t.TempDir(), "status.prom"), m)
	wants(t, text, `waybill_receipt_batch{command="status",consumer="morgue@east"} 7`)
	if strings.Contains(text, "morgue@west") {
		t.Error("a consumer that moved has a series")
	}
}

func TestATextfileGoesOnFromTheOneBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "import.prom")
	batch := importer.BatchSummary{Batch: 7, Kind: schemas.Changes, Rows: 4, Effects: map[string]int64{"opened": 3}, Duration: humanize.Seconds(300 * time.Millisecond), WindowTo: at}
	first := metrics("import")
	first.Loaded("morgue", false, batch)
	first.Find(func(f *observe.Findings) { f.Service("morgue", "ok", 7) })
	first.Ran("morgue", at, false, nil)
	textfile(t, path, first)

	second := metrics("import")
	batch.Batch = 8
	second.Loaded("morgue", false, batch)
	second.Ran("morgue", at, false, nil)
	textfile(t, path, second)

	third := metrics("import")
	third.Ran("morgue", at.Add(-time.Hour), false, fault.New(fault.Held, "load", "batch 9", nil, ""))
	text := textfile(t, path, third)
	wants(t, text,
		`waybill_import_events_total{command="import",service="morgue"} 8`,
		`waybill_import_effects_total{command="import",kind="opened",observed="false",service="morgue"} 6`,
		`waybill_import_batch_duration_seconds_bucket{command="import",service="morgue",le="0.25"} 0`,
		`waybill_import_batch_duration_seconds_bucket{command="import",service="morgue",le="0.5"} 2`,
		`waybill_import_batch_duration_seconds_bucket{command="import",service="morgue",le="+Inf"} 2`,
		`waybill_import_batch_duration_seconds_sum{command="import",service="morgue"} 0.6`,
		`waybill_import_last_batch{command="import",service="morgue"} 8`,
		`waybill_runs_total{command="import",outcome="done",service="morgue"} 2`,
		`waybill_runs_total{command="import",outcome="held",service="morgue"} 1`,
		`waybill_last_run_outcome{command="import",outcome="done",service="morgue"} 0`,
		`waybill_last_run_outcome{command="import",outcome="held",service="morgue"} 1`,
		`waybill_last_success_timestamp_seconds{command="import",service="morgue"} 1.795316401e+09`,
		`waybill_last_run_duration_seconds{command="import",service="morgue"} 3601`,
	)
	if strings.Contains(text, "waybill_service_state") {
		t.Error("what status found once is still there")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left, want 1: %v", len(left), err)
	}
}

func TestAFileThatIsNoTextfileIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "export.prom")
	if err := os.WriteFile(path, []byte("waybill_runs_total{ torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := metrics("export")
	m.Ran("patients", at, true, nil)
	wants(t, textfile(t, path, m), `waybill_runs_total{command="export",outcome="busy",service="patients"} 1`)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, want one that others may read: %v", info.Mode(), err)
	}
}

func TestPathsThatCanNotBeATextfilesAreRefused(t *testing.T) {
	folder := t.TempDir()
	if err := observe.CheckFile(filepath.Join(folder, "x.prom")); err != nil {
		t.Error(err)
	}
	for _, path := range []string{filepath.Join(folder, "x.txt"), filepath.Join(folder, "gone", "x.prom")} {
		if err := observe.CheckFile(path); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// seeker is a store that wants to read a body twice.
type seeker struct{ exchange.Store }

func (s seeker) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if _, ok := body.(io.Seeker); !ok {
		return errors.New("the body can't be read again")
	}
	return s.Store.Put(ctx, name, size, body)
}

func TestStoreOperationsAreMeasured(t *testing.T) {
	m := metrics("import")
	place := m.Store("morgue", seeker{directory(t)}, nowhere)
	ctx := t.Context()
	if err := place.Put(ctx, "part", 5, bytes.NewReader([]byte("hello"))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(place.Publish(ctx, "once", []byte("abc")), read(ctx, place, "part")); err != nil {
		t.Fatal(err)
	}
	if err := place.Publish(ctx, "once", []byte("abc")); !errors.Is(err, exchange.ErrExists) {
		t.Error(err)
	}
	if err := read(ctx, place, "nothing"); !errors.Is(err, exchange.ErrNotFound) {
		t.Error(err)
	}
	names := 0
	for _, err := range place.List(ctx, "") {
		if err != nil {
			t.Error(err)
		}
		names++
	}
	if names != 2 {
		t.Errorf("%d names, want 2", names)
	}
	text := textfile(t, filepath.Join(t.TempDir(), "x.prom"), m)
	const count = `waybill_store_operation_duration_seconds_count{command="import",`
	wants(t, text,
		count+`op="put",outcome="ok",service="morgue"} 1`,
		count+`op="get",outcome="ok",service="morgue"} 1`,
		count+`op="get",outcome="not found",service="morgue"} 1`,
		count+`op="publish",outcome="ok",service="morgue"} 1`,
		count+`op="publish",outcome="exists",service="morgue"} 1`,
		count+`op="list",outcome="ok",service="morgue"} 1`,
		`waybill_store_transferred_bytes_total{command="import",op="get",service="morgue"} 5`,
		`waybill_store_transferred_bytes_total{command="import",op="put",service="morgue"} 5`,
		`waybill_store_transferred_bytes_total{command="import",op="publish",service="morgue"} 3`,
	)
}

func read(ctx context.Context, place exchange.Store, name string) error {
	file, err := place.Get(ctx, name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, file)
	return errors.Join(err, file.Close())
}

func TestMetricsAreServedWhileACommandRuns(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	m := metrics("export")
	var log bytes.Buffer
	server, err := observe.Serve("127.0.0.1:0", m.Mux(), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, address, _ := strings.Cut(strings.TrimSpace(log.String()), "address=")
	for path, want := range map[string]string{"/metrics": `waybill_build_info{command="export"`, "/healthz": "ok"} {
		if body := get(t, "http://"+address+path); !strings.Contains(body, want) {
			t.Errorf("%s says\n%s\nwithout %s", path, body, want)
		}
	}
	if _, err := observe.Serve(address, nil, nil, nowhere); fault.ClassOf(err) != fault.Transient {
		t.Errorf("a taken address: %v", err)
	}
	for _, bad := range []string{"9464", "localhost:http-but-not-really", "localhost:99999", "no such host:80"} {
		if _, err := observe.Serve(bad, nil, nil, nowhere); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// A collector that refuses, hangs or talks nonsense costs a run neither its result nor its time,
// and is reported once.
func TestACollectorInTroubleIsNoTroubleOfTheRuns(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hanging.CloseClientConnections()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	for name, endpoint := range map[string]string{
		"hangs": hanging.URL, "refuses": "http://" + refusing.Addr().String(), "is none": "localhost:4318",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000") // in milliseconds: the run's end does not depend on it
			var log bytes.Buffer
			provider, flush := observe.Tracing(t.Context(), "1.2.3", os.Getenv, slog.New(slog.NewTextHandler(&log, nil)))
			for range 2000 {
				_, s := provider.Tracer("test").Start(t.Context(), "batch")
				s.End()
			}
			began := time.Now()
			flush()
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("the run's end waited for %s", took)
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings, want 1:\n%s", n, log.String())
			}
		})
	}
}

func TestWithoutAnEndpointNothingIsTraced(t *testing.T) {
	for _, environment := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_TRACES_EXPORTER": "none"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
	} {
		provider, flush := observe.Tracing(t.Context(), "1.2.3", func(name string) string { return environment[name] }, nowhere)
		if _, s := provider.Tracer("test").Start(t.Context(), "run"); s.SpanContext().IsValid() {
			t.Errorf("%v: a span has an id", environment)
		}
		flush()
	}
}

// Counts of deaths are not for everybody on the network.
func TestMetricsWithoutAHostAreForThisMachineAlone(t *testing.T) {
	var log bytes.Buffer
	server, err := observe.Serve(":0", metrics("export").Mux(), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, address, _ := strings.Cut(strings.TrimSpace(log.String()), "address=")
	if at, err := netip.ParseAddrPort(strings.Trim(address, `"`)); err != nil || !at.Addr().IsLoopback() {
		t.Errorf("served at %s, %v", address, err)
	}
}
