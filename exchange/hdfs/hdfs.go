// Package hdfs keeps an exchange in a folder of an HDFS, over WebHDFS: plain HTTP to the NameNode, or to a gateway that
// speaks the same. Files appear whole. Create-if-absent is native (a rename that refuses a taken name), and emulated on
// gateways that ignore the option for it.
//
// Requests are tried once. See docs/hdfs.md for rights and limits.
package hdfs

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"unicode"

	"waybill/exchange"
	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// Config says where the store is and how to talk to it.
type Config struct {
	Addr string // the NameNode's or the gateway's HTTP address, host:port
	Root string // the absolute path of the folder that names are relative to
	User string // the name that requests carry; HDFS believes it, unless the cluster is secured
	// Token returns the delegation token or, with a Gateway, the password; it is called for every request. nil: there is none.
	Token func() (string, error)
	// Keytab is a file with User's Kerberos keys, for a secured cluster; "": it takes something else.
	Keytab string
	// Gateway is the path in front of /webhdfs at a gateway such as Knox; "": it is a NameNode or an HttpFS.
	Gateway string
	// DataNodes are the hosts that requests may be redirected to, in addition to Addr's; "*.example.org" is every host there.
	DataNodes []string
	TLS       bool
	// AllowPlaintext is the reason for sending files without TLS to another host; "" refuses that.
	AllowPlaintext string
	CAFile         string // certificates in PEM that are trusted in addition to the system's
	Partial        string // the suffix of files while they are written; "": hidden names
	// Times bound connecting and waiting for a byte.
	Times wire.Times
}

// Store is an exchange in one folder. It is safe for concurrent use, by any number of processes.
type Store struct {
	wire.HTTP
	config   Config
	client   *http.Client
	kerberos *kerberos   // nil: it has no keytab
	refuses  atomic.Bool // the server is known to heed a rename's options
}

var (
	_ exchange.Store     = (*Store)(nil)
	_ exchange.Deleter   = (*Store)(nil)
	_ exchange.Inspector = (*Store)(nil)
	_ exchange.Dater     = (*Store)(nil)
	_ exchange.Surveyor  = (*Store)(nil)
	_ exchange.Mover     = (*Store)(nil)
)

// Open returns the store that c describes; it connects to nothing. An invalid configuration is a [fault.Usage] error.
func Open(c Config) (*Store, error) {
	c.Times, c.Root = c.Times.OrDefault(), path.Join("/", c.Root)
	if err := c.check(); err != nil {
		return nil, fault.New(fault.Usage, "open store", c.scheme()+"://"+c.Addr, err, "see docs/hdfs.md for the settings")
	}
	if host, _, _ := net.SplitHostPort(c.Addr); !c.TLS && c.AllowPlaintext == "" && !wire.IsLoopback(host) {
		return nil, fault.New(fault.Usage, "open store", c.scheme()+"://"+c.Addr, errors.New("hdfs:// sends patients' data and tokens in the clear"),
			"write hdfss://, or give the reason in allow_plaintext")
	}
	roots, err := wire.Roots(c.CAFile)
	if err != nil {
		return nil, fault.New(fault.Usage, "open store", c.scheme()+"://"+c.Addr, err, "correct ca_file")
	}
	s := &Store{config: c, HTTP: wire.HTTP{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           c.Times.Dial,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   c.Times.Connect,
		IdleConnTimeout:       c.Times.Idle / 2,
		ExpectContinueTimeout: c.Times.Idle / 2, // DataNodes and gateways answer it, and a refusal comes before the body is sent
		MaxIdleConnsPerHost:   16,
	}}}
	s.client = &http.Client{Transport: s.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.Keytab != "" {
		host, _, _ := net.SplitHostPort(c.Addr)
		s.kerberos = &kerberos{user: c.User, keytab: c.Keytab, service: "HTTP/" + strings.ToLower(host), turn: make(chan struct{}, 1)}
	}
	return s, nil
}

func (c *Config) check() error {
	host, _, err := net.SplitHostPort(c.Addr)
	switch {
	case err != nil || host == "":
		return errors.New("the URL names no host")
	case strings.ContainsFunc(c.Root+c.User+c.Gateway, unicode.IsControl):
		return errors.New("control characters are in its URL")
	case c.Gateway != "" && c.Gateway[0] != '/':
		return errors.New("gateway is a path, such as /gateway/default")
	case c.User == "" && c.Token == nil:
		return errors.New("it names neither a user nor a token")
	case c.Keytab != "" && (c.User == "" || c.Token != nil):
		return errors.New("keytab needs a user in the URL, and no password")
	}
	return nil
}

func (c *Config) scheme() string {
	if c.TLS {
		return "hdfss"
	}
	return "hdfs"
}

// Close also forgets the tickets.
func (s *Store) Close() error {
	if s.kerberos != nil {
		s.kerberos.close()
	}
	return s.HTTP.Close()
}

// at returns a file's path.
func (s *Store) at(name string) string { return path.Join(s.config.Root, name) }

// place returns a file or folder as people name it.
func (s *Store) place(at string) string { return s.config.scheme() + "://" + s.config.Addr + at }
