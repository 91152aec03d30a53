package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"waybill/importer"
)

func TestARerunOfAWindowSaysWhichBatchesItChose(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.configure("morgue", "zone: Europe/Vienna\nimport: {instance: east}")
	s.says(s.do("rerun", "import", "morgue", "--window", "today", "--dry-run"),
		"planned from ", "CET", ": batches 0..2\n", "dry run: nothing was changed", "INSERTED  CHANGED  UNCHANGED", "0         0        3", "0         0        2")
	s.says(s.do("rerun", "import", "morgue", "--window", "2020-01-01/P100Y", "--by", "recorded", "--reason", "an audit"), "recorded from 2019-12-31 23:00:00Z", ": batches 1..2\n")
	day := s.one("morgue", `SELECT to_char(window_to AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM morgue.ledger WHERE batch = 1 AND rerun = 0`)
	s.says(s.do("rerun", "import", "morgue", "--window", day+"/PT1H", "--reason", "an audit"), ": batch 2\n")
	s.says(s.do("rerun", "import", "morgue", "--window", "PT1H/"+day, "--reason", "an audit"), ": batches 0..1\n")
	if got := s.one("morgue", `SELECT string_agg(concat_ws('.', batch, rerun), ' ' ORDER BY batch, rerun) FROM morgue.ledger`); got != "0.0 0.1 1.0 1.1 1.2 2.0 2.1 2.2" {
		t.Errorf("the ledger has %s", got)
	}

	s.fails(2, []string{"there is none in that time: batches 0..2 were applied here, of 20"}, "rerun", "import", "morgue", "--window", "2020-01-01", "--dry-run")
	s.fails(2, []string{"is no time; write yesterday"}, "rerun", "import", "morgue", "--window", "soon", "--dry-run")
	s.fails(2, []string{"--by is about --window"}, "rerun", "import", "morgue", "--batch", "1", "--by", "recorded", "--dry-run")
	s.fails(2, []string{"--batch", "--window"}, "rerun", "import", "morgue", "--dry-run")
	s.fails(2, []string{"--batch", "--window"}, "rerun", "import", "morgue", "--batch", "1", "--window", "today", "--dry-run")
	s.fails(2, []string{"no reason given", "--dry-run"}, "rerun", "import", "morgue", "--batch", "1")
	s.fails(2, []string{"the checkpoint is at batch 2"}, "rerun", "import", "morgue", "--batch", "1..3", "--dry-run")
	s.fails(2, []string{"more than 1000000"}, "rerun", "import", "morgue", "--batch", "1..99999999", "--dry-run")
}

func TestARerunHasABrakeOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("morgue", "import: {instance: east, mode: observe, brake: 2}")
	s.firstDay()
	s.exchangeAll()
	s.configure("morgue", "import: {instance: east, brake: 2}")
	again := []string{"rerun", "import", "morgue", "--batch", "1", "--reapply", "--reason", "going live"}
	s.fails(6, []string{"3 opened", "brake is at 2", "--brake"}, again...)
	s.fails(2, []string{"neither a number"}, append(again, "--brake", "none")...)
	var summary importer.Summary
	if err := json.Unmarshal(resultIn(s.do(append(again, "--brake", "3", "--json")...)), &summary); err != nil {
		t.Fatal(err)
	}
	if b := summary.Batches[0]; b.Effects["opened"] != 3 || b.Unchanged != 3 || b.Changed != 0 || b.WindowFrom.After(time.Now()) {
		t.Errorf("re-run: %+v", b)
	}
	if got := s.one("morgue", `SELECT reason || ' ' || (person <> '') FROM morgue.ledger WHERE rerun = 1`); got != "going live true" {
		t.Errorf("the ledger says %s", got)
	}
	s.says(strings.Join(s.rows(), "\n"), "morgue ledger 1 1 3 0 {\"opened\": 3}")
}

// one returns the one value that a query of a service's database has, as text.
func (s *site) one(service, query string) (value string) {
	s.Helper()
	if err := s.conn[service].QueryRow(s.Context(), query).Scan(&value); err != nil {
		s.Fatal(err)
	}
	return value
}

// A checkpoint that names another manifest than the ledger is of another log, or was set by hand.
func TestACheckpointThatNamesAnotherManifestIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.reconciled(0)
	s.exec("morgue", `UPDATE morgue.checkpoint SET hash = repeat('0', 64)`)
	s.finds([]string{"morgue manifest 1"})
}
