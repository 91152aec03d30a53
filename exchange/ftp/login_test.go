package ftp_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/exchange/ftp"
	"waybill/internal/fault"
)

func dialServer(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

func TestOpenRefuses(t *testing.T) {
	good := ftp.Config{Addr: "ftp.example.org:21", User: "u", Password: func() (string, error) { return "p", nil }}
	if _, err := ftp.Open(good); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*ftp.Config){
		"plaintext without a reason": func(c *ftp.Config) { c.TLS = ftp.None },
		"an unknown kind of TLS":     func(c *ftp.Config) { c.TLS = "starttls" },
		"no port":                    func(c *ftp.Config) { c.Addr = "ftp.example.org" },
		"no host":                    func(c *ftp.Config) { c.Addr = ":21" },
		"no user":                    func(c *ftp.Config) { c.User = "" },
		"no password":                func(c *ftp.Config) { c.Password = nil },
		"a line break in the folder": func(c *ftp.Config) { c.Root = "a\r\nDELE b" },
		"flat names of no folder":    func(c *ftp.Config) { c.Flat, c.Root = true, "." },
		"a negative limit":           func(c *ftp.Config) { c.MaxConns = -1 },
		"a CA file that isn't there": func(c *ftp.Config) { c.CAFile = filepath.Join(t.TempDir(), "none.pem") },
	} {
		config := good
		spoil(&config)
		if _, err := ftp.Open(config); fault.ClassOf(err) != fault.Usage || err == nil {
			t.Errorf("%s: %v, want a usage error", what, err)
		}
	}
}

func TestCertificates(t *testing.T) {
	strange := vsftpd
	strange.host = "elsewhere.example.org"
	for _, k := range []kind{strange, {name: "p", start: proftpd.start, tls: ftp.Implicit, options: proftpdTLS.options, host: strange.host}} {
		config := k.config(k.launch(t, false))
		_, err := get(open(t, config), "a")
		wantFault(t, "get from a host with another's certificate", err, fault.Usage, "host name")
		config.CAFile = ""
		_, err = get(open(t, config), "a")
		wantFault(t, "get from a host with an unknown CA", err, fault.Usage, "certificate")
	}
	config := vsftpd.config(vsftpd.launch(t, true))
	config.CAFile = ""
	_, err := get(open(t, config), "a")
	wantFault(t, "get through a certificate of an unknown authority", err, fault.Usage, "authority")

	config.CAFile = filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(config.CAFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = get(open(t, config), "a")
	wantFault(t, "get with an empty CA file", err, fault.Usage, "PEM")
}

func TestWrongPassword(t *testing.T) {
	const wrong = "opensesame"
	for _, k := range []kind{vsftpd, vsftpdBare, proftpd, proftpdTLS} {
		config := k.config(k.launch(t, true))
		config.Password = func() (string, error) { return wrong, nil }
		_, err := get(open(t, config), "a")
		wantFault(t, k.name+": get with a wrong password", err, fault.Usage, "password")
		if strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: the password is in %q", k.name, err)
		}
	}
}

func TestPasswordsAreAskedForAnew(t *testing.T) {
	server := vsftpd.launch(t, false)
	config := vsftpd.config(server)
	answer, refusal := "expired", error(nil)
	config.Password = func() (string, error) { return answer, refusal }
	store := open(t, config)
	_, err := get(store, "a")
	wantFault(t, "get with an expired password", err, fault.Usage, "password")
	refusal = errors.New("the vault is sealed")
	_, err = get(store, "a")
	wantFault(t, "get without a password", err, fault.Usage, "sealed")
	answer, refusal = server.Password, nil
	put(t, store, "a", "x")
}

func TestTheWrongKindOfTLS(t *testing.T) {
	for _, test := range []struct {
		server kind
		tls    ftp.TLS
		class  fault.Class
		word   string
	}{
		{vsftpd, ftp.Implicit, fault.Usage, "implicit"},
		{vsftpdBare, ftp.Explicit, fault.Usage, "implicit"},
		{proftpdTLS, ftp.Explicit, fault.Transient, "implicit"}, // both wait for the other to begin
		{vsftpd, ftp.None, fault.Usage, "TLS"},
		{proftpd, ftp.None, fault.Usage, "TLS"},
	} {
		config := test.server.config(test.server.launch(t, true))
		config.TLS, config.AllowPlaintext, config.CAFile = test.tls, "it is a test", place.ca.File
		config.Times.Connect = 1e9
		_, err := get(open(t, config), "a")
		wantFault(t, string(test.tls)+" TLS to "+test.server.name, err, test.class, test.word)
	}
}
