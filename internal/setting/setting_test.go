package setting_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/internal/setting"
)

const file = `jobs:
  export: {database: 5m}
  deliver gp: off
database: x
csv:
  columns:
    - {field: a}
    - {field: b}
`

func TestTheLineIsThatOfTheSettingsPath(t *testing.T) {
	for want, err := range map[string]error{
		"line 4: database: wrong":             setting.Errorf("database", "wrong"),
		"line 2: jobs.export.database: wrong": setting.In("jobs", setting.In("export", setting.Errorf("database", "wrong"))),
		"line 3: jobs.deliver gp: wrong":      setting.In("jobs", setting.In("deliver gp", errors.New("wrong"))),
		"line 8: csv.columns.1.width: wrong":  setting.In("csv", setting.At("columns", 1, setting.Errorf("width", "wrong"))),
		"line 1: missing: wrong":              setting.Errorf("missing", "wrong"),
	} {
		if got := setting.WithLine(err, []byte(file)).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "15m": 15 * time.Minute, "30d": 720 * time.Hour, "0.5d": 12 * time.Hour} {
		if got, err := setting.ParseDuration(text); got != want || err != nil {
			t.Errorf("%s = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0d", "-1h", "-1d", "d", "12", "1 day", "106752d", "9999999999h"} {
		if got, err := setting.ParseDuration(text); err == nil {
			t.Errorf("%q = %s, want a refusal", text, got)
		}
	}
}

func TestZone(t *testing.T) {
	for name, good := range map[string]bool{"": true, "UTC": true, "Europe/London": true, "Local": false, "Mars": false} {
		if _, err := setting.Zone(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestASourceIsReadAnewAndNamesWhatIsMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	s := setting.Source{Of: "gp.yaml", Key: "database", File: file}
	for _, secret := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(); got != secret || err != nil {
			t.Errorf("%q, %v, want %q", got, err, secret)
		}
	}
	t.Setenv("PLACE", "here")
	s = setting.Source{Of: "gp.yaml", Key: "store", Text: "/srv/${PLACE}/${NO_SUCH}", Hint: "set it"}
	want := "resolve store of gp.yaml: the environment has no NO_SUCH"
	if got, err := s.Read(); got != "" || err == nil || err.Error() != want || fault.HintOf(err) != "set it" {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if (setting.Source{}).Optional() != nil || s.Optional() == nil {
		t.Error("a source is optional where neither text nor file is given")
	}
}
