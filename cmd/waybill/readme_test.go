package main_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	demo "waybill/lab/site"
)

const (
	readme   = "../../README.md"
	tutorial = "../../docs/tutorial.md"
)

// newcomer is a person with a home, a checkout with a built program, and rights to create databases.
type newcomer struct {
	testing.TB
	home, checkout string
	postgres       []string // where the server is, for every program of PostgreSQL: not at a machine's usual place
}

func newNewcomer(t testing.TB) *newcomer {
	t.Helper()
	n := &newcomer{TB: t, home: t.TempDir(), checkout: t.TempDir()}
	at, err := url.Parse(pgtest.Server(t).SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE ROLE newcomer LOGIN CREATEDB PASSWORD 'new'; GRANT CONNECT ON DATABASE postgres, template1 TO newcomer"); err != nil {
		t.Fatal(err)
	}
	n.postgres = []string{"PGHOST=" + at.Hostname(), "PGPORT=" + at.Port(), "PGUSER=newcomer", "PGPASSWORD=new"}
	n.hasProgram()
	return n
}

// hasProgram puts into the checkout what `make demo` leaves there.
func (n *newcomer) hasProgram() {
	n.Helper()
	err := os.Mkdir(filepath.Join(n.checkout, "bin"), 0o755)
	if err == nil {
		err = os.Symlink(binary(), filepath.Join(n.checkout, "bin/waybill"))
	}
	if err != nil {
		n.Fatal(err)
	}
}

// paste types all commands into one shell in the checkout, and compares what each prints.
func (n *newcomer) paste(page string, commands []shown) {
	n.Helper()
	var script strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&script, "printf '\\001'\n%s\n", c.command)
	}
	out, err := n.bash(script.String())
	answers := strings.Split(out, "\001")[1:]
	for i, answer := range answers {
		if diff := cmp.Diff(numberless(commands[i].output), numberless(answer)); diff != "" {
			n.Errorf("%s:%d: $ %s prints (-page +program):\n%s\n%s", page, commands[i].line, commands[i].command, diff, answer)
		}
	}
	if err != nil || len(answers) != len(commands) {
		n.Fatalf("%v after %d of %d commands", err, len(answers), len(commands))
	}
}

