package servers

import (
	"context"
	"crypto/tls"
	"net/http"
	"path/filepath"

	"waybill/exchange/wire"
)

const keyPassword = "waybill-test"

// URL is the NameNode's address.
func (h *HDFS) URL() string {
	if h.options.TLS {
		return "https://" + h.Addr()
	}
	return "http://" + h.Addr()
}

// CAFile has the certificate of all daemons.
func (h *HDFS) CAFile() string { return filepath.Join(h.dir, "ca.pem") }

func (h *HDFS) keys() string { return filepath.Join(h.dir, "keys.p12") }

func (h *HDFS) policy() string {
	if h.options.TLS {
		return "HTTPS_ONLY"
	}
	return "HTTP_ONLY"
}

// makeKeys makes a key with a certificate for all daemons.
func (h *HDFS) makeKeys(ctx context.Context) error {
	for _, args := range [][]string{
		{"-genkeypair", "-alias", "hdfs", "-keyalg", "EC", "-dname", "CN=hdfs", "-ext", "san=ip:127.0.0.1", "-storetype", "PKCS12"},
		{"-exportcert", "-alias", "hdfs", "-rfc", "-file", h.CAFile()},
	} {
		if _, err := output(ctx, "/", "keytool", append(args, "-keystore", h.keys(), "-storepass", keyPassword)...); err != nil {
			return err
		}
	}
	roots, err := wire.Roots(h.CAFile())
	h.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return err
}

// tlsSettings are used only with TLS.
func (h *HDFS) tlsSettings() map[string]string {
	return map[string]string{
		"ssl.server.keystore.location": h.keys(), "ssl.server.keystore.type": "pkcs12",
		"ssl.server.keystore.password": keyPassword, "ssl.server.keystore.keypassword": keyPassword,
	}
}
