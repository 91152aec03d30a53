package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/importer"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

const (
	newConsumer = "../../docs/new-consumer.md"
	examples    = "../../examples"
)

// The test does what docs/new-consumer.md says, in its order: it writes the files, runs the commands
// and compares their output with the page.
func TestAddingAConsumerAsTheDocumentationSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(newConsumer)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.do("export") // the exchange has begun
	for _, name := range []string{"statistics", "journal"} {
		s.urls[name] = pgtest.Database(t, nil, "empty")
	}
	files, commands, quoted := 0, 0, 0
	for _, b := range blocks(string(page)) {
		switch {
		case b.file != "":
			s.write(b)
			files++
			if strings.Contains(b.file, "/") { // the page quotes the examples
				example, err := os.ReadFile(filepath.Join(examples, b.file))
				if diff := cmp.Diff(string(example), b.text); err != nil || diff != "" {
					t.Errorf("%s:%d (+) is not examples/%s (-): %v\n%s", newConsumer, b.line, b.file, err, diff)
				}
				quoted++
			}
		case b.language == "console":
			for _, c := range b.commands() {
				s.demonstrate(newConsumer, c)
				commands++
			}
		}
	}
	if there, err := filepath.Glob(examples + "/*/*.*"); err != nil || quoted < 5 || len(there)+2 != quoted {
		t.Errorf("the page quotes %d files; examples has %q, and migrations: %v", quoted, there, err)
	}
	if want := strings.Count(string(page), "\n$ "); commands != want || commands < 10 || files < 6 {
		t.Errorf("did %d commands of %d, and wrote %d files", commands, want, files)
	}
}

// block is a fenced block of a Markdown page. It is a file's if it comes after a sentence that
// begins with the file's name in backquotes and ends, without further backquotes, in a colon.
type block struct {
	line     int
	language string
	file     string
	text     string
}

var (
	fence     = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")
	introduce = regexp.MustCompile("(?s)(?:^|\n\n|\\. |\\.\n)`([a-z_]+(?:/[a-z_0-9]+)*\\.[a-z]+)`[^`]*:\n\n$")
)

func blocks(page string) []block {
	var all []block
	for _, at := range fence.FindAllStringSubmatchIndex(page, -1) {
		b := block{
			line:     1 + strings.Count(page[:at[0]], "\n"),
			language: page[at[2]:at[3]],
			text:     page[at[4]:at[5]],
		}
		if name := introduce.FindStringSubmatch(page[:at[0]]); name != nil {
			b.file = name[1]
		}
		all = append(all, b)
	}
	return all
}

func (s *site) write(b block) {
	s.Helper()
	path := filepath.Join(s.dir, b.file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// shown is a command line of the page and what the page says it prints.
type shown struct {
	line    int
	command string
	output  string
}

func (b block) commands() []shown {
	var list []shown
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, shown{line: b.line + 1 + i, command: command})
		} else {
			list[len(list)-1].output += line + "\n"
		}
	}
	return list
}

// demonstrate runs a command in the site's folder. psql is not everywhere, so its part is taken here.
func (s *site) demonstrate(page string, c shown) {
	s.Helper()
	var output string
	switch {
	case strings.HasPrefix(c.command, "psql "):
		output = s.psql(c.command)
	default:
		output = s.shell(c.command)
	}
	if diff := cmp.Diff(normalised(c.output), normalised(output)); diff != "" {
		s.Fatalf("%s:%d: $ %s prints (-page +program):\n%s", page, c.line, c.command, diff)
	}
	if init, ok := strings.CutPrefix(c.command, "waybill init ./"); ok {
		s.editStore(filepath.Join(s.dir, init+".yaml"))
	}
}

func (s *site) shell(line string) string {
	s.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(s.waybill())+":"+s.tools()+":"+os.Getenv("PATH"))
	for name, url := range s.urls {
		cmd.Env = append(cmd.Env, strings.ToUpper(name)+"_DATABASE_URL="+url)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("$ %s: %v\n%s", line, err, out)
	}
	return string(out)
}

var psqlCommand = regexp.MustCompile(`^psql "\$([A-Z]+)_DATABASE_URL" (?:-Atc "(.+)"|-qf (\S+))$`)

// psql answers a query with columns parted by | (-At), or runs the statements of a file.
func (s *site) psql(line string) string {
	s.Helper()
	m := psqlCommand.FindStringSubmatch(line)
	if m == nil {
		s.Fatalf("this test does not know how to run: %s", line)
	}
	conn, err := pgx.Connect(s.Context(), s.urls[strings.ToLower(m[1])])
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close(s.Context())
	if m[3] == "" {
		return s.query(conn, m[2])
	}
	text, err := os.ReadFile(filepath.Join(s.dir, m[3]))
	if err != nil {
		s.Fatal(err)
	}
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if _, err := conn.Exec(s.Context(), statement); err != nil {
			s.Fatalf("%s: %v", m[3], err)
		}
	}
	return ""
}

func (s *site) query(conn *pgx.Conn, sql string) string {
	s.Helper()
	rows, err := conn.Query(s.Context(), sql)
	if err != nil {
		s.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = fmt.Sprint(v)
		}
		return strings.Join(cells, "|") + "\n", err
	})
	if err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(lines, "")
}

// editStore does to a new configuration what the page asks the reader to: it names the store.
func (s *site) editStore(path string) {
	s.Helper()
	const example = "store: file:///srv/exchange\n"
	text, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	if strings.Count(string(text), example) != 1 {
		s.Fatalf("%s does not have the line %q", path, example)
	}
	edited := strings.Replace(string(text), example, s.place.Settings(), 1)
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		s.Fatal(err)
	}
}

var (
	spaces   = regexp.MustCompile(`[ \t]+`)
	logLine  = regexp.MustCompile(`(?m)^{"time":.*\n`)
	duration = regexp.MustCompile(`(?m) [0-9.]+(µs|ms|s)$`)
	window   = regexp.MustCompile(`[0-9-]+ [0-9:]+Z – ([0-9-]+ )?[0-9:]+Z`)
	digits   = regexp.MustCompile(`@[0-9a-f]{8}\b`)
	fileSize = regexp.MustCompile(`[0-9.]+ (B|KiB|MiB)`)
)

// normalised leaves out what differs from run to run: durations and times, the log, how hashes begin, the
// sizes of compressed files, and the widths of columns that hold them.
func normalised(output string) string {
	output = logLine.ReplaceAllString(output, "")
	output = spaces.ReplaceAllString(output, " ")
	output = duration.ReplaceAllString(output, " TOOK")
	output = window.ReplaceAllString(output, "WINDOW")
	output = digits.ReplaceAllString(output, "@DIGITS")
	return fileSize.ReplaceAllString(output, "SIZE")
}

// archive adds a service that takes every event.
func (s *site) archive() {
	s.Helper()
	contract := schemas.PatientEvents()
	s.write(block{file: "archive/consumer.yaml", text: fmt.Sprintf("name: archive\nappend: event\nevents: [%s]\n", strings.Join(contract.Events(), ", "))})
	s.write(block{file: "archive/migrations/1_event.sql", text: "-- +goose Up\nCREATE TABLE event (" + pg.Columns(contract) +
		", PRIMARY KEY (patient_id, generation, version, revision));\n"})
	consumer, err := importer.LoadConsumer(os.DirFS(s.dir + "/archive"))
	if err != nil {
		s.Fatal(err)
	}
	s.service("archive", "import: {consumer: ./archive}", func(ctx context.Context, url string) error {
		return importer.Migrate(ctx, url, consumer)
	})
}
