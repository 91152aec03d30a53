package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"waybill/exchange"
	"waybill/lab/await"
	"waybill/lab/mailbox"
	"waybill/schemas"
)

// watched is a site that nobody looks at: cron runs it, as a user who is not root.
type watched struct {
	*site
	died  int
	inbox *mailbox.Server // of whom the site notifies
	hook  *posted
}

func (s *watched) settle() {
	s.Helper()
	var err error
	s.inbox, err = mailbox.Start("127.0.0.1:0", "", nil)
	s.check(err, os.Mkdir(s.memory(), 0o700))
	s.Cleanup(func() { s.inbox.Close() })
	s.hook = newPosted(s)
	s.patience("patients", "export: {heartbeat: 1s, grace: 1h}")
	s.patience("morgue", "import: {instance: east, grace: 1h, brake: 3}")
	s.patience("appointments", "import: {instance: east, grace: 1h, brake: off}")
	tools := filepath.Join(s.dir, "bin")
	s.check(os.Mkdir(tools, 0o755), os.Symlink(binary(), filepath.Join(tools, "waybill")),
		os.WriteFile(filepath.Join(tools, "logger"), []byte("#!/bin/sh\ncat >/dev/null\n"), 0o755),
		os.Chmod(binaries(), 0o755), os.Chmod(filepath.Dir(binary()), 0o755), os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(filepath.Dir(s.exchange()), 0o755))
	s.own(s.dir)
	s.own(s.exchange())
}

func (s *watched) check(failures ...error) {
	s.Helper()
	for _, err := range failures {
		if err != nil {
			s.Fatal(err)
		}
	}
}

// own gives a folder to the user that cron's lines run as.
func (s *watched) own(folder string) {
	s.Helper()
	s.check(filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && os.Getuid() == 0 {
			err = os.Lchown(path, nobody, nobody)
		}
		return err
	}))
}

const nobody = 65534

// patience configures a service.
func (s *watched) patience(service, section string) {
	s.Helper()
	s.configure(service, section+fmt.Sprintf(notified, s.memory(), s.inbox.Address, s.hook.URL))
	s.own(s.dir)
}

// as runs a program as the crontab does; on the machine of one party, which has no other's file.
func (s *watched) as(party, program string, arguments ...string) (string, int) {
	s.Helper()
	cmd := exec.Command(program, arguments...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + filepath.Join(s.dir, "bin") + ":/usr/bin:/bin", "WAYBILL_CONFIG=" + s.file(party)}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (s *watched) file(party string) string { return filepath.Join(s.dir, party+".yaml") }

// cron is what cron mails of a line.
func (s *watched) cron(party string, arguments ...string) string {
	s.Helper()
	wrapper, err := filepath.Abs("../../deploy/cron/waybill-cron")
	s.check(err)
	out, _ := s.as(party, "sh", append([]string{wrapper}, arguments...)...)
	return out
}

// unit runs what waybill-status.service starts, and returns the code by which systemd fails it.
func (s *watched) unit(party string) int {
	s.Helper()
	text := s.read("../../deploy/systemd/waybill-status.service")
	_, line, found := strings.Cut(text, "\nExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	if !found || strings.Contains(text, "\nSuccessExitStatus") {
		s.Fatalf("not the unit that was expected:\n%s", text)
	}
	words := strings.Fields(strings.ReplaceAll(line, "/etc/waybill", s.file(party)))
	_, code := s.as(party, binary(), words[1:]...)
	return code
}

// lines are what the crontab has each machine run, in addition to status.
var lines = map[string][]string{"patients": {"export", "patients"}, "morgue": {"import", "morgue"}, "appointments": {"import", "appointments"}}

// hear returns all that cron mails of the party's lines. What takes time is waited for.
func (s *watched) hear(f standstill) string {
	s.Helper()
	if !f.idle {
		if mail := s.cron(f.party, lines[f.party]...) + s.cron(f.party, "status"); mail != "" {
			return mail
		}
		s.Fatal("cron mails nothing")
	}
	var mail string
	await.True(s, "cron mails it", func() bool { mail = s.cron(f.party, "status"); return strings.Contains(mail, f.says) })
	return mail
}

// explained checks that machines can read what is wrong and what to do.
func (s *watched) explained(f standstill) {
	s.Helper()
	out, _ := s.as(f.party, binary(), "--json", "status", f.about())
	var rows []struct{ Service, State, Class, Detail, Error, Hint, Next string }
	if err := json.Unmarshal(resultIn(out), &rows); err != nil || len(rows) != 1 {
		s.Fatalf("%v:\n%s", err, out)
	}
	if r := rows[0]; r.State == "ok" || r.Class == "" || cmp.Or(r.Error, r.Detail) == "" || r.Hint == "" || !strings.HasPrefix(r.Next, "waybill ") {
		s.Errorf("what machines read is incomplete: %+v", r)
	}
}

// works has every side do its work, and nothing is reported.
func (s *watched) works() {
	s.Helper()
	for _, party := range []string{"patients", "morgue", "appointments", "patients"} {
		if mail := s.cron(party, lines[party]...) + s.cron(party, "status"); mail != "" {
			s.Fatalf("all is well at %s, and cron mails\n%s", party, mail)
		}
	}
}

// death is published.
func (s *watched) death() (batch int64) {
	s.Helper()
	s.die(s.died)
	s.died++
	s.export()
	return s.last().Manifest.Batch
}

func (s *watched) export() {
	s.Helper()
	if mail := s.cron("patients", "export", "patients"); mail != "" {
		s.Fatal(mail)
	}
}

func (s *watched) stream(name string) string {
	return filepath.Join(s.exchange(), schemas.Stream, name)
}

// part is the file of the batch's only part.
func (s *watched) part(batch int64) string {
	s.Helper()
	entry, err := exchange.NewReader(s.place.Open(s)).Open(s.Context(), batch)
	s.check(err)
	return s.stream(entry.Manifest.Parts[0].Name)
}

func (s *watched) write(path string, data []byte) {
	s.Helper()
	s.check(os.WriteFile(path, data, 0o600))
	s.own(path)
}

// aside moves a file or folder away, and returns how it comes back.
func (s *watched) aside(path string) (back func()) {
	s.check(os.Rename(path, path+".aside"))
	return func() { s.check(os.Rename(path+".aside", path)) }
}
