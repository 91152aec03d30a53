package partner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/partner"
)

const good = `partner: gp
service: patients
store: /srv/gp
intake:
  name: "*.hl7"
  format: {kind: hl7}
`

func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPartnersFileIsCheckedWholeAndByLine(t *testing.T) {
	_, intake, _ := strings.Cut(good, "\nintake")
	intake = "intake" + intake
	for says, replace := range map[string][2]string{
		"line 1: partner: must be the file's name":              {"partner: gp", "partner: other"},
		"line 2: service: name the service":                     {"service: patients", "service: patients\nlog: /x"},
		"line 2: database: give either":                         {"service: patients", "database: x\ndatabase_file: y\nlog: /x"},
		"line 1: store: name the partner's folder":              {"store: /srv/gp\n", ""},
		"line 5: store_password: give either":                   {"store: /srv/gp", "store: /srv/gp\nstore_password_file: x\nstore_password: y"},
		`line 4: zone: unknown zone "Mars"`:                     {"store: /srv/gp", "store: /srv/gp\nzone: Mars"},
		"deliver: there must be either":                         {intake, ""},
		"line 6: intake.format.kind: must be one of hl7, csv":   {"kind: hl7", "kind: hl8"},
		"line 6: intake.format.zone: \"Local\" differs between": {"kind: hl7", "kind: hl7, zone: Local"},
		`no setting "stores"`:                                   {"store:", "stores:"},
	} {
		path := write(t, t.TempDir(), "gp.yaml", strings.Replace(good, replace[0], replace[1], 1))
		if _, err := partner.Read(path); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// A mistake in one partner's file stops only that partner.
func TestAMistakeStopsItsPartnerAlone(t *testing.T) {
	folder := []string{t.TempDir()}
	write(t, folder[0], "gp.yaml", good)
	write(t, folder[0], "bad.yaml", "partner: bad\nstores: /srv\n")
	if p, err := partner.Find(folder, "gp"); err != nil || p.Name != "gp" {
		t.Error(p, err)
	}
	list, err := partner.List(folder)
	if len(list) != 1 || list[0].Name != "gp" || fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "bad.yaml") {
		t.Error(list, err)
	}
	if _, err := partner.Find(folder, "bad"); fault.ClassOf(err) != fault.Usage {
		t.Error(err)
	}
}

func TestFindReadsEveryFolder(t *testing.T) {
	folders := []string{t.TempDir(), t.TempDir()}
	write(t, folders[0], "gp.yaml", good)
	write(t, folders[1], "lab.yaml", strings.Replace(good, "partner: gp", "partner: lab\nzone: Europe/Berlin", 1))
	for name, zone := range map[string]string{"gp": "UTC", "lab": "Europe/Berlin"} {
		p, err := partner.Find(folders, name)
		if err != nil || p.Name != name || p.Location(time.UTC).String() != zone {
			t.Errorf("%+v, %v", p, err)
		}
	}
	for name, says := range map[string]string{"ward": "there is no " + folders[0] + " or " + folders[1] + "/ward.yaml", "../gp": "find partner: a partner's name has"} {
		if _, err := partner.Find(folders, name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
