package hdfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"waybill/exchange/hdfs"
)

// Calls end with their contexts while the KDC keeps one of them waiting, and so does the store.
func TestAKDCThatNeverAnswers(t *testing.T) {
	dir := t.TempDir()
	kdc, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer kdc.Close()
	t.Setenv("KRB5_CONFIG", filepath.Join(dir, "krb5.conf"))
	must(t, os.WriteFile(os.Getenv("KRB5_CONFIG"), fmt.Appendf(nil, `[libdefaults]
  default_realm = WAYBILL.TEST
  udp_preference_limit = 1
[realms]
  WAYBILL.TEST = {
    kdc = %s
  }
`, kdc.Addr()), 0o600))
	keys := keytab.New()
	must(t, keys.AddEntry("waybill", "WAYBILL.TEST", "secret", time.Unix(0, 0), 1, 18)) // aes256-cts-hmac-sha1-96
	data, err := keys.Marshal()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "keytab"), data, 0o600))
	store, err := hdfs.Open(hdfs.Config{Addr: "127.0.0.1:1", User: "waybill", Keytab: filepath.Join(dir, "keytab")})
	must(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			if _, err := store.Get(ctx, "log/a"); !errors.Is(err, context.Canceled) {
				t.Errorf("get = %v", err)
			}
		})
	}
	waiting, err := kdc.Accept()
	must(t, err)
	defer waiting.Close()
	cancel()
	calls.Wait()
	must(t, store.Close())
	must(t, waiting.SetReadDeadline(time.Now().Add(time.Millisecond)))
	if _, err := io.Copy(io.Discard, waiting); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the calls waited until the library gave up: %v", err)
	}
}
