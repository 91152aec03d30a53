package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// filled puts keys where deploy/compose/keys.sh does.
var filled = strings.NewReplacer(
	"PATIENTS_SIGNS", "wbk1_8amgvE1ccEVWwSOS3gF5Ee9U6uOKd2h8XPQijvQKCM", "MORGUE_SIGNS", "wbk1_8amgvE1ccEVWwSOS3gF5Ee9U6uOKd2h8XPQijvQKCM",
	"APPOINTMENTS_SIGNS", "wbk1_8amgvE1ccEVWwSOS3gF5Ee9U6uOKd2h8XPQijvQKCM", "MORGUE_OPENS", "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z",
	"APPOINTMENTS_OPENS", "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z")

// What lies in deploy/ is configuration that this program takes, with jobs to run.
func TestDeployedConfigurations(t *testing.T) {
	found := map[string]string{}
	files, err := filepath.Glob("../../deploy/compose/config/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		found["compose "+filepath.Base(file)] = filled.Replace(read(t, file))
	}
	for _, document := range strings.Split(read(t, "../../deploy/kubernetes/base/parties.yaml"), "\n---\n")[1:] {
		var object struct {
			Kind string            `yaml:"kind"`
			Data map[string]string `yaml:"data"`
		}
		if err := yaml.Load([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		for name, text := range object.Data {
			found["kubernetes "+name] = text
		}
	}
	if len(found) != 6 {
		t.Fatalf("found %d", len(found))
	}
	for name, text := range found {
		c, err := parseConfig(name, []byte(text))
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case name[strings.Index(name, " ")+1:] != c.Service+".yaml":
			t.Errorf("%s is for %s", name, c.Service)
		case c.Jobs == nil:
			t.Errorf("%s schedules nothing", name)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
