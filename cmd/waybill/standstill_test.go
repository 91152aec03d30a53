package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/schemas"
)

// standstill is a fault by which a side stands still.
type standstill struct {
	party, says string
	plant       func()
	repair      func()
	idle        bool // nothing runs meanwhile but status
}

// A side that stands still is reported, with the shipped crontab's lines and the shipped unit, for every
// fault; and once it is repaired the reports end.
func TestProofEveryStandstillIsReported(t *testing.T) {
	t.Parallel()
	s := &watched{site: newSiteAt(t, onFolder(t))}
	s.settle()
	s.admit(20)
	s.works()
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
	} {
		t.Run(f.name, func(t *testing.T) {
			s.TB = t
			f.plant()
			mail := s.hear(f.standstill)
			if !strings.Contains(mail, f.says) {
				t.Errorf("%s is not in the mail:\n%s", f.says, mail)
			}
			if code := s.unit(f.party); code == 0 {
				t.Error("waybill-status.service does not fail")
			}
			s.explained(f.party)
			f.repair()
			s.works()
		})
	}
}

// watched is a site that nobody looks at: cron runs it, as a user who is not root.
type watched struct {
	*site
	died int
}

func (s *watched) settle() {
	s.Helper()
	s.patience("patients", "export: {heartbeat: 1s, grace: 1h}")
	s.patience("morgue", "import: {instance: east, lease: 1s, grace: 1h, brake: 3}")
	s.patience("appointments", "import: {instance: east, lease: 1s, grace: 1h, brake: off}")
	tools := filepath.Join(s.dir, "bin")
	s.check(os.Mkdir(tools, 0o755), os.Symlink(binary(), filepath.Join(tools, "waybill")),
		os.WriteFile(filepath.Join(tools, "logger"), []byte("#!/bin/sh\ncat >/dev/null\n"), 0o755),
		os.Chmod(binaries(), 0o755), os.Chmod(filepath.Dir(binary()), 0o755), os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(filepath.Dir(s.exchange()), 0o755))
	s.own(s.dir)
	s.own(s.exchange())
}

func (s *watched) check(failures ...error) {
	s.Helper()
	for _, err := range failures {
		if err != nil {
			s.Fatal(err)
		}
	}
}

// own gives a folder to the user that cron's lines run as.
func (s *watched) own(folder string) {
	s.Helper()
	s.check(filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && os.Getuid() == 0 {
			err = os.Lchown(path, nobody, nobody)
		}
		return err
	}))
}

const nobody = 65534

// patience configures a service.
func (s *watched) patience(service, section string) {
	s.Helper()
	s.configure(service, section)
	s.own(s.dir)
}

