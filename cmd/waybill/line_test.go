package main_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/guard"
	"waybill/exchange/store"
	"waybill/exporter"
	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/exchangetest"
	"waybill/lab/proxy"
	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
)

// line is a site whose store is behind a proxy, and whose runs can be disturbed at any one of
// their calls of the store.
type line struct {
	*site
	host  *servers.Host
	proxy *proxy.Proxy
	far   servers.Exchange // through the proxy
	days  int
}

func newLine(t *testing.T, kind string) *line {
	t.Helper()
	host := hosttest.StartBy(t, func(ctx context.Context, dir string) (*servers.Host, error) {
		if kind == "hdfs" { // its redirects lead through the proxy, too
			return servers.StartHDFSHost(ctx, dir, servers.HDFSOptions{Host: "127.0.0.2"})
		}
		return servers.StartHost(ctx, kind, dir)
	})
	made, err := host.NewExchange(t.Context(), "line")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{host: host, proxy: proxy.New("127.0.0.2", "127.0.0.1")}
	t.Cleanup(l.proxy.Close)
	for _, port := range host.Ports {
		if err := l.proxy.Forward(port); err != nil {
			t.Fatal(err)
		}
	}
	if l.far, err = made.At("127.0.0.2"); err != nil {
		t.Fatal(err)
	}
	l.site = newSiteAt(t, hosttest.Exchange{Exchange: made, Kind: kind, Environment: host.Environment})
	return l
}

// lineRun is an export or an import over a store.
type lineRun func(ctx context.Context, place exchange.Store) error

func (l *line) export(ctx context.Context, place exchange.Store) error {
	e, err := exporter.New(exporter.Config{DatabaseURL: l.urls["patients"], Store: place, Spool: l.TempDir()})
	if err != nil {
		return err
	}
	_, err = e.Run(ctx)
	return err
}

func (l *line) load(ctx context.Context, place exchange.Store) error {
	consumer, err := importer.LoadConsumer(morgue.Files())
	if err != nil {
		return err
	}
	i, err := importer.New(importer.Config{
		DatabaseURL: l.urls["morgue"], Store: place, Consumer: consumer, Instance: "east", Spool: l.TempDir(),
	})
	if err != nil {
		return err
	}
	summary, err := i.Run(ctx, importer.Options{})
	return errors.Join(err, summary.ReceiptOwed)
}

// disturbed does a run over the proxied store and calls strike before its call number at; it
// returns how many calls were made. Calls are tried so many times.
func (l *line) disturbed(run lineRun, attempts, at int, strike func()) (calls int, err error) {
	policy := guard.Policy{Stall: time.Minute, Attempts: attempts, Backoff: time.Millisecond, Longest: 5 * time.Millisecond}
	if strike != nil && attempts == 1 { // otherwise a busy machine is no stall
		policy.Stall = 500 * time.Millisecond
	}
	place, err := store.Open(store.Config{URL: l.far.URL, Secret: func() (string, error) { return l.far.Password, nil }, Policy: policy})
	if err != nil {
		l.Fatal(err)
	}
	defer place.Close()
	err = run(l.Context(), &exchangetest.Faulty{Store: place, Fail: func(exchangetest.Op, string) error {
		if calls++; calls == at {
			strike()
		}
		return nil
	}})
	return calls, err
}

// day has one more patient admitted and die.
func (l *line) day() {
	l.Helper()
	l.exec("patients", `INSERT INTO patients.patient (id, family_name) VALUES ($1, 'Test')`, patient(l.days))
	l.die(l.days)
	l.days++
}

func (l *line) mustRun(run lineRun) {
	l.Helper()
	if _, err := l.disturbed(run, 1, 0, nil); err != nil {
		l.Fatalf("undisturbed: %v", err)
	}
}

// disturbances are what happens before a call of the store, and how the line is repaired.
func (l *line) disturbances() map[string]struct{ strike, repair func() } {
	cut := func(f proxy.Fault, after int64) func() { return func() { l.proxy.Strike(f, after, false) } }
	restart := func() {
		if err := l.host.Start(l.Context()); err != nil {
			l.Fatal(err)
		}
	}
	all := map[string]struct{ strike, repair func() }{
		"cut at its begin":  {cut(proxy.Cut, 0), l.proxy.Heal},
		"cut in its middle": {cut(proxy.Cut, 300), l.proxy.Heal},
		"stalled":           {cut(proxy.Stall, 300), l.proxy.Heal},
		"slow":              {cut(proxy.Slow, 0), l.proxy.Heal},
		"server killed":     {l.host.Kill, restart},
	}
	if l.place.Kind == "hdfs" { // a NameNode takes half a minute to come back: see TestProofANameNodeIsKilled
		delete(all, "server killed")
	}
	return all
}

