package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/health"
)

// typed runs a command line, and returns its exit code and what it prints.
func typed(line string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = run(strings.Fields(line), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestHelpIsFound(t *testing.T) {
	for line, want := range map[string][]string{
		"":                  {"Begin here:", "Look:", "waybill init patients", "Pages, by"},
		"help":              {"Begin here:", "Pages, by", " stores "},
		"help import":       {"Usage: waybill import <consumer>", "--dry-run"},
		"help rerun export": {"Usage: waybill rerun export", "--correct"},
		"help stores":       {"# Stores"},
		"help stores.md":    {"# Stores"},
		"explain gap":       {"gap\n", "waybill repair N"},
		"explain FORKED":    {"forked\n"},
		"explain":           {"gap", "torn", "held"},
		"completion bash":   {"complete -o default -C waybill waybill"},
		"man":               {".TH WAYBILL 1", "import"},
	} {
		code, out, problems := typed(line)
		if code != exitDone || problems != "" || slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(out, w) }) {
			t.Errorf("%q: exit %d, %s%s\nwant %q", line, code, out, problems, want)
		}
	}
}

func TestASlipIsAnsweredWithWhatWasMeant(t *testing.T) {
	for line, want := range map[string]string{
		"imprt":         `did you mean "import"`,
		"import":        "waybill import --help",
		"import --dry":  "waybill import --help",
		"help stor":     "did you mean store",
		"explain forkd": "did you mean forked?",
	} {
		if code, out, problems := typed(line); code != exitUsage || out != "" || !strings.Contains(problems, want) {
			t.Errorf("%q: exit %d, %s%s, want %s", line, code, out, problems, want)
		}
	}
}

func TestAMistypedNameIsAnsweredWithTheOneThatIsMeant(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"morgue.yaml":          "service: morgue\ndatabase: postgres:///morgue\nstore: file:///srv/exchange\nimport:\n",
		"partners/gp_csv.yaml": "partner: gp_csv\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"import mourge":              "did you mean morgue?",
		"deliver gp_cvs":             "did you mean gp_csv?",
		"intake gpcsv":               "did you mean gp_csv?",
		"jobs run imprt":             "did you mean import?",
		"jobs pause prun --reason x": "did you mean prune?",
	} {
		if code, out, problems := typed("--config " + dir + " " + line); code != exitUsage || out != "" || !strings.Contains(problems, want) {
			t.Errorf("%q: exit %d, %s%s, want %s", line, code, out, problems, want)
		}
	}
}

// The page of states explains every word that status and errors print.
func TestEachStateIsExplained(t *testing.T) {
	entries, words := explanations()
	var wanted []string
	for _, state := range health.States {
		wanted = append(wanted, string(state))
	}
	for _, class := range []fault.Class{fault.Usage, fault.Transient, fault.NotYet, fault.Poison, fault.Held} {
		wanted = append(wanted, class.String())
	}
	wanted = append(wanted, exchange.Gap, exchange.Torn, exchange.NoPart, exchange.Short, exchange.Purged, exchange.RolledBack)
	for _, word := range wanted {
		if entries[strings.ToLower(word)] == "" {
			t.Errorf("docs/states.md has no section on %s; it has %s", word, strings.Join(words, ", "))
		}
	}
}
