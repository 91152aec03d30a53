package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// verify reports all damage, not only the first defect: the rest would cost the operator the evening.
func TestBatchesAndVerifyGoThroughDamage(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.firstDay()
	s.do("export")
	for i := range 4 {
		s.admitOne(10 + i)
		s.do("export")
	}
	s.damagePart(1)
	s.damagePart(4)
	s.removeManifest(2)
	r := s.run(nil, "batches")
	if r.code != 5 {
		t.Errorf("batches exits with %d, want 5\n%s", r.code, r.stderr)
	}
	s.says(r.stdout, "0      genesis", "read batch 2: a later batch is there and this one isn't", "5      changes")
	r = s.run(nil, "verify")
	if r.code != 3 {
		t.Errorf("verify exits with %d, want 3", r.code)
	}
	for _, out := range []string{r.stdout, r.stderr} {
		s.says(out, "3 defects", "verify batch 1", "read batch 2", "verify batch 4", "damaged")
	}
	var answer struct {
		Defects []struct{ Error, Next string }
	}
	if err := json.Unmarshal(resultIn(s.run(nil, "--json", "verify").stdout), &answer); err != nil || len(answer.Defects) != 3 || !strings.Contains(answer.Defects[0].Next, "repair 1") {
		t.Errorf("%v: %+v", err, answer)
	}
	s.do("repair", "0..5")
	s.says(s.do("verify"), "all as published")
}

// A long list begins at once and holds no more than a line: what is removed after its first line was printed is
// missing at its end.
func TestBatchesAreListedAsTheyAreRead(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	log := logtest.NewProducer(t, s.place.Open(t), time.Now().Add(-time.Hour))
	const batches = 2000
	for range batches {
		log.Changes()
	}
	for _, arguments := range [][]string{{"batches", "--last", "9999"}, {"batches", "--last", "9999", "--json"}} {
		cmd := s.command(nil, arguments...)
		pipe, err := cmd.StdoutPipe() // which holds 64 KiB
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(pipe)
		first, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(s.exchange(), schemas.Stream, schemas.ManifestName(batches-1, 0))
		if err := os.Rename(name, name+".gone"); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(out)
		if err != nil || !strings.Contains(string(rest), "read batch 1999: a later batch is there") || cmd.Wait() == nil {
			t.Errorf("%v: %v\n%s", arguments, err, rest[max(0, len(rest)-500):])
		}
		if text := first + string(rest); arguments[len(arguments)-1] == "--json" && !json.Valid([]byte(text)) {
			t.Errorf("it is no JSON: %.300s", text)
		}
		if err := os.Rename(name+".gone", name); err != nil {
			t.Fatal(err)
		}
	}
}

// Only a file that was read counts as good.
func TestNothingVerifiedIsNotWell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fails(5, []string{"it is empty"}, "verify")
	s.fails(5, []string{"it is empty"}, "batches")
	s.firstDay()
	s.do("export")
	s.fails(2, []string{"the log ends at batch 1"}, "verify", "--from", "99")
	s.fails(2, []string{"the log ends at batch 1"}, "verify", "--to", "99")
	s.fails(2, []string{"the first is behind the last"}, "verify", "--from", "1", "--to", "0")
	s.fails(2, []string{"--last"}, "batches", "--last", "0")
}

// plantFloor puts a floor on the store that says that the log begins with a snapshot, unless change says otherwise.
func (s *site) plantFloor(last *exchange.Entry, change func(*schemas.Floor)) {
	s.Helper()
	f := &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: last.Manifest.Log, Floor: 1,
		Batch: last.Manifest.Batch, Previous: last.Manifest.Previous, Snapshot: last.Manifest.Batch, Manifest: last.Hash,
		PublishedAt: last.Manifest.Window.To, Producer: schemas.Software{Software: "waybill", Version: "devel"},
	}
	change(f)
	data, err := f.Encode()
	path := filepath.Join(s.exchange(), schemas.Stream, schemas.FloorName(1))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// A planted floor disables nothing, and the producer recognises that it is not its own.
func TestAPlantedFloor(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.firstDay()
	s.exchangeAll()
	s.do("export", "--snapshot")
	s.exchangeAll()
	last := s.last()
	plant := func(change func(*schemas.Floor)) { s.plantFloor(last, change) }
	// One that names nothing.
	plant(func(f *schemas.Floor) { f.Batch, f.Snapshot = 900_000_000_000, 900_000_000_001 })
	s.damagePart(1)
	s.fails(3, []string{"the floor is false", "verify batch 1"}, "verify")
	s.says(s.do("batches"), "0      genesis")
	r := s.run(nil, "status")
	if r.code != 3 || strings.Contains(r.stdout, "--from-snapshot") {
		t.Errorf("status exits with %d\n%s", r.code, r.stdout)
	}
	s.says(r.stdout, "forked", "the floor is false")
	s.do("repair", "1")

	// One that names what is there, and which the producer never announced.
	plant(func(*schemas.Floor) {})
	r = s.run(nil, "status", "patients")
	if r.code != 3 {
		t.Errorf("status exits with %d", r.code)
	}
	s.says(r.stdout, "forked", "of which this database knows nothing")
	s.fails(3, []string{"of which this database knows nothing"}, "prune", "--keep", "30d")
}

// Of several problems the worst decides how `batches` ends, no matter which comes first: a monitor that sees a wait must not
// miss a log that can't be trusted.
func TestBatchesEndsWithTheWorstProblem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ gone, foreign int64 }{"wait first": {2, 4}, "poison first": {4, 2}} {
		t.Run(name, func(t *testing.T) {
			s := newSiteAt(t, onFolder(t))
			log := logtest.NewProducer(t, s.place.Open(t), time.Now().Add(-time.Hour))
			for range 6 {
				log.Changes()
			}
			s.removeManifest(c.gone)
			file := func(batch int64) string {
				return filepath.Join(s.exchange(), schemas.Stream, schemas.ManifestName(batch, 0))
			}
			other, err := os.ReadFile(file(1))
			if err == nil {
				err = os.WriteFile(file(c.foreign), other, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			r := s.run(nil, "batches")
			s.says(r.stdout, fmt.Sprintf("read batch %d: a later batch is there", c.gone), fmt.Sprintf("read batch %d: ", c.foreign))
			if r.code != 3 {
				t.Errorf("it exits with %d, want 3\n%s", r.code, r.stderr)
			}
		})
	}
}
