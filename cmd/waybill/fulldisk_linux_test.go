package main_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// onASmallDisk runs in a mount namespace of its own, where the exchange is a small filesystem.
const onASmallDisk = `
set -u
mount -t tmpfs -o size=200k,mode=755 none "$EXCHANGE" || exit 99
head -c 190k /dev/zero > "$EXCHANGE/filler"
"$WAYBILL" export; echo "full: $?"
rm "$EXCHANGE/filler"
"$WAYBILL" export; echo "room: $?"
"$WAYBILL" import morgue; echo "import: $?"
"$WAYBILL" verify
`

// A disk that fills up stops an export with a reason that passes and a hint; once there is room, it
// continues, and no torn file is in the way.
func TestProofFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.place.URL, s.place.Path = "file://"+t.TempDir(), ""
	s.place.Password = ""
	for name, section := range map[string]string{"patients": "export: {}", "morgue": "import: {instance: east, brake: off}"} {
		s.configure(name, section)
	}
	s.exec("patients", `INSERT INTO patients.patient (family_name, death_status)
		SELECT md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text), 'formal' FROM generate_series(1, 900) AS i`)
	arguments := []string{"--mount"}
	if os.Geteuid() != 0 {
		arguments = append(arguments, "--user", "--map-root-user")
	}
	cmd := exec.Command("unshare", append(arguments, "sh", "-c", onASmallDisk)...)
	cmd.Env = append(os.Environ(), "EXCHANGE="+strings.TrimPrefix(s.place.URL, "file://"), "WAYBILL="+binary(), "WAYBILL_CONFIG="+s.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.says(string(out), "no space left on device", "make room on the filesystem", "full: 4", "room: 0", "import: 0", "all as published")
	var cases int
	if err := s.conn["morgue"].QueryRow(t.Context(), `SELECT count(*) FROM morgue.patient WHERE death_status = 'formal'`).Scan(&cases); err != nil {
		t.Fatal(err)
	}
	if cases != 900 {
		t.Errorf("the morgue knows of %d deaths, want 900", cases)
	}
}
