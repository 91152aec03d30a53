package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// secured is a site whose page needs a login. It has no services, which the page says.
func secured(t *testing.T) *site {
	t.Helper()
	s := &site{TB: t, dir: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.in("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	s.in("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return s
}

// in writes a file into the site's folder, and returns its path.
func (s *site) in(name string, data []byte) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// login is a line of a password file.
func login(t *testing.T, name, password string) []byte {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(name+":"), append(hash, '\n')...)
}

// answers expects a status of a request.
func (s *site) answers(want int, address string, change func(*http.Request)) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, address, nil)
	if err != nil {
		s.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the certificate signs itself
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		s.Errorf("%s %s of %s, %v: %s, want %d", request.Method, request.URL.Path, request.Host, request.Header, answer.Status, want)
	}
}

func TestTheWindowRefusesToStartOpenToOthers(t *testing.T) {
	t.Parallel()
	s := secured(t)
	cert, key := filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
	names := s.in("names", login(t, "anna", "secret"))
	for _, flags := range [][]string{
		{"--listen", "0.0.0.0:0"},
		{"--listen", "[::]:0", "--passwords", names},
		{"--listen", "0.0.0.0:0", "--tls-cert", cert, "--tls-key", key},
		{"--tls-cert", cert},
		{"--passwords", names, "--proxy", "127.0.0.1"},
		{"--proxy", "proxy.example.org"},
		{"--passwords", s.in("none", []byte("# nobody\n"))},
		{"--passwords", s.in("plain", []byte("anna:secret\n"))},
		{"--passwords", names, "--tls-cert", names, "--tls-key", key},
	} {
		s.fails(2, nil, append([]string{"serve"}, flags...)...)
	}
}

func TestTheWindowOfThisMachineAnswersNoOtherName(t *testing.T) {
	t.Parallel()
	s := secured(t)
	address := s.serve()
	s.answers(http.StatusOK, address, nil)
	s.answers(http.StatusOK, address+"healthz", nil)
	s.answers(http.StatusNotFound, address+"nothing", nil)
	s.answers(http.StatusBadRequest, address+"trace/smith", nil)
	s.answers(http.StatusOK, address, func(r *http.Request) { r.Method = http.MethodHead })
	s.answers(http.StatusMisdirectedRequest, address, func(r *http.Request) { r.Host = "rebound.example.org" })
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} { // nothing can be changed
		s.answers(http.StatusMethodNotAllowed, address, func(r *http.Request) { r.Method = method })
	}
}

func TestTheWindowAsksForAPassword(t *testing.T) {
	t.Parallel()
	s := secured(t)
	names := s.in("names", append(login(t, "anna", "secret"), login(t, "ben", "other")...))
	address := s.serve("--listen", "0.0.0.0:0", "--tls-cert", filepath.Join(s.dir, "cert.pem"), "--tls-key", filepath.Join(s.dir, "key.pem"), "--passwords", names)
	as := func(name, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, password) }
	}
	s.answers(http.StatusUnauthorized, address, nil)
	s.answers(http.StatusUnauthorized, address+"metrics", nil)
	s.answers(http.StatusUnauthorized, address, as("anna", "other"))
	s.answers(http.StatusUnauthorized, address, as("nobody", "nobody"))
	s.answers(http.StatusOK, address, as("anna", "secret"))
	s.answers(http.StatusOK, address, as("anna", "secret"))
	s.answers(http.StatusUnauthorized, address, as("ben", "secret"))
	s.in("names", login(t, "ben", "other"))
	s.answers(http.StatusUnauthorized, address, as("anna", "secret")) // who is removed is out at once
	s.answers(http.StatusOK, address, as("ben", "other"))
	s.in("names", login(t, "ben", "changed"))
	s.answers(http.StatusUnauthorized, address, as("ben", "other")) // though it was right a moment ago
	s.answers(http.StatusOK, address, as("ben", "changed"))
}

func TestTheWindowBehindAProxyBelievesNobodyElse(t *testing.T) {
	t.Parallel()
	s := secured(t)
	named := func(names ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["X-Remote-User"] = names }
	}
	address := s.serve("--proxy", "127.0.0.1")
	s.answers(http.StatusOK, address, named("anna"))
	s.answers(http.StatusOK, address, func(r *http.Request) { named("anna")(r); r.Host = "waybill.example.org" })
	s.answers(http.StatusForbidden, address, nil)
	s.answers(http.StatusForbidden, address, named(""))
	s.answers(http.StatusForbidden, address, named("anna", "ben"))
	s.answers(http.StatusForbidden, s.serve("--proxy", "127.0.0.9"), named("anna"))
}
