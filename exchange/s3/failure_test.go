package s3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/s3"
	"waybill/exchange/wire"
	"waybill/internal/fault"
	"waybill/lab/servers"
)

func wantUsage(t *testing.T, err error, hint string) {
	t.Helper()
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("%v (%v, hint %q), want a usage error with a hint at %q", err, fault.ClassOf(err), fault.HintOf(err), hint)
	}
	for _, secret := range []string{servers.S3Root.Secret, "X-Amz-Signature", "Signature="} {
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func wantTransient(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != fault.Transient || errors.Is(err, exchange.ErrNotFound) || errors.Is(err, exchange.ErrExists) {
		t.Errorf("%s = %v (%v), want a transient error", what, err, fault.ClassOf(err))
	}
}

// profilesOf writes a shared credentials file.
func profilesOf(t *testing.T, keys map[string]servers.S3Key) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials")
	must(t, writeProfiles(file, keys))
	return file
}

func TestWrongCredentialsAreReadAgain(t *testing.T) {
	c := config()
	c.Profile = "site"
	for what, key := range map[string]servers.S3Key{
		"a wrong secret": {ID: servers.S3Root.ID, Secret: "wrong"},
		"an unknown key": {ID: "AKIAUNKNOWN", Secret: "wrong"},
	} {
		file := profilesOf(t, map[string]servers.S3Key{"site": key})
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
		store := open(t, c)
		wantUsage(t, store.Publish(t.Context(), "log/a", []byte("x")), "access key")
		must(t, writeProfiles(file, map[string]servers.S3Key{"site": servers.S3Root}))
		if err := store.Publish(t.Context(), "log/a", []byte("x")); err != nil && !errors.Is(err, exchange.ErrExists) {
			t.Errorf("after %s was corrected: %v", what, err)
		}
	}
}

func TestCredentialsComeFromTheEnvironmentToo(t *testing.T) {
	c := config()
	c.Profile = ""
	t.Setenv("AWS_ACCESS_KEY_ID", servers.S3Root.ID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", servers.S3Root.Secret)
	t.Setenv("AWS_ENDPOINT_URL_S3", c.Endpoint)
	c.Endpoint = ""
	must(t, open(t, c).Publish(t.Context(), "log/a", []byte("x")))
}

func TestNoCredentialsAreNoHang(t *testing.T) {
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+silent(t)) // an address that says nothing
	c := config()
	c.Profile = ""
	c.Times = wire.Times{Connect: 300 * time.Millisecond}
	start := time.Now()
	_, err := open(t, c).Get(t.Context(), "log/a")
	wantUsage(t, err, "AWS_ACCESS_KEY_ID")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("that took %v", took)
	}
}

// silent returns the address of a listener that accepts and then says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return l.Addr().String()
}

func TestASilentServerIsNoHang(t *testing.T) {
	c := config()
	c.Endpoint = "http://" + silent(t)
	c.Times = wire.Times{Idle: 200 * time.Millisecond}
	store := open(t, c)
	_, err := store.Get(t.Context(), "log/a")
	wantTransient(t, "get", err)
	wantTransient(t, "put", store.Put(t.Context(), "log/a", 1, strings.NewReader("x")))
	wantTransient(t, "delete", store.Delete(t.Context(), "log/a"))
}

func TestAWrongBucketIsNamed(t *testing.T) {
	c := config()
	c.Bucket = "hospitall"
	store := open(t, c)
	_, err := store.Get(t.Context(), "log/a")
	wantUsage(t, err, "hospitall")
	wantUsage(t, store.Put(t.Context(), "log/a", 1, strings.NewReader("x")), "hospitall")
	wantUsage(t, store.Publish(t.Context(), "log/a", []byte("x")), "hospitall")
	for _, err := range store.List(t.Context(), "log") {
		wantUsage(t, err, "hospitall")
	}
	_, err = store.Inspect(t.Context())
	wantUsage(t, err, "hospitall")
}

