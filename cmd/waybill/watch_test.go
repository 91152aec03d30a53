package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// must runs a command with an environment, which must succeed.
func (s *site) must(environment []string, arguments ...string) result {
	s.Helper()
	r := s.run(environment, arguments...)
	if r.code != 0 {
		s.Fatalf("waybill %v: exit %d\n%s%s", arguments, r.code, r.stdout, r.stderr)
	}
	return r
}

func TestATraceGoesOnFromExportToImport(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), newCollector(t)
	s.firstDay()
	s.must(c.environment(), "export")
	s.must(c.environment(), "import", "morgue")
	s.must(c.environment(), "import", "appointments")
	exported := c.named("export batch", 1)
	imported := c.named("import batch", 1)
	if len(exported) != 1 || len(imported) != 2 {
		t.Fatalf("batch 1: %d spans of its export, %d of its imports, want 1 and 2", len(exported), len(imported))
	}
	for _, i := range imported {
		if !child(exported[0], i) {
			t.Errorf("an import of batch 1 is not a child of its export")
		}
		if len(i.Links) != 1 {
			t.Errorf("an import of batch 1 has %d links, want one to its run", len(i.Links))
		}
	}
	for name, parents := range map[string][]*trace.Span{"part": exported, "publish": exported, "fetch part": imported, "load": imported} {
		if !anyChild(parents, c.named(name, -1)) {
			t.Errorf("no span %q within the batch's", name)
		}
	}
}

func child(parent, s *trace.Span) bool {
	return bytes.Equal(parent.TraceId, s.TraceId) && bytes.Equal(parent.SpanId, s.ParentSpanId)
}

func anyChild(parents, spans []*trace.Span) bool {
	for _, p := range parents {
		for _, s := range spans {
			if child(p, s) {
				return true
			}
		}
	}
	return false
}

// A run that resumes a batch whose manifest is stored publishes it as it is, and continues with the
// trace that is in it.
func TestATraceGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), newCollector(t)
	s.do("export")
	s.firstDay()
	if r := s.run(append(c.environment(), "WAYBILL_KILL_AT=export.4"), "export"); r.signal != syscall.SIGKILL {
		t.Fatalf("not killed: exit %d\n%s", r.code, r.stderr)
	}
	s.awaitBackends()
	s.must(c.environment(), "export")
	s.must(c.environment(), "import", "morgue")
	resumed, imported := c.named("export batch", 1), c.named("import batch", 1)
	if len(resumed) != 1 || len(imported) != 1 || !bytes.Equal(resumed[0].TraceId, imported[0].TraceId) {
		t.Fatalf("resumed %v, imported %v: not one trace", resumed, imported)
	}
	if !bytes.Equal(resumed[0].ParentSpanId, imported[0].ParentSpanId) {
		t.Error("both should continue the span of the run that was killed")
	}
}

func TestNothingIsTracedUnlessAskedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("export")
	if out := s.do("--json", "batches"); strings.Contains(out, "traceparent") {
		t.Errorf("a manifest names a span:\n%s", out)
	}
}

func TestARunLeavesATextfile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	file := func(name string) string { return filepath.Join(s.dir, name+".prom") }
	s.do("--metrics-file", file("export"), "export")
	s.do("--metrics-file", file("import"), "import", "morgue")
	s.do("--metrics-file", file("import"), "import", "morgue")
	s.do("--metrics-file", file("status"), "status")
	s.do("--metrics-file", file("reconcile"), "reconcile")
	s.says(s.read(file("export")),
		`waybill_export_events_total{command="export",event="died",service="patients"} 3`,
		`waybill_last_run_outcome{command="export",outcome="done",service="patients"} 1`)
	s.says(s.read(file("import")),
		`waybill_import_effects_total{command="import",kind="opened",observed="false",service="morgue"} 3`,
		`waybill_runs_total{command="import",outcome="done",service="morgue"} 2`,
		`waybill_store_operation_duration_seconds_count{command="import",op="get",outcome="not found",service="morgue"}`)
	s.says(s.read(file("reconcile")),
		`waybill_store_operation_duration_seconds_count{command="reconcile",op="get",outcome="ok",service="patients"}`,
		`waybill_last_run_outcome{command="reconcile",outcome="done",service=""} 1`)
	s.says(s.read(file("status")),
		`waybill_service_state{command="status",service="morgue",state="ok"} 1`,
		`waybill_service_log_end_batch{command="status",service="appointments"} 1`,
		`waybill_receipt_batch{command="status",consumer="morgue@east"} 1`,
		`waybill_service_waiting_events{command="status",service="patients"} 0`,
		`waybill_store_breaker_state{command="status",service="patients",state="closed"} 1`)

	s.damagePart(1)
	s.fails(3, nil, "--metrics-file", file("failed"), "import", "appointments")
	s.says(s.read(file("failed")), `waybill_last_run_outcome{command="import",outcome="poison",service="appointments"} 1`)
	s.fails(2, []string{"write metrics to", ".prom"}, "--metrics-file", "/nowhere/at/all", "export")
	s.fails(2, []string{"serve at", "HOST:PORT"}, "--metrics", "9464", "export")
}

func (s *site) read(path string) string {
	s.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	return string(data)
}

// An import that is kept waiting is scraped meanwhile.
func TestMetricsAreServedWhileARunLasts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export")
	body := s.scraped("import", "morgue")
	s.says(body, `waybill_build_info{command="import"`, `waybill_store_transferred_bytes_total{command="import",op="get",service="morgue"}`, "go_goroutines")
}

// scraped runs the morgue's first import, holds it up where it makes its checkpoint, and returns what it
// serves meanwhile.
func (s *site) scraped(arguments ...string) string {
	s.Helper()
	tx, err := s.conn["morgue"].Begin(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	defer tx.Rollback(s.Context())
	if _, err := tx.Exec(s.Context(), `INSERT INTO morgue.checkpoint (stream, batch, hash, applied_at) VALUES ('patient-events', -1, '', now())`); err != nil {
		s.Fatal(err)
	}
	cmd := s.command(nil, append([]string{"--log", "debug", "--metrics", "127.0.0.1:0"}, arguments...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	body := s.scrapeAt(stderr, `"op":"get"`)
	if err := tx.Rollback(s.Context()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		s.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stderr)
	if err := cmd.Wait(); err != nil {
		s.Errorf("waybill %v: %v", arguments, err)
	}
	return body
}

// scrapeAt reads a command's log until a line has the text, and then gets its metrics.
func (s *site) scrapeAt(log io.Reader, text string) string {
	s.Helper()
	var line struct{ Msg, Address string }
	address := ""
	for scanner := bufio.NewScanner(log); scanner.Scan(); {
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			s.Fatalf("not a line of JSON: %s", scanner.Text())
		}
		if line.Msg == "serving" {
			address = line.Address
		}
		if strings.Contains(scanner.Text(), text) {
			break
		}
	}
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(body)
}

// Where nobody sits before a terminal, every line on standard error is JSON, the last one too.
func TestLogsAreJSONWhereNobodyReadsThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export")
	s.configure("morgue", "import: {instance: east, brake: 2}")
	r := s.run(nil, "--log", "debug", "import", "morgue")
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	var last struct {
		Level, Msg, Service, Class, Hint string
		Exit                             int
	}
	for _, line := range lines {
		last.Level = ""
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("not a line of JSON: %s", line)
		}
	}
	if last.Level != "ERROR" || last.Service != "morgue" || last.Class != "held" || last.Exit != 6 || !strings.Contains(last.Hint, "--approve 1") {
		t.Errorf("the last line is %+v", last)
	}
}