// bash runs a script in the checkout, which ends at the first command that fails.
func (n *newcomer) bash(script string) (output string, err error) {
	n.Helper()
	cmd := exec.Command("bash", "-ec", script)
	cmd.Dir = n.checkout
	cmd.Env = slices.Concat(n.postgres, []string{"HOME=" + n.home, "PATH=" + (&site{TB: n.TB}).tools() + ":/usr/local/bin:/usr/bin:/bin"})
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	aTime  = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`)
	uuids  = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	hashes = regexp.MustCompile(`-[0-9a-f]{16}\.parquet`)
	number = regexp.MustCompile(`\d+`)
)

// numberless leaves out what differs from one world to the next.
func numberless(output string) string {
	output = uuids.ReplaceAllString(aTime.ReplaceAllString(output, "TIME"), "UUID")
	return number.ReplaceAllString(normalised(hashes.ReplaceAllString(output, "-HASH.parquet")), "N")
}

// section returns the commands of a page's section, in the order of its blocks, and the text of its crontab.
func section(t testing.TB, page, heading string) (commands []shown, crontab string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, heading)
	}
	after, _, _ = strings.Cut(after, "\n## ")
	for _, b := range blocks(after) {
		b.line += strings.Count(before, "\n") + 2
		switch b.language {
		case "console":
			commands = append(commands, b.commands()...)
		case "crontab":
			crontab += b.text
		}
	}
	if len(commands) == 0 {
		t.Fatalf("%s, %q has no commands", page, heading)
	}
	return commands, crontab
}

func TestSettingUpAsTheReadmeSays(t *testing.T) {
	t.Parallel()
	commands, crontab := section(t, readme, "Setting it up")
	n := newNewcomer(t)
	n.paste(readme, commands)
	n.isSilent(crontab)
	n.query("patients", "INSERT INTO patients.patient (id, family_name) VALUES (gen_random_uuid(), 'Birch')")
	n.query("patients", "SELECT patients.record_death(id, 'formal') FROM patients.patient WHERE family_name = 'Birch'")
	n.isSilent(crontab)
	if cases := n.query("morgue", "SELECT count(*)::text FROM morgue.case_file"); cases != "2" {
		t.Errorf("the crontab has opened %s cases, with the one before; want 2", cases)
	}
	if err := os.Rename(filepath.Join(n.home, "waybill/exchange"), filepath.Join(n.home, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	for _, line := range cronLines(crontab) {
		if out := n.cron(line); out == "" {
			t.Errorf("without the exchange, %s prints nothing", line)
		}
	}
}

// isSilent runs each line of a crontab as cron does.
func (n *newcomer) isSilent(crontab string) {
	n.Helper()
	if len(cronLines(crontab)) < 3 {
		n.Fatalf("a crontab of %q", crontab)
	}
	for _, line := range cronLines(crontab) {
		if out := n.cron(line); out != "" {
			n.Errorf("cron would mail of %s:\n%s", line, out)
		}
	}
}

// cronLines are the commands, without their times.
func cronLines(crontab string) (commands []string) {
	for line := range strings.Lines(crontab) {
		if fields := strings.Fields(line); len(fields) > 5 {
			commands = append(commands, strings.Join(fields[5:], " "))
		}
	}
	return commands
}

// cron runs a line in the environment that cron gives it, which is nearly none.
func (n *newcomer) cron(line string) string {
	n.Helper()
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir = n.home
	cmd.Env = slices.Concat(n.postgres, []string{"HOME=" + n.home, "LOGNAME=newcomer", "SHELL=/bin/sh", "PATH=/usr/bin:/bin"})
	out, _ := cmd.CombinedOutput() // cron looks at what is printed
	return string(out)
}

// query runs a statement on one of the newcomer's databases, and returns the first value, if there is one.
func (n *newcomer) query(database, sql string) (value string) {
	n.Helper()
	at := pgtest.Server(n).SuperURL(database)
	conn, err := pgx.Connect(n.Context(), at)
	if err != nil {
		n.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(n.Context(), sql)
	if err != nil {
		n.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return fmt.Sprint(values...), err
	})
	if err != nil {
		n.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// The README's tutorial is what `make demo KEEP=1` prints, and does what it says; so does docs/tutorial.md, which continues it.
func TestTheTutorialOfTheDemonstration(t *testing.T) {
	t.Parallel()
	commands, _ := section(t, readme, "A death, and its retraction")
	var typed strings.Builder
	for _, c := range commands {
		typed.WriteString(c.command + "\n")
	}
	if diff := cmp.Diff(demo.Tutorial, typed.String()); diff != "" {
		t.Fatalf("the demonstration prints (-), and the README (+):\n%s", diff)
	}
	n := &newcomer{TB: t, home: t.TempDir(), checkout: t.TempDir()}
	n.hasProgram()
	world, err := demo.Open(t.Context(), demo.Options{Name: "tutorial", Store: "directory", Brake: 50, ActWithin: 30 * 24 * time.Hour, Postgres: pg.Options{Settings: pgtest.Fast()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := world.GiveAccess(n.checkout); err != nil {
		t.Fatal(err)
	}
	if out, err := n.bash(". build/demo.env && waybill export && waybill import morgue && waybill import appointments"); err != nil {
		t.Fatal(err, out) // the demonstration has had a first exchange, too
	}
	n.paste(readme, commands)
	more := []shown{{command: ". build/demo.env"}}
	for _, heading := range []string{"What went over", "A damaged file", "A person's edit stays", "All sides compared"} {
		commands, _ := section(t, tutorial, heading)
		more = append(more, commands...)
	}
	n.paste(tutorial, more)
}
