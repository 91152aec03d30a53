package main_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// On a terminal a status that is watched replaces itself, in colours unless NO_COLOR is set, until interrupted.
func TestStatusIsWatchedOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.do("export")
	s.removeManifest(2)
	for environment, coloured := range map[string]bool{"NO_COLOR=": true, "NO_COLOR=1": false} {
		cmd := s.command([]string{environment}, "status", "--watch", "1s")
		cmd.Stdout, cmd.Stderr = nil, nil
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		defer terminal.Close()
		shown, answers := "", 0
		for lines := bufio.NewScanner(terminal); answers < 2 && lines.Scan(); {
			shown += lines.Text() + "\n"
			answers = strings.Count(shown, "\x1b[H\x1b[2J")
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: it ends with %v", environment, err)
		}
		if answers < 2 || !strings.Contains(shown, "broken") || strings.Contains(shown, "\x1b[31mpatients") != coloured {
			t.Errorf("%s: %q", environment, shown)
		}
	}
}