// The line is cut, stalls or crawls, or the server is killed, at each call that an export and an
// import make; the next run continues, and nothing is lost, doubled or mistaken for whole.
func TestProofABadLineChangesNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"s3", "ftp", "sftp", "hdfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, kind)
			l.day()
			l.mustRun(l.export)
			l.mustRun(l.load)
			for name, d := range l.disturbances() {
				for what, run := range map[string]lineRun{"export": l.export, "import": l.load} {
					l.disturbEachCall(name, what, run, d.strike, d.repair)
				}
			}
			l.verify()
		})
	}
}

func (l *line) disturbEachCall(name, what string, run lineRun, strike, repair func()) {
	l.Helper()
	for at, calls := 1, 1; at <= calls; at++ {
		l.day()
		if what == "import" {
			l.mustRun(l.export)
		}
		var err error
		calls, err = l.disturbed(run, 1, at, strike)
		if err != nil && fault.ClassOf(err) != fault.Transient {
			l.Errorf("%s at call %d of an %s: %v (%v)", name, at, what, err, fault.ClassOf(err))
		}
		repair()
		l.mustRun(l.export)
		l.mustRun(l.load)
	}
}

// The NameNode dies in the middle and at the end of an export and of an import. Once another has left its safe mode, the next
// run continues.
func TestProofANameNodeIsKilled(t *testing.T) {
	t.Parallel()
	l := newLine(t, "hdfs")
	for what, run := range map[string]lineRun{"export": l.export, "import": l.load} {
		prepare := func() {
			l.day()
			if what == "import" {
				l.mustRun(l.export)
			}
		}
		for _, part := range []int{2, 1} {
			prepare()
			calls, err := l.disturbed(run, 1, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			prepare()
			if _, err = l.disturbed(run, 1, calls/part, l.host.Kill); fault.ClassOf(err) != fault.Transient {
				t.Errorf("killed before call %d of %d of an %s: %v (%v)", calls/part, calls, what, err, fault.ClassOf(err))
			}
			if err := l.host.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			await.True(t, "files can be written", func() bool {
				_, err = l.disturbed(l.export, 1, 0, nil)
				return err == nil
			})
			l.mustRun(l.load)
		}
	}
	l.verify()
}

// A cut does not end a run: the interrupted call is tried again.
func TestProofARunOutlivesACut(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"s3", "ftp", "sftp"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, kind)
			for _, after := range []int64{0, 200, 900} {
				for what, run := range map[string]lineRun{"export": l.export, "import": l.load} {
					for at, calls := 1, 1; at <= calls; at++ {
						l.day()
						if what == "import" {
							l.mustRun(l.export)
						}
						var err error
						if calls, err = l.disturbed(run, 5, at, func() { l.proxy.Strike(proxy.Cut, after, true) }); err != nil {
							t.Errorf("%s, cut %d bytes into call %d: %v", what, after, at, err)
						}
						l.proxy.Heal()
					}
				}
			}
			l.mustRun(l.export)
			l.mustRun(l.load)
			if l.proxy.Struck() == 0 {
				t.Error("no line was cut")
			}
			l.verify()
		})
	}
}

// verify demands that every event is in the log once, and that every death opened one case.
func (l *line) verify() {
	l.Helper()
	seen := map[string]int{}
	for _, event := range l.events() {
		seen[strings.SplitN(event, " ", 2)[1]]++
	}
	for event, times := range seen {
		if times != 1 {
			l.Errorf("%s is in the log %d times", event, times)
		}
	}
	if want := 2 * l.days; len(seen) != want { // registered and died
		l.Errorf("%d events in the log, want %d", len(seen), want)
	}
	var cases, patients int
	err := l.conn["morgue"].QueryRow(l.Context(), `SELECT count(*), count(DISTINCT patient_id) FROM morgue.case_file`).Scan(&cases, &patients)
	if err != nil {
		l.Fatal(err)
	}
	if cases != l.days || patients != l.days {
		l.Errorf("%d cases of %d patients, want %d", cases, patients, l.days)
	}
	l.says(l.do("verify"), "all as published")
}
