package main_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/schemas"
)

// standstill is a fault by which a side stands still.
type standstill struct {
	party, says string
	plant       func()
	repair      func()
	idle        bool   // nothing runs meanwhile but status
	told        string // by the message; "": says
	of          string // the party's partner whom it is about; "": the party itself
	aside       bool   // it stops nobody, and only messages report it
}

// A side that stands still is reported, with the shipped crontab's lines and the shipped unit, for every
// fault; and once it is repaired the reports end.
func TestProofEveryStandstillIsReported(t *testing.T) {
	t.Parallel()
	s := &watched{site: newSiteAt(t, onFolder(t))}
	s.settle()
	s.admit(20)
	s.works()
	s.silent()
	for _, f := range []struct {
		name string
		standstill
	}{
		{"a read-only folder at the producer", s.readOnlyFolder()},
		{"an unreadable part at a consumer", s.unreadablePart()},
		{"a log that may not be entered", s.closedLog()},
		{"a store that is gone", s.storeGone("patients")},
		{"a store that is gone, at a consumer", s.storeGone("morgue")},
		{"a missing part", s.missingPart()},
		{"a damaged part", s.damagedPart()},
		{"a gap", s.gap()},
		{"a held batch", s.held()},
		{"a fork at a consumer", s.fork("morgue")},
		{"a fork at the producer", s.fork("patients")},
		{"a receipt ahead of the log", s.receiptAhead()},
		{"a receipt of another manifest", s.foreignReceipt()},
		{"receipts that are gone", s.receiptsGone()},
		{"an exporter that does not run", s.exporterOff()},
		{"an importer that does not run", s.importerOff("morgue", "late")},
		{"a consumer that is not heard of", s.importerOff("patients", "silent")},
		{"a database that is down, at the producer", s.databaseDown("patients")},
		{"a database that is down, at a consumer", s.databaseDown("appointments")},
		{"a spool that is gone", s.spoolGone()},
		{"a broken configuration", s.brokenConfiguration()},
		{"a delivery of what can't be written", s.deliveryBlocked()},
		{"a delivery that the brake holds", s.deliveryBraked()},
		{"a record in an intake's quarantine", s.quarantined()},
		{"a partner's number that never came", s.numberMissing()},
	} {
		t.Run(f.name, func(t *testing.T) {
			s.TB = t
			f.plant()
			if !f.aside {
				s.reported(f.standstill)
			}
			s.notified(f.standstill)
			f.repair()
			s.works()
			s.wellAgain(f.standstill)
		})
	}
}

// about is the party or partner that the fault is about.
func (f standstill) about() string { return cmp.Or(f.of, f.party) }

// reported checks what cron, systemd and machines hear of the fault.
func (s *watched) reported(f standstill) {
	s.Helper()
	mail := s.hear(f)
	if !strings.Contains(mail, f.says) {
		s.Errorf("%s is not in the mail:\n%s", f.says, mail)
	}
	if code := s.unit(f.party); code == 0 {
		s.Error("waybill-status.service does not fail")
	}
	s.explained(f)
}

func (s *watched) repairBatch(batch int64) {
	if out, code := s.as("patients", binary(), "repair", fmt.Sprint(batch)); code != 0 {
		s.Fatal(out)
	}
}

func (s *watched) readOnlyFolder() standstill {
	mode := func(mode fs.FileMode) {
		s.check(filepath.WalkDir(s.exchange(), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				err = os.Chmod(path, mode)
			}
			return err
		}))
	}
	return standstill{party: "patients", says: "permission denied", plant: func() { s.die(s.died); s.died++; mode(0o555) }, repair: func() { mode(0o755) }}
}

func (s *watched) unreadablePart() standstill {
	var file string
	return standstill{
		party: "morgue", says: "permission denied",
		plant:  func() { file = s.part(s.death()); s.check(os.Chmod(file, 0)) },
		repair: func() { s.check(os.Chmod(file, 0o644)) },
	}
}

func (s *watched) closedLog() standstill {
	return standstill{
		party: "appointments", says: "permission denied",
		plant:  func() { s.check(os.Chmod(s.stream("log"), 0)) },
		repair: func() { s.check(os.Chmod(s.stream("log"), 0o755)) },
	}
}

func (s *watched) storeGone(party string) standstill {
	var back func()
	return standstill{party: party, says: "mount or create", plant: func() { back = s.aside(s.exchange()) }, repair: func() { back() }}
}

func (s *watched) missingPart() standstill {
	var back func()
	return standstill{party: "morgue", says: "no-part", plant: func() { back = s.aside(s.part(s.death())) }, repair: func() { back() }}
}

func (s *watched) damagedPart() standstill {
	var batch int64
	return standstill{party: "appointments", says: "damaged", plant: func() { batch = s.death(); s.damagePart(batch) }, repair: func() { s.repairBatch(batch) }}
}

func (s *watched) gap() standstill {
	var batch int64
	return standstill{
		party: "morgue", says: "gap",
		plant:  func() { batch = s.death(); s.death(); s.removeManifest(batch) },
		repair: func() { s.repairBatch(batch) },
	}
}

func (s *watched) held() standstill {
	var batch int64
	return standstill{
		party: "morgue", says: "held",
		plant: func() {
			for range 4 {
				s.die(s.died)
				s.died++
			}
			s.export()
			batch = s.last().Manifest.Batch
		},
		repair: func() {
			if out, code := s.as("morgue", binary(), "import", "morgue", "--approve", fmt.Sprint(batch), "--reason", "confirmed"); code != 0 {
				s.Fatal(out)
			}
		},
	}
}

