package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// release builds the real program with these files, by their paths in the repository, in place of the
// ones that stand there or in addition to them.
func release(name string, files map[string]string) (path string) {
	dir := filepath.Join(binaries(), name)
	path = filepath.Join(dir, "waybill")
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	if _, file, ok := strings.Cut(os.Getenv("GOFLAGS"), "-overlay="); ok { // of a mutant, which the flag below would hide
		data, err := os.ReadFile(strings.TrimSpace(file))
		must(err)
		must(json.Unmarshal(data, &overlay))
	}
	must(os.MkdirAll(dir, 0o755))
	for file, text := range files {
		stands, err := filepath.Abs(filepath.Join("../..", file))
		must(err)
		overlay.Replace[stands] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		must(os.WriteFile(overlay.Replace[stands], []byte(text), 0o600))
	}
	table, err := json.Marshal(overlay)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "overlay.json"), table, 0o600))
	build := exec.Command("go", "build", "-tags", "crashpoints", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build release %s: %v\n%s", name, err, out))
	}
	return path
}

// edited returns a file of the repository with each of the texts, which stands there once, replaced.
func edited(file string, replacements map[string]string) string {
	text, err := os.ReadFile(filepath.Join("../..", file))
	must(err)
	for before, after := range replacements {
		if bytes.Count(text, []byte(before)) != 1 {
			panic(fmt.Sprintf("%s does not have %q once: adapt the test", file, before))
		}
		text = bytes.Replace(text, []byte(before), []byte(after), 1)
	}
	return string(text)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// laterRelease is the real program as the next release may be: a minor revision of the contract adds a
// column of personal data, phone, and each schema has one more migration.
var laterRelease = sync.OnceValue(func() string {
	const contract, last = "schemas/patient-events.odcs.yaml", "        physicalType: text\n        classification: restricted\n"
	files := map[string]string{
		contract: edited(contract, map[string]string{"version: 1.0.0\n": "version: 1.1.0\n"}) +
			"      - name: phone\n        description: Where the patient can be called.\n        logicalType: string\n" +
			"        logicalTypeOptions: {maxLength: 200}\n" + last,
		"exporter/patients/migrations/00099_phone.sql": "-- +goose Up\nALTER TABLE patients.patient ADD phone text;\nALTER TABLE patients.outbox ADD phone patients.short_text;\n",
	}
	for _, folder := range []string{"exporter", "importer", "partner/intake/register", "partner/delivery", "jobs"} {
		files[folder+"/migrations/00099_later.sql"] = "-- +goose Up\nCREATE TABLE later_" + filepath.Base(folder) + " (n integer);\n"
	}
	return release("later", files)
})
