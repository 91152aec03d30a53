package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// answerSchemas are those of docs/schemas that were compiled, by command.
var answerSchemas = struct {
	sync.Mutex
	*jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}{Compiler: newCompiler(), compiled: map[string]*jsonschema.Schema{}}

func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c
}

func schemaOf(command string) (*jsonschema.Schema, error) {
	answerSchemas.Lock()
	defer answerSchemas.Unlock()
	if s := answerSchemas.compiled[command]; s != nil {
		return s, nil
	}
	s, err := answerSchemas.Compile(filepath.Join("../../docs/schemas", strings.ReplaceAll(command, " ", "-")+".json"))
	if err == nil {
		answerSchemas.compiled[command] = s
	}
	return s, err
}

// conforms compares everything that a command printed as JSON with the command's schema.
func (s *site) conforms(arguments []string, stdout string) {
	s.Helper()
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.UseNumber()
	for {
		var answer map[string]any
		switch err := decoder.Decode(&answer); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			s.Errorf("waybill %v printed no object: %v\n%s", arguments, err, stdout)
			return
		}
		command, _ := answer["command"].(string)
		schema, err := schemaOf(command)
		if err == nil {
			err = schema.Validate(answer)
		}
		if err != nil {
			s.Errorf("waybill %v: %v\n%s", arguments, err, stdout)
		}
	}
}

// resultIn returns what a command answered: the part of its JSON that is its own.
func resultIn(stdout string) []byte {
	var answer struct{ Result json.RawMessage }
	if json.NewDecoder(strings.NewReader(stdout)).Decode(&answer) != nil {
		return nil
	}
	return answer.Result
}

// Each command that prints JSON is run, in order, and its answer compared with its schema. Codes other than 0 are those of
// what is found or refused; the answer is printed all the same.
func TestEachAnswerConformsToItsSchema(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("migrate")
	ward := s.sender("ward", wardADT)
	s.partner("gp", gpCSV)
	s.storeAt("relay", "")
	if err := os.Mkdir(filepath.Join(s.dir, "signs"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.firstDay()
	bad := strings.Replace(admission(4, "Noll", false), "4^^^EAST^MR", "^^^EAST^MR", 1)
	ward.leaveBatch(1, admission(1, "Keller", false), bad)
	s.do("export")
	answered := map[string]bool{}
	for _, line := range []string{
		"export", "import morgue", "import appointments", "export --snapshot", "import morgue --dry-run", "status", "batches", "verify", "reconcile", "doctor",
		"trace " + patient(0).String(), "capture", "consumer check morgue", "repair 1", "retire patient-events --reason why-not", "adopt --reason moved",
		"prune --keep 0 --dry-run", "prune morgue --dry-run", "rerun import morgue --batch 1 --dry-run", "rerun export --batch 1 --dry-run",
		"rerun import morgue --batch 1 --enqueue --reason again",
		"deliver gp --dry-run", "deliver gp", "deliver gp --resend 1", "partner list", "partner check ward", "intake ward --dry-run", "intake ward",
		"intake ward --pass 2 --reason lost", "quarantine list ward", "quarantine show ward ITEM", "quarantine release ward ITEM --reason again", "quarantine discard ward ITEM --reason enough",
		"mirror patients relay", "keys new sign patients-2026.key", "keys show patients-2026.key", "keys check", "keys new sign signs", "keys rotate signs", "keys destroy patients-2026.key --reason old", "open morgue --batch 0..1 --to opened --reason audit",
		"jobs", "jobs run export", "jobs history", "jobs history patients --run 1", "jobs cancel export --reason later", "jobs pause export --reason later", "jobs resume export",
	} {
		if before, after, ok := strings.Cut(line, "ITEM"); ok {
			line = before + s.value("patients", `SELECT coalesce(min(id), 0)::text FROM intake.quarantine`) + after
		}
		r := s.run(nil, append(strings.Fields(line), "--json")...)
		var answer struct{ Command string }
		if err := json.NewDecoder(strings.NewReader(r.stdout)).Decode(&answer); err != nil {
			t.Errorf("waybill %s answers nothing: exit %d\n%s", line, r.code, r.stderr)
		}
		answered[strings.ReplaceAll(answer.Command, " ", "-")+".json"] = true
	}
	files, err := os.ReadDir("../../docs/schemas")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{"notification.json", "validate.json"} // of messages, and of a partner's kit
	for _, file := range files {
		if !answered[file.Name()] && !slices.Contains(elsewhere, file.Name()) {
			t.Errorf("nothing was compared with %s", file.Name())
		}
	}
}
