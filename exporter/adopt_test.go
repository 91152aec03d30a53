package exporter_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/exporter"
	"waybill/exporter/rerun"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/lab/pg"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

// A real pg_upgrade between two majors changes the cluster's identifier and nothing that the log depends
// on. What was captured before it, and a batch planned and not published, come out afterwards.
func TestProofUpgradeOfPostgreSQL(t *testing.T) {
	t.Parallel()
	later, err := pg.FetchLater(t.Context())
	if err != nil {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
	c := startCluster(t, serverDir(t))
	if was := c.server.Binaries().Major; was >= later.Major {
		t.Fatalf("PostgreSQL %d is no older than %d: name an older one's programs by %s", was, later.Major, pg.FolderVariable)
	}
	s := c.service("patients", hosttest.New(t))
	morgue := s.follower()
	dead, living := s.register(1), s.register(1)
	s.die(dead)
	s.export()
	morgue.equalsSource()
	s.die(living, s.register(1))
	whole := s.config.Store
	s.config.Store = failing(whole, "parts/")
	if _, err := s.exporter().Run(t.Context()); err == nil {
		t.Fatal("the store failed, and nobody noticed")
	}
	s.config.Store = whole
	s.live(dead)

	if err := c.server.Upgrade(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	s.conn = s.connect()
	s.refused("this is cluster")
	s.adopted()
	s.export()
	if got := s.last().Manifest; got.Generation != 1 || got.Batch != 3 {
		t.Errorf("the log ends with batch %d of generation %d, want 3 of 1", got.Batch, got.Generation)
	}
	morgue.equalsSource()
	s.die(s.register(1))
	s.export()
	morgue.equalsSource()
	if got := s.found(rerun.Options{Batches: span(0, 4), DryRun: true}); got != "0 same; 1 same; 2 same; 3 same; 4 same" {
		t.Errorf("compared with the outbox: %s", got)
	}
	facts, err := exporter.Examine(t.Context(), s.url)
	for _, fact := range facts {
		if fact.Fails && fact.Name != "durability" {
			t.Errorf("doctor: %+v", fact)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// adopted has the database adopted, and sees that the decision is kept.
func (s *site) adopted() {
	s.Helper()
	before := s.last()
	a, err := s.exporter().Adopt(s.Context(), "a test", "ann")
	if err != nil {
		s.Fatalf("%v; next: %s", err, fault.HintOf(err))
	}
	if a.Batch != before.Manifest.Batch || a.From == a.To {
		s.Errorf("adopted %+v behind batch %d", a, before.Manifest.Batch)
	}
	var kept string
	if err := s.conn.QueryRow(s.Context(), `SELECT concat_ws('; ', kind, subject, seen, reason, person) FROM exporter.decision`).Scan(&kept); err != nil {
		s.Fatal(err)
	}
	if want := fmt.Sprintf("adopt; %s is now %s; %s; a test; ann", a.From, a.To, before.Hash); kept != want {
		s.Errorf("kept %q, want %q", kept, want)
	}
	if fact := decision.Examine(s.Context(), s.conn, "exporter"); fact.Fails {
		s.Errorf("decisions: %+v", fact)
	}
}

// A database that took its original's place in the same cluster is adopted once the original is gone.
func TestACopyIsAdoptedOnlyInPlaceOfItsOriginal(t *testing.T) {
	t.Parallel()
	c := startCluster(t, serverDir(t))
	place := hosttest.New(t)
	original := c.service("patients", place)
	morgue := original.follower()
	original.die(original.register(1))
	original.export()
	original.register(1)
	original.conn.Close(t.Context())
	c.exec(`CREATE DATABASE copied TEMPLATE patients OWNER patients`)

	at, err := url.Parse(original.url)
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/copied"
	s := siteAt(t, at.String(), place)
	s.refused("this is cluster")
	s.notAdopted(fault.Poison, `database "patients", which writes the log, still exists`)
	c.exec(`DROP DATABASE patients`)
	s.adopted()
	s.notAdopted(fault.Usage, "was planned in this database")
	s.export()
	morgue.source = s
	morgue.equalsSource()
}

func (c *cluster) exec(sql string) {
	c.Helper()
	conn, err := pgx.Connect(c.Context(), c.server.SuperURL("postgres"))
	if err != nil {
		c.Fatal(err)
	}
	defer conn.Close(c.Context())
	if _, err := conn.Exec(c.Context(), sql); err != nil {
		c.Fatal(err)
	}
}

// notAdopted asks for an adoption that must be refused, and leave plans and decisions alone.
func (s *site) notAdopted(class fault.Class, says string) {
	s.Helper()
	state := func() string {
		var text string
		if err := s.conn.QueryRow(s.Context(), `SELECT coalesce((SELECT string_agg(plan::text, ' ' ORDER BY batch) FROM exporter.plan), '') || (SELECT count(*) FROM exporter.decision)`).Scan(&text); err != nil {
			s.Fatal(err)
		}
		return text
	}
	before := state()
	_, err := s.exporter().Adopt(s.Context(), "a test", "ann")
	if err == nil || fault.ClassOf(err) != class || !strings.Contains(err.Error(), says) || fault.HintOf(err) == "" {
		s.Errorf("%v (%s), next: %s; want %s: %s", err, fault.ClassOf(err), fault.HintOf(err), class, says)
	}
	if state() != before {
		s.Error("refused, and yet changed")
	}
}

func TestOnlyTheDatabaseThatTheLogFollowsIsAdopted(t *testing.T) {
	t.Parallel()
	const another = `UPDATE exporter.plan SET system_identifier = 1`
	for name, test := range map[string]struct {
		sql  string
		says string
	}{
		"restored from before the log's end": {`DELETE FROM exporter.plan WHERE batch = 2; ` + another, "the log ends with batch 2, and this database knows none behind 1"},
		"with a batch of its own":            {`UPDATE exporter.plan SET manifest_sha256 = repeat('0', 64) WHERE batch = 2; ` + another, "this database planned batch 2, manifest 00000000"},
		"behind the log's cursor":            {`UPDATE exporter.plan SET cursor_after = '900000000:900000000:' WHERE batch = 2; ` + another, "transaction ids have gone backwards"},
		"with events of ids to come":         {`UPDATE patients.outbox SET tx = '900000000' WHERE position = (SELECT max(position) FROM patients.outbox); ` + another, "transaction ids have gone backwards"},
		"a plan that follows another log":    {`UPDATE exporter.plan SET published_at = NULL, manifest = NULL, manifest_sha256 = NULL, previous = repeat('0', 64) WHERE batch = 2; DELETE FROM exporter.plan WHERE batch = 1; ` + another, "this database planned batch 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.batches(2)
			s.exec(test.sql)
			s.notAdopted(fault.Poison, test.says)
		})
	}
	s := newSite(t)
	s.notAdopted(fault.Usage, "it has published nothing")
	s.export()
	s.notAdopted(fault.Usage, "was planned in this database")
	if _, err := s.exporter().Adopt(t.Context(), "", "ann"); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "no reason") {
		t.Errorf("without a reason: %v", err)
	}
	if s.last().Manifest.Kind != schemas.Genesis {
		t.Error("an adoption wrote to the log")
	}
}
