package store

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"waybill/exchange/ftp"
	"waybill/internal/fault"
)

// openFTPS opens "ftps://user@host/folder": TLS by AUTH TLS, or from the first byte with
// "?implicit".
func openFTPS(u *url.URL, o *options, c Config) (Driver, error) {
	mode, port := ftp.Explicit, "21"
	if o.flag("implicit") {
		mode, port = ftp.Implicit, "990"
	}
	return openAnyFTP(u, o, c, mode, port)
}

// openFTP opens "ftp://user@host/folder", without any encryption.
func openFTP(u *url.URL, o *options, c Config) (Driver, error) {
	if c.AllowPlaintext == "" {
		return nil, fault.New(fault.Usage, "open", "store", errors.New("ftp:// sends patients' data and the password in the clear"),
			"write ftps://, or give the reason in allow_plaintext")
	}
	return openAnyFTP(u, o, c, ftp.None, "21")
}

func openAnyFTP(u *url.URL, o *options, c Config, mode ftp.TLS, port string) (Driver, error) {
	config := ftp.Config{
		Addr: address(u, port), User: u.User.Username(), Password: c.Secret, Root: c.under(folder(u)), Partial: c.Partial,
		TLS: mode, CAFile: o.text("ca_file"), AllowPlaintext: c.AllowPlaintext,
		Flat: o.flag("flat"), Direct: o.flag("direct"), DisableEPSV: o.flag("pasv"),
		MaxConns: o.number("connections"),
	}
	if config.Flat && c.Partner {
		o.fail("flat is for exchanges; a partner's files have no folders but the declared one")
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return ftp.Open(config)
}

func address(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// folder returns the folder that a URL names: an absolute path or, for "/~/exchange", one below the
// folder where a login lands.
func folder(u *url.URL) string {
	root := u.Path
	if relative, ok := strings.CutPrefix(root, "/~"); ok && (relative == "" || relative[0] == '/') {
		root = strings.TrimPrefix(relative, "/")
	}
	return root
}
