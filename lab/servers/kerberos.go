package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"waybill/internal/fault"
)

const realm = "WAYBILL.TEST"

// KDC is the server of a Kerberos realm. By it, users and servers prove who they are.
type KDC struct {
	*Server
	in  installation
	dir string
}

// StartKDC starts a realm without users, which keeps all it has in dir. A clock other than nil is the server's.
func StartKDC(ctx context.Context, dir string, clock *Clock) (*KDC, error) {
	in, err := find("kerberos", "/usr/sbin/krb5kdc")
	if err != nil {
		return nil, err
	}
	k := &KDC{in: in, dir: dir}
	k.Server, err = start(ctx, "KDC", nil, func(port int) (*exec.Cmd, error) {
		if err := k.prepare(port); err != nil {
			return nil, err
		}
		cmd := k.command("krb5kdc", "-n")
		if clock != nil {
			cmd.Env = append(cmd.Env, clock.Environment()...)
		}
		return cmd, nil
	})
	return k, err
}

// ConfigFile is the krb5.conf of the realm.
func (k *KDC) ConfigFile() string { return filepath.Join(k.dir, "krb5.conf") }

func (k *KDC) prepare(port int) error {
	modules, err := filepath.Glob(k.in.path("/usr/lib/*/krb5/plugins/kdb"))
	if err != nil || len(modules) == 0 {
		return fault.New(fault.Usage, "find", "the KDC's modules", fs.ErrNotExist, "`make servers` fetches them")
	}
	text := fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  udp_preference_limit = 1
[kdcdefaults]
  kdc_listen = %[2]s
  kdc_tcp_listen = %[2]s
[realms]
  %[1]s = {
    kdc = %[2]s
    database_name = %[3]s/principals
    key_stash_file = %[3]s/stash
    default_principal_flags = +preauth
  }
[dbmodules]
  db_module_dir = %[4]s
`, realm, local(port), k.dir, modules[0])
	if err := os.WriteFile(k.ConfigFile(), []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(k.dir, "principals")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.run("kdb5_util", "create", "-s", "-P", keyPassword)
}

func (k *KDC) command(program string, args ...string) *exec.Cmd {
	cmd := k.in.command("/usr/sbin/"+program, args...)
	cmd.Env = append(cmd.Env, "KRB5_CONFIG="+k.ConfigFile(), "KRB5_KDC_PROFILE="+k.ConfigFile())
	return cmd
}

func (k *KDC) run(program string, args ...string) error {
	out, err := k.command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// Admit makes users and servers with fresh keys, and returns a keytab of all of them.
func (k *KDC) Admit(name string, principals ...string) (string, error) {
	file := filepath.Join(k.dir, name+".keytab")
	for _, p := range principals {
		if err := k.run("kadmin.local", "addprinc", "-randkey", p); err != nil {
			return "", err
		}
	}
	return file, k.run("kadmin.local", append([]string{"ktadd", "-k", file}, principals...)...)
}

// Forget removes a user.
func (k *KDC) Forget(principal string) error {
	return k.run("kadmin.local", "delprinc", "-force", principal)
}

// negotiating identifies requests by a principal's keytab.
type negotiating struct {
	http.RoundTripper
	client *client.Client
}

func (k *KDC) negotiating(principal, file string, through http.RoundTripper) (http.RoundTripper, error) {
	realms, err := config.Load(k.ConfigFile())
	if err != nil {
		return nil, err
	}
	keys, err := keytab.Load(file)
	if err != nil {
		return nil, err
	}
	return negotiating{through, client.NewWithKeytab(principal, realm, keys, realms)}, nil
}

func (n negotiating) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := spnego.SetSPNEGOHeader(n.client, r, "HTTP/"+strings.ToLower(r.URL.Hostname())); err != nil {
		return nil, err
	}
	return n.RoundTripper.RoundTrip(r)
}