// fork puts another manifest, whole in itself, in the place of the newest.
func (s *watched) fork(party string) standstill {
	var file string
	var own []byte
	return standstill{
		party: party, says: "forked",
		plant: func() {
			s.works()
			for _, consumer := range []string{"morgue", "appointments"} { // a heartbeat may have gone out meanwhile
				s.cron(consumer, lines[consumer]...)
			}
			last := s.last()
			file, own = s.stream(schemas.ManifestName(last.Manifest.Batch, 0)), last.Data
			last.Manifest.Producer.Version = "another"
			data, err := last.Manifest.Encode()
			s.check(err)
			s.write(file, data)
		},
		repair: func() { s.write(file, own) },
		idle:   party == "patients", // before its next run finds out
	}
}

func (s *watched) receipt(change func(*schemas.Receipt)) (file string) {
	last := s.last()
	r := &schemas.Receipt{
		Format: schemas.Format, Stream: schemas.Stream, Log: last.Manifest.Log, Instance: "tills@west", Events: []string{"died"},
		Batch: last.Manifest.Batch, Manifest: last.Hash, Generation: last.Manifest.Generation, AppliedAt: last.Manifest.Window.To,
		Effects: map[string]int64{}, Consumer: schemas.Software{Software: "waybill", Version: "devel"},
	}
	change(r)
	data, err := r.Encode()
	s.check(err)
	file = s.stream(schemas.ReceiptName(r.Instance, r.Batch))
	s.check(os.MkdirAll(filepath.Dir(file), 0o755))
	s.own(filepath.Dir(file))
	s.write(file, data)
	return file
}

func (s *watched) receiptAhead() standstill {
	return s.wrongReceipt(func(r *schemas.Receipt) { r.Batch += 7 })
}

func (s *watched) foreignReceipt() standstill {
	return s.wrongReceipt(func(r *schemas.Receipt) { r.Manifest = schemas.Hash([]byte("another")) })
}

func (s *watched) wrongReceipt(change func(*schemas.Receipt)) standstill {
	var file string
	return standstill{
		party: "patients", says: "forked",
		plant: func() { file = s.receipt(change) },
		repair: func() {
			s.check(os.RemoveAll(filepath.Dir(file)))
			if mail := s.cron("patients", "status"); !strings.Contains(mail, "tills@west") {
				s.Errorf("it is not missed:\n%s", mail)
			}
			if out, code := s.as("patients", binary(), "status", "--forget", "tills@west"); code != 0 {
				s.Fatal(out)
			}
		},
	}
}

func (s *watched) receiptsGone() standstill {
	var back func()
	return standstill{
		party: "patients", says: "morgue@east had left receipts",
		plant: func() {
			folder := s.stream("receipts/morgue@east")
			s.check(os.Rename(folder, filepath.Join(s.dir, "receipts.aside")))
			back = func() { s.check(os.Rename(filepath.Join(s.dir, "receipts.aside"), folder)) }
		},
		repair: func() { back() },
	}
}

func (s *watched) exporterOff() standstill {
	return standstill{
		party: "patients", says: "late", idle: true,
		plant:  func() { s.patience("patients", "export: {heartbeat: 1s, grace: 1s}") },
		repair: func() { s.patience("patients", "export: {heartbeat: 1s, grace: 1h}") },
	}
}

// importerOff is seen by the consumer itself, and at the producer.
func (s *watched) importerOff(party, says string) standstill {
	return standstill{
		party: party, says: says, idle: true, told: map[string]string{"silent": "not been heard of"}[says],
		plant: func() {
			s.death()
			if party == "patients" { // which is well itself
				s.patience("patients", "export: {heartbeat: 1s, grace: 1s}")
				s.hear(standstill{party: party, says: "not been heard of", idle: true})
				return
			}
			s.patience("morgue", "import: {instance: east, grace: 1s, brake: 3}")
		},
		repair: s.settleAgain,
	}
}

func (s *watched) settleAgain() {
	s.patience("patients", "export: {heartbeat: 1s, grace: 1h}")
	s.patience("morgue", "import: {instance: east, grace: 1h, brake: 3}")
}

func (s *watched) databaseDown(party string) standstill {
	var own []byte
	return standstill{
		party: party, says: "connect",
		plant: func() {
			own = []byte(s.read(s.file(party)))
			down, err := url.Parse(s.urls[party])
			s.check(err)
			down.Host = "127.0.0.1:1"
			s.write(s.file(party), bytes.Replace(own, []byte(s.urls[party]), []byte(down.String()), 1))
		},
		repair: func() { s.write(s.file(party), own) },
	}
}

func (s *watched) spoolGone() standstill {
	var back func()
	return standstill{party: "morgue", says: "open spool", plant: func() { s.death(); back = s.aside(filepath.Join(s.dir, "spool")) }, repair: func() { back() }}
}

func (s *watched) brokenConfiguration() standstill {
	var own []byte
	return standstill{
		party: "appointments", says: `no setting`,
		plant: func() {
			own = []byte(s.read(s.file("appointments")))
			s.write(s.file("appointments"), bytes.Replace(own, []byte("store:"), []byte("stor:"), 1))
		},
		repair: func() { s.write(s.file("appointments"), own) },
	}
}
