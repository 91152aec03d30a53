package store

import (
	"net/url"
	"strings"

	"waybill/exchange/hdfs"
)

// openHDFS opens "hdfs://user@namenode/folder", which is WebHDFS, and "hdfss://" with TLS. The secret is a delegation token
// or, with a gateway, the password.
func openHDFS(u *url.URL, o *options, c Config) (Driver, error) {
	config := hdfs.Config{
		Root: c.under(u.Path), User: u.User.Username(), Token: c.Secret, Partial: c.Partial,
		TLS: u.Scheme == "hdfss", CAFile: o.text("ca_file"), Keytab: o.text("keytab"), Gateway: o.text("gateway"), AllowPlaintext: c.AllowPlaintext,
	}
	port := "9870"
	if config.TLS {
		port = "9871"
	}
	if u.Hostname() != "" {
		config.Addr = address(u, port)
	}
	if hosts := o.text("datanodes"); hosts != "" {
		config.DataNodes = strings.Split(hosts, ",")
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return hdfs.Open(config)
}
