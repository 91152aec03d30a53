// Package store opens the place that a URL names. The URLs' grammar is in docs/stores.md.
package store

import (
	"cmp"
	"errors"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/guard"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Config names a place and how to get in. Secrets are never in the URL.
type Config struct {
	URL string // "file:///srv/exchange", "s3://bucket/folder?region=eu-central-1", "ftps://user@host/folder", "sftp://user@host/folder",
	// "hdfs://user@namenode/folder"; or a path
	// Secret returns the password and is called at every login; nil: there is none.
	Secret func() (string, error)
	// AllowPlaintext is the reason why a site sends its files unencrypted, over ftp:// or hdfs://, or to an http://
	// endpoint of S3; "" refuses that.
	AllowPlaintext string
	// Partner says that the URL names a partner's folder, not the folder above a stream's. The folder
	// must exist.
	Partner bool
	// Stream is the stream whose folder is opened; "": the newest.
	Stream string
	// Partial is the suffix of a partner's files while they are written, like ".partial"; "": hidden
	// names. On S3 files appear whole, under their own names.
	Partial string
	Policy  guard.Policy
}

// Driver is what every kind of store can do.
type Driver interface {
	exchange.Store
	exchange.Deleter
	exchange.Inspector
	exchange.Dater
	exchange.Surveyor
	exchange.Mover
	Close() error
}

// Place is an open store, rooted at the stream's folder. What is read, written and listed goes
// through a guard. Deleting, moving, surveying and inspecting do not: their callers try again.
type Place struct {
	*guard.Store
	exchange.Deleter
	exchange.Inspector
	exchange.Surveyor
	exchange.Mover
	driver Driver
	url    string
}

// Open returns the place that c names; it connects to nothing. An invalid URL or a missing
// directory is a [fault.Usage] error.
func Open(c Config) (*Place, error) {
	d, err := openDriver(c)
	if err != nil {
		return nil, err
	}
	d = marked{d}
	url, _, _ := strings.Cut(c.URL, "?")
	return &Place{guard.New(d, c.Policy, time.Now), d, d, d, d, d, url}, nil
}

// Unguarded returns the store itself, for callers that want to see every failure.
func (p *Place) Unguarded() Driver { return p.driver }

// Close ends idle connections. Readers must close files that are still open.
func (p *Place) Close() error { return p.driver.Close() }

// String returns the place without options.
func (p *Place) String() string { return p.url }

func openDriver(c Config) (Driver, error) {
	if !strings.Contains(c.URL, "://") {
		return openPath(c.URL, c)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		// The parser's message repeats the URL, which may hold a password.
		return nil, usage("it is not a URL")
	}
	if _, set := u.User.Password(); set {
		return nil, fault.New(fault.Usage, "open", "store", errors.New("its URL holds a password"), "put it into store_password or store_password_file: URLs get into logs")
	}
	if u.Fragment != "" {
		return nil, usage("a # must be written %23")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, usage("its options can't be read")
	}
	open, known := map[string]func(*url.URL, *options, Config) (Driver, error){
		"file": openFile, "s3": openS3, "ftps": openFTPS, "ftp": openFTP, "sftp": openSFTP, "hdfs": openHDFS, "hdfss": openHDFS,
	}[u.Scheme]
	if !known {
		return nil, usage("there are no stores of the kind " + u.Scheme)
	}
	return open(u, &options{values: query}, c)
}

func openFile(u *url.URL, o *options, c Config) (Driver, error) {
	switch {
	case u.Host != "" && u.Host != "localhost":
		return nil, usage(u.Host + " is read as a host; begin a file URL with three slashes")
	case u.Path == "":
		return nil, usage("the URL names no directory")
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return openPath(u.Path, c)
}

func openPath(root string, c Config) (Driver, error) {
	if root == "" {
		return nil, usage("none is given")
	}
	if c.Partner {
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			return nil, fault.New(fault.Usage, "open store", root, errors.New("no such directory"), "mount or create "+root)
		}
	}
	s, err := dir.Open(c.under(root))
	if err != nil {
		return nil, err
	}
	return s.Partial(c.Partial), nil
}

// under returns the path of the files below the folder that the URL names.
func (c *Config) under(folder string) string {
	if c.Partner {
		return folder
	}
	return path.Join(folder, cmp.Or(c.Stream, schemas.PatientEvents().Name))
}

func usage(reason string) error {
	return fault.New(fault.Usage, "open", "store", errors.New(reason), "`waybill help stores` shows the URL of each kind of store")
}
