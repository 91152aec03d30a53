package servers

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
)

// secure has all daemons prove who they are, and demand it: [HDFSOptions.KDC].
func (h *HDFS) secure() error {
	keytab, err := h.options.KDC.Admit("hdfs", hdfsPrincipal, httpPrincipal)
	if err == nil {
		err = os.WriteFile(h.secretFile(), []byte(keyPassword), 0o600)
	}
	if err == nil {
		h.client.Transport, err = h.options.KDC.negotiating(hdfsPrincipal, keytab, h.client.Transport)
	}
	return err
}

const (
	hdfsPrincipal = hdfsRoot + "/127.0.0.1"
	httpPrincipal = "HTTP/127.0.0.1"
)

func (h *HDFS) secretFile() string { return filepath.Join(h.dir, "secret") }

// securitySettings are those of a cluster without privileged ports: SASL between the daemons, and HTTPS.
func (h *HDFS) securitySettings() map[string]string {
	if h.options.KDC == nil {
		return nil
	}
	const daemon, web = hdfsPrincipal + "@" + realm, httpPrincipal + "@" + realm
	keytab := filepath.Join(h.options.KDC.dir, "hdfs.keytab")
	return map[string]string{
		"hadoop.security.authentication":                   "kerberos",
		"dfs.block.access.token.enable":                    "true",
		"dfs.data.transfer.protection":                     "privacy",
		"dfs.namenode.kerberos.principal":                  daemon,
		"dfs.namenode.keytab.file":                         keytab,
		"dfs.datanode.kerberos.principal":                  daemon,
		"dfs.datanode.keytab.file":                         keytab,
		"dfs.web.authentication.kerberos.principal":        web,
		"dfs.web.authentication.kerberos.keytab":           keytab,
		"hadoop.http.filter.initializers":                  "org.apache.hadoop.hdfs.web.AuthFilterInitializer",
		"hadoop.http.authentication.type":                  "kerberos",
		"hadoop.http.authentication.kerberos.principal":    web,
		"hadoop.http.authentication.kerberos.keytab":       keytab,
		"hadoop.http.authentication.signature.secret.file": h.secretFile(),
	}
}

// Token returns a delegation token of the user who may do anything.
func (h *HDFS) Token(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL()+"/webhdfs/v1/?op=GETDELEGATIONTOKEN", nil)
	if err != nil {
		return "", err
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var said struct {
		Token struct{ URLString string }
	}
	err = json.NewDecoder(answer.Body).Decode(&said)
	return said.Token.URLString, err
}
