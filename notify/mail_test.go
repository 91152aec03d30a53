package notify_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/lab/mailbox"
	"waybill/lab/servers"
	"waybill/notify"
)

func startMailbox(t *testing.T, address, password string, secure *tls.Config) *mailbox.Server {
	t.Helper()
	server, err := mailbox.Start(address, password, secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// certified is a server's TLS, with a certificate that this process trusts.
func certified(t *testing.T) *tls.Config {
	t.Helper()
	ca, err := servers.NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", ca.File) // read once, by the first who needs it
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func byMail(t *testing.T, address string) *notify.Settings {
	return &notify.Settings{Memory: t.TempDir(), Mail: &notify.Mail{
		Server: "smtp://" + address, From: "waybill@hospital.example", To: []string{"it@hospital.example", "night@hospital.example"},
	}}
}

var forked = []notify.Finding{{Party: "patients", Report: health.Report{State: health.Forked, Class: fault.Poison, Detail: "batch 7 is not ours", Hint: "find out who wrote it"}}}

func TestMailIsSent(t *testing.T) {
	server := startMailbox(t, "127.0.0.1:0", "s3cret", certified(t))
	s := byMail(t, server.Address)
	s.Mail.User, s.Mail.PasswordFile = "waybill", filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(s.Mail.PasswordFile, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Tell(t.Context(), "patients", forked, noon); fault.ClassOf(err) != fault.Transient || !strings.Contains(fault.HintOf(err), "notify.mail") || strings.Contains(err.Error(), "wrong\n") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(s.Mail.PasswordFile, []byte("s3cret\n"), 0o600); err != nil { // read anew each time
		t.Fatal(err)
	}
	if err := s.Tell(t.Context(), "patients", forked, noon); err != nil {
		t.Fatal(err)
	}
	letters := server.Letters()
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	l := letters[0]
	if !l.Secure || l.User != "waybill" || l.From != "waybill@hospital.example" || l.To != "it@hospital.example, night@hospital.example" || l.Subject != "waybill: patients is forked" {
		t.Errorf("%+v", l)
	}
	for _, want := range []string{"since 2026-11-22 12:00:00Z", "batch 7 is not ours", "find out who wrote it", "page, from"} {
		if !strings.Contains(l.Body, want) {
			t.Errorf("the letter does not say %q:\n%s", want, l.Body)
		}
	}
}

// Mail goes to other machines over TLS, unless the settings give a reason why not.
func TestMailInTheClearIsRefused(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	server := startMailbox(t, name+":0", "", nil)
	_, port, err := net.SplitHostPort(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	s := byMail(t, name+":"+port)
	if err := s.Tell(t.Context(), "patients", forked, noon); err == nil || len(server.Letters()) > 0 {
		t.Errorf("it was sent in the clear: %v", err)
	}
	s.Mail.AllowPlaintext = "the relay stands in the same rack"
	if err := s.Tell(t.Context(), "patients", forked, noon); err != nil || len(server.Letters()) != 1 {
		t.Errorf("it was not sent: %v", err)
	}
}
