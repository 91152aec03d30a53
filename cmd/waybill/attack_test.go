package main_test

import (
	"bytes"
	"errors"
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

// Parts in the place of others: of another batch, of other readers, cut at a chunk, with a bit changed. Signed manifests name
// their hashes, so none is opened. Producer and consumer say so, and a repair brings the log back.
func TestProofAttacksOnPartsOfASealedLog(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.news("Escrowed") // whose registration the morgue may not read
	s.do("export")
	last := s.last()
	files, place, before := s.stored(), s.place.Open(t), s.known()
	var ours, others, earlier []byte // the morgue's part, one that it can't open, and one of another batch
	var name string
	for at, data := range files {
		if part, ok := schemas.ParsePartName(at); ok && part.Batch < last.Manifest.Batch {
			earlier = data
		}
	}
	for _, p := range last.Manifest.Parts {
		if slices.Contains(p.Seal.Readers, "morgue") {
			name, ours = p.Name, files[p.Name]
		} else {
			others = files[p.Name]
		}
	}
	if ours == nil || others == nil || earlier == nil {
		t.Fatalf("not enough parts: %d, %d, %d bytes", len(ours), len(others), len(earlier))
	}
	flipped := bytes.Clone(ours)
	flipped[len(flipped)-1] ^= 1
	for how, data := range map[string][]byte{"another batch's": earlier, "other readers'": others, "cut": ours[:len(ours)-16], "changed": flipped} {
		if err := errors.Join(place.Delete(t.Context(), name), place.Put(t.Context(), name, int64(len(data)), bytes.NewReader(data))); err != nil {
			t.Fatal(err)
		}
		code := 3
		if len(data) < len(ours) {
			code = 5 // the rest may still arrive
		}
		t.Log(how)
		s.fails(code, []string{name}, "import", "morgue")
		s.fails(code, []string{name}, "verify")
		if s.known() != before {
			t.Fatalf("%s was applied", how)
		}
		s.do("repair", fmt.Sprint(last.Manifest.Batch))
	}
	s.do("verify")
	s.exchangeAll()
	s.do("reconcile")
}
