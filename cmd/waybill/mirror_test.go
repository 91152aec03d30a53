package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/lab/await"
	"waybill/schemas"
)

// storeAt names a store, an empty folder with further settings, and returns the folder.
func (s *site) storeAt(name, settings string) string {
	s.Helper()
	folder := filepath.Join(s.TempDir(), name)
	text := fmt.Sprintf("store: file://%s\n%s\n", folder, settings)
	err := os.Mkdir(folder, 0o755)
	if err == nil {
		err = os.MkdirAll(filepath.Join(s.dir, "stores"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "stores", name+".yaml"), []byte(text), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
	return folder
}

// follow lets a consumer read another store than the site's.
func (s *site) follow(service, folder string) {
	s.Helper()
	path := filepath.Join(s.dir, service+".yaml")
	text := fmt.Sprintf("service: %s\ndatabase: %s\nstore: file://%s\nimport: {instance: far, brake: 1000}\n", service, s.urls[service], folder)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func TestAConsumerBehindAMirror(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	far := s.storeAt("far", "receipts: true")
	s.follow("morgue", far)
	s.says(s.do("mirror", "patients", "far"), "the log is empty")
	s.firstDay()
	s.do("export")
	s.says(s.do("mirror", "patients", "far"), "patient-events  2")
	s.says(s.do("import", "morgue"), "opened 3")
	s.do("mirror", "patients", "far")
	s.says(s.do("status"), "morgue@far")
	s.damagePart(1)
	s.fails(3, []string{"damaged"}, "mirror", "patients", "far", "--again", "1")

	s.fails(2, []string{"no stores/nowhere.yaml, and no service"}, "mirror", "patients", "nowhere")
	s.fails(2, []string{"not a range"}, "mirror", "patients", "far", "--again", "5..2")
	s.fails(2, []string{"it was not sent yet: the last one is 1"}, "mirror", "patients", "far", "--again", "1..2")
	for _, no := range []string{"database: postgres://db/x", "sign: {keys: [a.key]}", "seal: {secret_file: a.seal}", "open: {keys: [a.age]}"} {
		s.storeAt("bad", no)
		s.fails(2, []string{"bad.yaml", "neither a database nor keys"}, "mirror", "patients", "bad")
	}
	s.storeAt("diode", "ledger: x\nreceipts: true")
	s.fails(2, []string{"diode.yaml", "line 3: receipts"}, "mirror", "patients", "diode")
	s.storeAt("signed", "trust: {keys: []}")
	s.fails(2, []string{"signed.yaml", "trust"}, "mirror", "signed", "far")
}

func TestOneWayThroughTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ledger := t.TempDir()
	far := s.storeAt("diode", "ledger: "+ledger)
	s.follow("morgue", far)
	s.firstDay()
	s.do("export")
	s.secondDay()
	s.do("export")
	s.do("mirror", "patients", "diode")
	if err := os.Remove(filepath.Join(far, schemas.Stream, schemas.ManifestName(1, 0))); err != nil {
		t.Fatal(err)
	}
	s.fails(5, []string{"read batch 1: a later batch is there"}, "import", "morgue")
	s.says(s.do("mirror", "patients", "diode"), "patient-events  0")
	s.fails(5, []string{"read batch 1"}, "import", "morgue")
	s.do("mirror", "patients", "diode", "--again", "1..1")
	s.says(s.do("import", "morgue"), "opened 3")
	if _, err := os.Stat(filepath.Join(ledger, schemas.Stream+".jsonl")); err != nil {
		t.Error(err)
	}
}

func TestAMirrorIsAJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	far := s.storeAt("far", "")
	s.configure("patients", "export: {heartbeat: 1h}\njobs: {mirror patients: off}")
	s.fails(2, []string{"jobs.mirror patients", "mirror FROM TO"}, "export")
	s.configure("patients", "export: {heartbeat: 1h}\njobs: {export: off, mirror patients far: '@every 1s'}")
	s.do("migrate", "patients")
	s.firstDay()
	s.do("export")
	cmd := s.command(nil, "run", "patients")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	await.True(t, "the log is mirrored", func() bool {
		_, err := os.Stat(filepath.Join(far, schemas.Stream, schemas.ManifestName(1, 0)))
		return err == nil
	})
}
