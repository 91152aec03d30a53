package main_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"waybill/lab/await"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// An attacker who may write everywhere on the store, and has each signature that was ever made, puts together what is
// there. The consumer says why it stops, the producer that somebody else writes its log; nothing is applied. Once the
// attacker's file is gone, both continue.
func TestProofAttacksOnASignedLog(t *testing.T) {
	t.Parallel()
	s, other := newSite(t), newSite(t)
	file, public := s.key("patients-2026")
	namesake, _ := other.key("patients-2026") // of the same name
	s.signed([]string{file}, public, "")
	other.signed([]string{file}, public, "") // another log of the same producer
	s.twoDays()
	other.twoDays()
	other.news("Spliced")
	other.do("export")
	last := s.last()
	next, before := last.Manifest.Batch+1, s.known()
	living := uuid.MustParse(s.one("patients", `SELECT id::text FROM patients.patient WHERE death_status = 'none' ORDER BY id LIMIT 1`))
	died := logtest.State{Event: schemas.Died, Patient: living, Version: 1 << 40, DeathNo: 1, Status: "formal"}
	logtest.Behind(t, s.place.Open(t), last).Changes(died)
	changes := s.manifest(next)
	logtest.Behind(t, s.place.Open(t), last).Snapshot(last.Manifest.Generation+1, died)
	snapshot := s.manifest(next)
	s.news("Next")
	for name, attack := range map[string]struct {
		data []byte
		says string
	}{
		"another log spliced in":         {other.manifest(next), "batch"},
		"a batch again":                  {last.Data, "batch"},
		"a key of the same name":         {s.sign(namesake, schemas.OfManifest, changes), "untrusted"},
		"a receipt's signature":          {s.sign(file, schemas.OfReceipt, changes), "untrusted"},
		"a snapshot of a new generation": {snapshot, "untrusted"},
		"one with the last's signature":  {s.resigned(snapshot, schemas.Signatures(last.Data)), "untrusted"},
		"lines in another order":         {reordered(s.sign(file, schemas.OfManifest, changes)), "untrusted"},
	} {
		t.Log(name)
		s.replace(next, attack.data)
		s.fails(3, []string{attack.says}, "import", "morgue")
		s.fails(3, []string{fmt.Sprint("batch ", next)}, "export")
		if code := s.run(nil, "status").code; code != 3 {
			t.Errorf("%s: status exits with %d", name, code)
		}
		if s.known() != before {
			t.Fatalf("%s was applied", name)
		}
	}
	s.removeManifest(next)
	s.do("export")
	s.do("import", "morgue")
	s.do("verify")
	s.do("reconcile")
	s.do("status")
}

// reordered returns a signed manifest whose line of signatures comes first.
func reordered(data []byte) []byte {
	lines := slices.Collect(bytes.Lines(data))
	at := len(lines) - 2
	lines = slices.Insert(slices.Delete(slices.Clone(lines), at, at+1), 1, lines[at])
	return resealed(bytes.Join(lines, nil))
}

// A store that shows an older state of the log, to one party or to all, is noticed by the party that has seen more,
// and by all when the signed heartbeat is over.
func TestProofARolledBackStoreIsNoticed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file, public := s.key("patients-2026")
	s.signed([]string{file}, public, "")
	s.firstDay()
	s.do("export")
	s.do("import", "morgue")
	s.secondDay()
	s.do("export")
	s.do("import", "morgue")
	before, last := s.known(), s.last()
	s.removeManifest(last.Manifest.Batch)
	s.says(s.run(nil, "import", "morgue").stderr, fmt.Sprint("batch ", last.Manifest.Batch))
	s.news("Next")
	s.fails(3, []string{fmt.Sprint("batch ", last.Manifest.Batch)}, "export")
	if s.known() != before {
		t.Error("something was applied")
	}
	s.do("import", "appointments") // it has not seen more
	if err := s.place.Open(t).Publish(t.Context(), schemas.ManifestName(last.Manifest.Batch, 0), last.Data); err != nil {
		t.Fatal(err)
	}
	s.exchangeAll()
	s.do("reconcile")

	s.configure("patients", "export: {heartbeat: 1s}\nsign: {keys: ["+file+"]}\n")
	s.configure("morgue", "import: {instance: east, late_after: 1s, grace: 1s}\ntrust: {keys: ["+public+"]}\n")
	s.news("Frozen")
	s.do("export")
	s.run(nil, "import", "morgue") // on a slow machine it is late already
	await.True(t, "the frozen log is late", func() bool { return s.run(nil, "status", "morgue").code == 5 })
}
