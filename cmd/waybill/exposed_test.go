package main_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"testing"

	"waybill/lab/await"
)

var (
	asked   = regexp.MustCompile(`\bwaybill_[a-z_0-9]+`)
	exposed = regexp.MustCompile(`(?m)^# TYPE (waybill_[a-z_0-9]+) `)
	bucket  = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// asks returns the metrics that the shipped rules and dashboard ask for.
func (s *site) asks() map[string]bool {
	s.Helper()
	names := map[string]bool{}
	for _, file := range []string{"prometheus/alerts.yml", "prometheus/recording.yml", "grafana/waybill.json"} {
		for _, name := range asked.FindAllString(s.read("../../deploy/"+file), -1) {
			names[bucket.ReplaceAllString(name, "")] = true
		}
	}
	return names
}

// What alerts, recording rules and dashboard ask for is exposed by the machines of `waybill run`, on a site that meets
// a held batch, and a store that is gone for a while.
func TestRunExposesWhatRulesAskFor(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 0)
	r.partner("gp", gpCSV)
	r.configure("morgue", "import: {instance: east, brake: 2}\njobs: {import: '@every 1s', deliver gp: '@every 1s'}")
	r.do("migrate")
	missing := r.asks()
	if len(missing) < 20 {
		t.Fatalf("only %d metrics are asked for", len(missing))
	}
	r.firstDay()
	ports := map[string]string{}
	for service := range jobOf {
		ports[service] = r.exposing(service)
	}
	const waiting = "waybill_service_oldest_waiting_timestamp_seconds"
	r.until(ports, missing, func() bool { return len(missing) == 0 || len(missing) == 1 && missing[waiting] })

	gone := r.place.Path + ".gone"
	if err := os.Rename(r.place.Path, gone); err != nil {
		t.Fatal(err)
	}
	r.die(4)
	r.until(ports, missing, func() bool { return !missing[waiting] })
	if err := os.Rename(gone, r.place.Path); err != nil {
		t.Fatal(err)
	}
	r.stop()
}

// exposing starts a machine that serves its metrics, and returns its address.
func (r *running) exposing(service string) (address string) {
	r.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	address = listener.Addr().String()
	listener.Close()
	r.start(service, "WAYBILL_METRICS="+address)
	return address
}

// until scrapes the machines, and strikes what they expose from missing, until enough is.
func (r *running) until(addresses map[string]string, missing map[string]bool, enough func() bool) {
	r.Helper()
	defer func() {
		if r.Failed() {
			r.Logf("not exposed: %v\n%s", missing, r.run(nil, "status").stdout)
		}
	}()
	await.True(r, "enough is exposed", func() bool {
		for _, address := range addresses {
			for _, name := range exposed.FindAllStringSubmatch(scrape(address), -1) {
				delete(missing, name[1])
			}
		}
		return enough()
	})
}

// scrape returns what is served there; nothing yet is "".
func scrape(address string) string {
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}
