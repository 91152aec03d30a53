package window

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"waybill/internal/fault"
)

// Access says who may see the pages. Its zero value allows only this machine.
type Access struct {
	Cert   string `name:"tls-cert" placeholder:"PATH" help:"Serve HTTPS with this certificate."`
	Key    string `name:"tls-key" placeholder:"PATH" help:"The certificate's key."`
	File   string `name:"passwords" placeholder:"PATH" help:"Ask for a name and a password of this file, which has lines like NAME:BCRYPT (htpasswd -B writes them)."`
	Proxy  string `placeholder:"ADDRESS" help:"Answer this reverse proxy alone, which says in a header who is asking."`
	Header string `name:"proxy-header" default:"X-Remote-User" placeholder:"NAME" help:"That header (default: ${default})."`
}

// Check refuses, with class [fault.Usage], settings that would let others see the pages.
func (a *Access) Check(address string, local bool) error {
	const subject = "the window"
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return fault.New(fault.Usage, "serve", subject, errors.New("a certificate and its key belong together"), "give both --tls-cert and --tls-key")
	case a.Proxy != "" && a.File != "":
		return fault.New(fault.Usage, "serve", subject, errors.New("either the proxy or the password file says who may look"), "leave out --proxy or --passwords")
	case !local && a.Proxy == "" && (a.File == "" || a.Cert == ""):
		return fault.New(fault.Usage, "serve", subject, fmt.Errorf("%s is reached from other machines, and nothing says who may look", address),
			"listen on localhost, give --tls-cert, --tls-key and --passwords, or name a reverse proxy with --proxy")
	}
	if a.Proxy != "" {
		if _, err := netip.ParseAddr(a.Proxy); err != nil {
			return fault.New(fault.Usage, "read", "--proxy", err, "give the address that the proxy's connections come from, such as 10.0.0.7")
		}
	}
	if a.File != "" {
		names, err := readPasswords(a.File)
		if err == nil && len(names) == 0 {
			err = errors.New("nobody is in it")
		}
		if err != nil {
			return fault.New(fault.Usage, "read", a.File, err, "`htpasswd -B -c "+a.File+" NAME` writes one")
		}
	}
	if a.Cert != "" {
		if _, err := tls.LoadX509KeyPair(a.Cert, a.Key); err != nil {
			return fault.New(fault.Usage, "read", a.Cert, err, "")
		}
	}
	return nil
}

// TLS returns the settings of HTTPS, nil if there is no certificate. It reads the certificate again for each connection,
// because it may have been renewed.
func (a *Access) TLS() *tls.Config {
	if a.Cert == "" {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		return &pair, err
	}}
}

// Guard passes requests to pages only from people who may see them, and only GET and HEAD.
func (a *Access) Guard(pages http.Handler) http.Handler {
	known := &passwords{file: a.File}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "nothing can be changed here", http.StatusMethodNotAllowed)
		case a.Proxy != "" && !a.byProxy(r):
			http.Error(w, "come through the reverse proxy", http.StatusForbidden)
		case a.Proxy == "" && a.File == "" && !nameOfLoopback(r.Host):
			// DNS rebinding: another site may point its name here, and must not read these pages.
			http.Error(w, "ask for localhost", http.StatusMisdirectedRequest)
		case a.File != "" && !known.has(r.BasicAuth()):
			w.Header().Set("WWW-Authenticate", `Basic realm="Waybill", charset="UTF-8"`)
			http.Error(w, "log in", http.StatusUnauthorized)
		default:
			pages.ServeHTTP(w, r)
		}
	})
}

// byProxy reports whether the request comes from the proxy and names somebody, once.
func (a *Access) byProxy(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	who := r.Header.Values(a.Header)
	return err == nil && from.Addr().Unmap() == netip.MustParseAddr(a.Proxy).Unmap() && len(who) == 1 && who[0] != ""
}

func nameOfLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && address.IsLoopback()
}

// passwords reads a file's passwords at each request, so that a removed person loses access at once.
type passwords struct {
	file string

	mu    sync.Mutex // one password at a time is checked, which makes guessing slow
	tried map[[sha256.Size]byte]bool
}

// nobody is the hash used for an unknown name, so that the answer takes as long as for a known one.
var nobody = sync.OnceValue(func() []byte {
	hash, _ := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost) // fails only for long passwords
	return hash
})

func (p *passwords) has(name, password string, given bool) bool {
	if !given {
		return false
	}
	hashes, err := readPasswords(p.file)
	if err != nil {
		return false
	}
	hash, known := hashes[name]
	if !known {
		hash = nobody()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := sha256.Sum256(append(append(hash[:len(hash):len(hash)], 0), password...))
	if p.tried[key] && known {
		return true
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		return false
	}
	if len(p.tried) > 1000 || p.tried == nil {
		p.tried = map[[sha256.Size]byte]bool{}
	}
	p.tried[key] = true
	return true
}

// readPasswords returns the hashes of a file by name.
func readPasswords(path string) (map[string][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	hashes, n := map[string][]byte{}, 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); err != nil || name == "" {
			return nil, fmt.Errorf("line %d is not NAME:BCRYPT", n)
		}
		hashes[name] = []byte(hash)
	}
	return hashes, nil
}
