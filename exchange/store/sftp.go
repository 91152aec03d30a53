package store

import (
	"net/url"

	"waybill/exchange/sftp"
)

// openSFTP opens "sftp://user@host/folder?known_hosts=FILE". The secret is the password or, if a
// key is named, the key's passphrase.
func openSFTP(u *url.URL, o *options, c Config) (Driver, error) {
	config := sftp.Config{
		Addr: address(u, "22"), User: u.User.Username(), Root: c.under(folder(u)), Partial: c.Partial,
		KeyFile: o.text("key"), UseAgent: o.flag("agent"),
		KnownHostsFile: o.text("known_hosts"), MaxConns: o.number("connections"),
	}
	if config.KeyFile != "" {
		config.Passphrase = c.Secret
	} else {
		config.Password = c.Secret
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return sftp.Open(config)
}