// A proxy gives answers that this server never gives.
func TestRefusalsAreClassified(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		hint   string // "" is a transient error
	}{
		"ExpiredToken":                 {http.StatusBadRequest, "renew"},
		"InvalidToken":                 {http.StatusBadRequest, "access key"},
		"SignatureDoesNotMatch":        {http.StatusForbidden, "a proxy or gateway on the way rewrites requests, which then no longer fit their signature; or a clock is wrong"},
		"RequestTimeTooSkewed":         {http.StatusForbidden, "NTP"},
		"PermanentRedirect":            {http.StatusMovedPermanently, "region"},
		"AuthorizationHeaderMalformed": {http.StatusBadRequest, "region"},
		"KMS.DisabledException":        {http.StatusBadRequest, "KMS"},
		"InvalidObjectState":           {http.StatusForbidden, "archive"},
		"BlockedByProxy":               {http.StatusForbidden, "firewall"},
		"SlowDown":                     {http.StatusServiceUnavailable, ""},
		"InternalError":                {http.StatusInternalServerError, ""},
		"RequestTimeout":               {http.StatusBadRequest, ""},
		"OperationAborted":             {http.StatusConflict, ""},
		"SomethingNew":                 {http.StatusBadGateway, ""},
	} {
		p := startProxy(t, server, func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, want.status, code) })
		c := config()
		c.Endpoint = p.URL
		_, err := open(t, c).Get(t.Context(), "log/a")
		if want.hint == "" {
			wantTransient(t, code, err)
		} else {
			wantUsage(t, err, want.hint)
		}
		if err != nil && !strings.Contains(err.Error(), code) {
			t.Errorf("the error doesn't name %s: %v", code, err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, err := servers.NewCA(dir)
	must(t, err)
	certificate, err := ca.Issue("127.0.0.1")
	must(t, err)
	other, err := ca.Issue("s3.hospital.example")
	must(t, err)
	start := func(certificate servers.Certificate) s3.Config {
		server, err := servers.StartS3(t.Context(), t.TempDir(), servers.S3Options{Certificate: certificate})
		must(t, err)
		t.Cleanup(server.Kill)
		c := config()
		c.Endpoint = server.Endpoint()
		must(t, os.Mkdir(server.Folder(c.Bucket), 0o755))
		return c
	}
	get := func(c s3.Config) error {
		_, err := open(t, c).Get(t.Context(), "log/a")
		return err
	}
	right := start(certificate)
	wantUsage(t, get(right), "ca_file")
	right.CAFile = ca.File
	store := open(t, right)
	must(t, store.Put(t.Context(), "parts/a", 9*mB, pattern(9*mB)))
	wantBytes(t, store, "parts/a", patternBytes(t, 9*mB))
	facts, err := store.Inspect(t.Context())
	must(t, err)
	for _, fact := range facts {
		if fact.Name == "TLS" && fact.Value != "TLS 1.3" {
			t.Errorf("TLS is %q", fact.Value)
		}
	}
	wrong := start(other)
	wrong.CAFile = ca.File
	wantUsage(t, get(wrong), `not for "127.0.0.1"`)

	plain := config()
	plain.Endpoint = "https://" + server.Addr()
	wantUsage(t, get(plain), "scheme")

	t.Run("with the SDK's own setting", func(t *testing.T) {
		t.Setenv("AWS_CA_BUNDLE", ca.File)
		right.CAFile = ""
		wantBytes(t, open(t, right), "parts/a", patternBytes(t, 9*mB))
	})
}

// victim starts a server that the test may kill.
func victim(t *testing.T) (*servers.S3, s3.Config) {
	t.Helper()
	server, err := servers.StartS3(t.Context(), t.TempDir(), servers.S3Options{})
	must(t, err)
	t.Cleanup(server.Kill)
	c := config()
	c.Endpoint = server.Endpoint()
	must(t, server.CreateBucket(t.Context(), c.Bucket, false))
	return server, c
}

func TestAServerKilledInMidTransfer(t *testing.T) {
	server, c := victim(t)
	store := open(t, c)
	for what, put := range map[string]func() error{
		"put in one request": func() error {
			// 64 MiB are read once to be signed and once to be sent.
			body := &hooked{ReadSeeker: strings.NewReader(strings.Repeat("x", 64*mB)), after: 80 * mB, call: server.Kill}
			return store.Put(t.Context(), "parts/a", 64*mB, body)
		},
		"put in parts": func() error {
			return store.Put(t.Context(), "parts/a", 80*mB, io.MultiReader(pattern(40*mB), callback(server.Kill), pattern(40*mB)))
		},
		"publish": func() error {
			server.Kill()
			return store.Publish(t.Context(), "parts/a", []byte("x"))
		},
	} {
		wantTransient(t, what, put())
		must(t, server.Start(t.Context()))
		if _, err := store.Get(t.Context(), "parts/a"); !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("get after a killed %s: %v", what, err)
		}
	}
	must(t, store.Put(t.Context(), "parts/a", 65*mB, pattern(65*mB)))
	file, err := store.Get(t.Context(), "parts/a")
	must(t, err)
	_, err = io.CopyN(io.Discard, file, mB)
	must(t, err)
	server.Kill()
	_, err = io.Copy(io.Discard, file)
	wantTransient(t, "read", err)
	must(t, file.Close())
	_, err = store.Get(t.Context(), "parts/a")
	wantTransient(t, "get", err)
	must(t, server.Start(t.Context()))
	wantBytes(t, store, "parts/a", patternBytes(t, 65*mB))
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	for what, change := range map[string]func(*s3.Config){
		"no bucket":                func(c *s3.Config) { c.Bucket = "" },
		"a path for a bucket":      func(c *s3.Config) { c.Bucket = "a/b" },
		"an endpoint without host": func(c *s3.Config) { c.Endpoint = "minio.example" },
		"a password in the endpoint": func(c *s3.Config) {
			c.Endpoint = "https://user:" + servers.S3Root.Secret + "@minio.example"
		},
		"an unknown encryption":    func(c *s3.Config) { c.SSE = "rot13" },
		"a key for no encryption":  func(c *s3.Config) { c.KMSKey = "1" },
		"an unknown lock":          func(c *s3.Config) { c.ObjectLock = s3.ObjectLock{Mode: "STRICT", Days: 1} },
		"a lock for no time":       func(c *s3.Config) { c.ObjectLock.Mode = "GOVERNANCE" },
		"unknown checksums":        func(c *s3.Config) { c.Checksums = "md5" },
		"a prefix that leads away": func(c *s3.Config) { c.Prefix = "a/../b" },
		"an unknown profile":       func(c *s3.Config) { c.Profile = "nobody" },
		"a missing CA file":        func(c *s3.Config) { c.CAFile = "/nowhere" },
		"no region at AWS":         func(c *s3.Config) { c.Endpoint = "" },
	} {
		c := config()
		change(&c)
		_, err := s3.Open(c)
		if fault.ClassOf(err) != fault.Usage {
			t.Errorf("open with %s = %v", what, err)
		}
		if err != nil && strings.Contains(err.Error(), servers.S3Root.Secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestADeadlineIsTheCallersAndNotTheServers(t *testing.T) {
	c := config()
	c.Endpoint = "http://" + silent(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := open(t, c).Get(ctx, "log/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get = %v", err)
	}
}
