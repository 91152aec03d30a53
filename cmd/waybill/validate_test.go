package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A partner gets a kit, and tries files with nothing but it: no configuration, no database, no environment.
func TestAPartnerTriesFilesWithAKit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.receive("gp_csv")
	folder := filepath.Join(t.TempDir(), "kit")
	s.says(s.do("partner", "kit", "gp_csv", "--to", folder), folder+" has the kit of gp_csv")
	s.fails(2, []string{"the folder is not empty"}, "partner", "kit", "gp_csv", "--to", folder)
	validate := func(arguments ...string) (string, int) {
		cmd := exec.Command(filepath.Join(folder, "waybill"), append([]string{"validate"}, arguments...)...)
		cmd.Dir, cmd.Env = folder, []string{}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	const name = "patients_2026-03-01.csv"
	out, code := validate(filepath.Join("right", name))
	if code != 0 || !strings.HasPrefix(out, name+": 3 records, all in order\n") || !strings.Contains(out, "only the receiver knows") {
		t.Errorf("exit %d\n%s", code, out)
	}
	answer, err := os.ReadFile(filepath.Join(folder, "wrong", "answer.txt"))
	if err != nil {
		t.Fatal(err)
	}
	out, code = validate(filepath.Join("wrong", name))
	if code != 3 || !strings.HasPrefix(out, string(answer)) || strings.Contains(out, "Dana") {
		t.Errorf("exit %d\n%s\nwant\n%s", code, out, answer)
	}
	out, code = validate(filepath.Join("right", name), "--json")
	s.conforms([]string{"validate"}, out)
	var v struct {
		Status  string
		Records int
	}
	if err := json.Unmarshal(resultIn(out), &v); err != nil || code != 0 || v.Status != "taken" || v.Records != 3 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	out, code = validate(filepath.Join("right", name), "--rules", "nowhere.yaml")
	if code != 2 || !strings.Contains(out, "give --rules PATH") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
