package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waybill/exchange/seal"
	"waybill/schemas"
)

// The compose file's three services, with the keys that its script makes, live a day in which all is signed and sealed.
func TestComposeSignsAndSeals(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	folder := filepath.Join(s.dir, "compose")
	if err := os.CopyFS(folder, os.DirFS("../../deploy/compose")); err != nil {
		t.Fatal(err)
	}
	for _, day := range []func(){s.firstDay, s.secondDay} { // on the second the script finds keys, and keeps them
		script := exec.Command("sh", filepath.Join(folder, "keys.sh"))
		script.Env = append(os.Environ(), "WAYBILL="+s.waybill())
		if out, err := script.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for name, url := range s.urls {
			own := filepath.Join(folder, "keys", name)
			text := strings.NewReplacer("/etc/waybill", own, "${DATABASE_URL}", url, "${EXCHANGE}", s.place.URL, "${EXCHANGE_PASSWORD}", "").
				Replace(read(t, filepath.Join(own, name+".yaml")))
			write(t, filepath.Join(s.dir, name+".yaml"), text)
			for _, key := range []string{"sign.key", map[bool]string{true: "seal.key", false: "open.key"}[name == "patients"]} {
				if mode := s.mode(filepath.Join(own, key)); mode != 0o600 {
					t.Errorf("%s of %s has mode %o", key, name, mode)
				}
			}
		}
		day()
		s.exchangeAll()
	}
	s.do("reconcile")
	s.do("status")
	secret, err := seal.ReadSecret(filepath.Join(folder, "keys", "patients", "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.keys = seal.Secrets{secret}.Keys()
	files := (&sealing{site: s}).stored()
	for name, data := range files {
		signed := strings.HasPrefix(name, "log/") && len(schemas.Signatures(data)) == 1
		sealed := strings.HasSuffix(name, schemas.SealedSuffix) && bytes.HasPrefix(data, []byte("age-encryption.org/v1\n"))
		if !signed && !sealed {
			t.Errorf("%s is neither signed nor sealed", name)
		}
	}
	if len(files) < 6 {
		t.Errorf("only %d files", len(files))
	}
}
