package hdfs

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"waybill/internal/fault"
)

// kerberos proves to a secured cluster who asks, by SPNEGO. The library renews the ticket.
type kerberos struct {
	user, keytab string // the user may have a realm: waybill@EXAMPLE.ORG
	service      string // HTTP/HOST

	turn   chan struct{} // is full while one uses the client
	client *client.Client
}

// identify adds a ticket to a request. The library knows no contexts: a call that ends leaves it behind, and the next waits,
// as long as it likes, until the library gives a KDC up that does not answer, after five seconds.
func (k *kerberos) identify(r *http.Request) error {
	select {
	case k.turn <- struct{}{}:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	done := make(chan error, 1)
	go func() {
		done <- k.sign(r)
		<-k.turn
	}()
	select {
	case err := <-done:
		return err
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// sign logs in anew after a failure.
func (k *kerberos) sign(r *http.Request) error {
	if err := k.prepare(); err != nil {
		return fault.New(fault.Usage, "log in with", k.keytab, err, "correct keytab in the store's URL, and /etc/krb5.conf or the file that $KRB5_CONFIG names")
	}
	if err := spnego.SetSPNEGOHeader(k.client, r, k.service); err != nil {
		k.end()
		return k.failed(err)
	}
	return nil
}

func (k *kerberos) prepare() error {
	if k.client != nil {
		return nil
	}
	realms, err := config.Load(cmp.Or(os.Getenv("KRB5_CONFIG"), "/etc/krb5.conf"))
	if err != nil {
		return err
	}
	keys, err := keytab.Load(k.keytab)
	if err != nil {
		return err
	}
	user, realm, _ := strings.Cut(k.user, "@")
	k.client = client.NewWithKeytab(user, cmp.Or(realm, realms.LibDefaults.DefaultRealm), keys, realms, client.DisablePAFXFAST(true))
	return nil
}

func (k *kerberos) end() {
	if k.client != nil {
		k.client.Destroy()
		k.client = nil
	}
}

// close waits for nobody, and lets nobody in any more.
func (k *kerberos) close() {
	go func() {
		k.turn <- struct{}{}
		k.end()
	}()
}

// failed recognises failures by the library's text, because it has no types for them.
func (k *kerberos) failed(err error) error {
	for _, known := range []struct{ text, cause, hint string }{
		{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "the KDC doesn't know this user", "correct the user in the store's URL: waybill, or waybill%40REALM"},
		{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "the KDC doesn't know " + k.service, "name the host in the store's URL as the cluster's HTTP principal does"},
		{"key not found in keytab", "the keytab has no key of this user", "compare the store's URL with `klist -k " + k.keytab + "`"},
		{"KDC_ERR_PREAUTH_FAILED", "the keytab's key is not the KDC's", "have the realm's administrator export a new keytab"},
		{"Decrypting_Error", "the keytab's key is not the KDC's", "have the realm's administrator export a new keytab"},
		{"lock skew", "this machine's clock differs from the KDC's by more than five minutes", "set the clock by NTP"},
		{"no KDCs defined", "krb5.conf names no KDC of the realm", "add the realm to /etc/krb5.conf or the file that $KRB5_CONFIG names"},
	} {
		if strings.Contains(err.Error(), known.text) {
			return fault.New(fault.Usage, "log in as", k.user, errors.New(known.cause), known.hint)
		}
	}
	if _, refusal, refused := strings.Cut(err.Error(), "KRB Error: "); refused {
		return fault.New(fault.Usage, "log in as", k.user, errors.New("the KDC refuses: "+refusal), "have the realm's administrator look at the account")
	}
	return fault.New(fault.Transient, "log in as", k.user, err, "see whether this machine reaches the KDC that krb5.conf names")
}
