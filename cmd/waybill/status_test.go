package main_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// `status` distinguishes an unreachable store from a broken log, shows what earlier runs saw of the
// store, and still shows the databases' side.
func TestStatusWithoutAStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	right := s.place
	s.place.URL, s.place.Password = "ftps://nobody@127.0.0.1:1/exchange", "none"
	s.configure("patients", "export: {}")
	s.die(4)
	s.fails(4, []string{"refused"}, "export")
	r := s.run(nil, "status")
	if r.code != 4 {
		t.Errorf("status exits with %d, want 4", r.code)
	}
	s.says(r.stdout, "1/?", "no store", "6 failures since", "breaker closed", "morgue        1/1")

	s.place = right
	s.configure("patients", "export: {}")
	s.do("export")
	if out := s.do("status"); strings.Contains(out, "failures") {
		t.Errorf("the store is well, and status says\n%s", out)
	}
}

func TestStatusTellsWhichConsumersAreSilent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("patients", "export: {heartbeat: 1s}")
	s.firstDay()
	s.exchangeAll()
	s.says(s.do("status"), "morgue@east", "current")
	s.live(1)
	s.do("export")
	s.do("import", "appointments")
	s.says(s.do("status"), "1 batch behind", "current")
}

func TestStatusTellsSinceWhenAConsumerIsSilent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	place, past := s.place.Open(t), time.Now().Add(-5*time.Hour)
	p := logtest.NewProducer(t, place, past)
	first := p.Changes()
	if err := exchange.PublishReceipt(t.Context(), place, &schemas.Receipt{
		Format: 1, Stream: schemas.Stream, Log: first.Log, Instance: "morgue@east", Events: []string{"died"}, Batch: 0,
		Manifest: first.Previous, Generation: 1, AppliedAt: first.Window.From, Consumer: schemas.Software{Software: "waybill", Version: "devel"},
	}); err != nil {
		t.Fatal(err)
	}
	s.says(s.run(nil, "status").stdout, "morgue@east", "silent since "+first.Window.To.UTC().Format("2006-01-02 15:04"))
}

// A new consumer stands at the newest snapshot before it has loaded it, and has no time to be behind by.
func TestStatusOfAConsumerThatHasLoadedNothing(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.firstDay()
	s.do("export")
	s.do("export", "--snapshot")
	s.damagePart(2)
	s.fails(3, []string{"damaged"}, "import", "morgue")
	s.exec("morgue", `DELETE FROM morgue.last_run`) // as if it had been killed
	if out := s.do("status", "morgue"); !strings.Contains(out, "morgue   1/2    -      behind  lag 1 batch\n") {
		t.Errorf("it has never applied a batch, and status says\n%s", out)
	}
}

// A run that finds another one busy says nothing: what the run before it met is still noted.
func TestABusyRunHidesNoFailure(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.partner("gp", gpCSV)
	s.sender("ward", wardADT)
	s.do("export")
	s.do("export", "--snapshot")
	for _, of := range []struct{ command, service, schema, lock string }{
		{"prune --keep 90d", "patients", "exporter", `SELECT pg_advisory_lock(x'77617962696c6d'::bigint)`},
		{"export", "patients", "exporter", `SELECT pg_advisory_lock(x'77617962696c6c'::bigint)`},
		{"intake ward", "patients", "intake", `SELECT pg_advisory_lock(hashtextextended('waybill intake ward', 0))`},
		{"deliver gp", "morgue", "delivery_gp", `SELECT pg_advisory_lock(hashtextextended('waybill delivery_gp', 0))`},
		{"import morgue", "morgue", "morgue", `INSERT INTO morgue.lease (pid, backend_start, until)
			SELECT pid, backend_start, now() + interval '1 hour' FROM pg_stat_activity WHERE pid = pg_backend_pid()`},
	} {
		s.do(strings.Fields(of.command)...)
		s.exec(of.service, `UPDATE `+of.schema+`.last_run SET class = 'transient'`)
		s.exec(of.service, of.lock)
		s.says(s.do(strings.Fields(of.command)...), "is running; nothing")
		if well := s.one(of.service, `SELECT count(*)::text FROM `+of.schema+`.last_run WHERE class = ''`); well != "0" {
			t.Errorf("%s: a run that found another one busy is noted", of.command)
		}
	}
}

// A time that is not known is not some time two thousand years ago, and a clock that was set back makes no time negative.
func TestNoSpanIsAbsurd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	for _, at := range []string{"0001-01-01 00:00Z", "2999-01-01 00:00Z"} {
		s.exec("morgue", `UPDATE morgue.checkpoint SET window_to = $1, applied_at = $1, pending_batch = 2, pending_why = 'gap', pending_since = $1`, at)
		s.exec("appointments", `UPDATE appointments.checkpoint SET window_to = $1, applied_at = $1`, at)
		s.exec("patients", `UPDATE exporter.plan SET window_from = $1, window_to = $1`, at)
		shown := s.run(nil, "status").stdout
		if absurd := regexp.MustCompile(`-\d+[smhd]|\d{5,}d`).FindString(shown); absurd != "" {
			t.Errorf("with times of %s, status shows %s:\n%s", at, absurd, shown)
		}
	}
}