// as runs a program as the crontab does; on the machine of one party, which has no other's file.
func (s *watched) as(party, program string, arguments ...string) (string, int) {
	s.Helper()
	cmd := exec.Command(program, arguments...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + filepath.Join(s.dir, "bin") + ":/usr/bin:/bin", "WAYBILL_CONFIG=" + s.file(party)}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (s *watched) file(party string) string { return filepath.Join(s.dir, party+".yaml") }

// cron is what cron mails of a line.
func (s *watched) cron(party string, arguments ...string) string {
	s.Helper()
	wrapper, err := filepath.Abs("../../deploy/cron/waybill-cron")
	s.check(err)
	out, _ := s.as(party, "sh", append([]string{wrapper}, arguments...)...)
	return out
}

// unit runs what waybill-status.service starts, and returns the code by which systemd fails it.
func (s *watched) unit(party string) int {
	s.Helper()
	text := s.read("../../deploy/systemd/waybill-status.service")
	_, line, found := strings.Cut(text, "\nExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	if !found || strings.Contains(text, "\nSuccessExitStatus") {
		s.Fatalf("not the unit that was expected:\n%s", text)
	}
	line = strings.NewReplacer("/usr/local/bin/waybill", binary(), "/etc/waybill", s.file(party)).Replace(line)
	words := strings.Fields(line)
	_, code := s.as(party, words[0], words[1:]...)
	return code
}

// lines are what the crontab has each machine run, in addition to status.
var lines = map[string][]string{"patients": {"export", "patients"}, "morgue": {"import", "morgue"}, "appointments": {"import", "appointments"}}

// hear returns all that cron mails of the party's lines. What takes time is waited for.
func (s *watched) hear(f standstill) string {
	s.Helper()
	if !f.idle {
		if mail := s.cron(f.party, lines[f.party]...) + s.cron(f.party, "status"); mail != "" {
			return mail
		}
		s.Fatal("cron mails nothing")
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if mail := s.cron(f.party, "status"); strings.Contains(mail, f.says) {
			return mail
		}
	}
	s.Fatal("cron mails nothing")
	return ""
}

// explained checks that machines can read what is wrong and what to do.
func (s *watched) explained(party string) {
	s.Helper()
	out, _ := s.as(party, binary(), "--json", "status")
	var rows []struct{ Service, State, Detail, Error, Next string }
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&rows); err != nil || len(rows) != 1 {
		s.Fatalf("%v:\n%s", err, out)
	}
	if r := rows[0]; r.State == "ok" || cmp.Or(r.Error, r.Detail) == "" || r.Next == "" {
		s.Errorf("state %q, detail %q, error %q, next %q", r.State, r.Detail, r.Error, r.Next)
	}
}

// works has every side do its work, and nothing is reported.
func (s *watched) works() {
	s.Helper()
	for _, party := range []string{"patients", "morgue", "appointments", "patients"} {
		if mail := s.cron(party, lines[party]...) + s.cron(party, "status"); mail != "" {
			s.Fatalf("all is well at %s, and cron mails\n%s", party, mail)
		}
	}
}

// death is published.
func (s *watched) death() (batch int64) {
	s.Helper()
	s.die(s.died)
	s.died++
	s.export()
	return s.last().Manifest.Batch
}

func (s *watched) export() {
	s.Helper()
	if mail := s.cron("patients", "export", "patients"); mail != "" {
		s.Fatal(mail)
	}
}

func (s *watched) last() *exchange.Entry {
	s.Helper()
	last, err := exchange.NewReader(s.place.Open(s)).Last(s.Context())
	s.check(err)
	return last
}

func (s *watched) stream(name string) string {
	return filepath.Join(s.exchange(), schemas.Stream, name)
}

// part is the file of the batch's only part.
func (s *watched) part(batch int64) string {
	s.Helper()
	entry, err := exchange.NewReader(s.place.Open(s)).Open(s.Context(), batch)
	s.check(err)
	return s.stream(entry.Manifest.Parts[0].Name)
}

func (s *watched) write(path string, data []byte) {
	s.Helper()
	s.check(os.WriteFile(path, data, 0o600))
	s.own(path)
}

// aside moves a file or folder away, and returns how it comes back.
func (s *watched) aside(path string) (back func()) {
	s.check(os.Rename(path, path+".aside"))
	return func() { s.check(os.Rename(path+".aside", path)) }
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
		party: "morgue", says: "HELD",
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
		party: party, says: says, idle: true,
		plant: func() {
			s.death()
			if party == "patients" { // which is well itself
				s.patience("patients", "export: {heartbeat: 1s, grace: 1s}")
				s.hear(standstill{party: party, says: "not been heard of", idle: true})
				return
			}
			s.patience("morgue", "import: {instance: east, lease: 1s, grace: 1s, brake: 3}")
		},
		repair: s.settleAgain,
	}
}

func (s *watched) settleAgain() {
	s.patience("patients", "export: {heartbeat: 1s, grace: 1h}")
	s.patience("morgue", "import: {instance: east, lease: 1s, grace: 1h, brake: 3}")
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
