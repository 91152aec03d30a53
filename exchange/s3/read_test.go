package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/s3"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/lab/servers"
)

// addUser makes a user with a policy and returns c for them.
func addUser(t *testing.T, c s3.Config, name, policy string) s3.Config {
	t.Helper()
	name = fmt.Sprintf("%s-%d", name, number.Add(1))
	key, err := server.AddUser(t.Context(), name, []byte(policy))
	must(t, err)
	file := profilesOf(t, map[string]servers.S3Key{name: key})
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	c.Profile = name
	return c
}

// onlyRead grants reading the keys that begin with readable, and listing those that begin with listable.
func onlyRead(readable, listable string) string {
	return strings.NewReplacer("READABLE", readable, "LISTABLE", listable, "BUCKET", bucket).Replace(`{
		"Version": "2012-10-17",
		"Statement": [
			{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::BUCKET/READABLE*"},
			{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::BUCKET", "Condition": {"StringLike": {"s3:prefix": "LISTABLE*"}}}
		]}`)
}

func TestADenialIsUnderstood(t *testing.T) {
	c := config()
	must(t, open(t, c).Put(t.Context(), "log/there", 1, strings.NewReader("x")))
	t.Run("what may be listed and isn't there is not found", func(t *testing.T) {
		store := open(t, addUser(t, c, "lister", onlyRead("elsewhere", c.Prefix+"/")))
		for _, name := range []string{"log/missing", "log/th", "log/there/below"} {
			if _, err := store.Get(t.Context(), name); !errors.Is(err, exchange.ErrNotFound) {
				t.Errorf("get %s = %v", name, err)
			}
		}
		_, err := store.Get(t.Context(), "log/there")
		wantUsage(t, err, "s3:GetObject")
	})
	t.Run("what may not be listed is unclear", func(t *testing.T) {
		store := open(t, addUser(t, c, "blind", onlyRead("elsewhere", "elsewhere")))
		for _, name := range []string{"log/missing", "log/there"} {
			_, err := store.Get(t.Context(), name)
			wantUsage(t, err, "s3:ListBucket")
		}
	})
}

// AWS denies what is missing to those who may list a part of the bucket only; this server
// doesn't, so the proxy does.
func TestMissingObjectsThatAreDeniedAsOnAWS(t *testing.T) {
	c := config()
	store := open(t, c)
	first := true
	p := startProxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		name, ok := strings.CutPrefix(r.URL.Path, "/"+c.Bucket+"/"+c.Prefix+"/")
		if r.Method != http.MethodGet || !ok {
			return false
		}
		if name == "log/late" && first { // published between the two requests
			first = false
			must(t, store.Publish(r.Context(), name, []byte("late")))
			return refuse(w, http.StatusForbidden, "AccessDenied")
		}
		file, err := store.Get(r.Context(), name)
		if errors.Is(err, exchange.ErrNotFound) {
			return refuse(w, http.StatusForbidden, "AccessDenied")
		}
		must(t, err)
		return file.Close() != nil
	})
	c.Endpoint = p.URL
	denied := open(t, c)
	if _, err := denied.Get(t.Context(), "log/a"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
	must(t, store.Publish(t.Context(), "log/a", []byte("x")))
	wantBytes(t, denied, "log/a", []byte("x"))
	wantBytes(t, denied, "log/late", []byte("late"))
}

func TestABodyThatBreaksOffIsAnError(t *testing.T) {
	p := startProxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
		}
		return r.Method == http.MethodGet
	})
	c := config()
	c.Endpoint = p.URL
	file, err := open(t, c).Get(t.Context(), "log/a")
	must(t, err)
	defer file.Close()
	data, err := io.ReadAll(file)
	if err == nil || fault.ClassOf(err) != fault.Transient || !strings.Contains(err.Error(), c.Prefix+"/log/a") {
		t.Errorf("read %d bytes and %v", len(data), err)
	}
}

func TestFolderObjectsAreNotListed(t *testing.T) {
	c := config()
	store := open(t, c)
	put := plant(t, server, c)
	for _, name := range []string{"log/", "log/sub/", "log/a+b", "log/a"} {
		must(t, put(name, nil))
	}
	var found []string
	for name, err := range store.List(t.Context(), "log") {
		must(t, err)
		found = append(found, name)
	}
	if !slices.Equal(found, []string{"a", "sub/"}) {
		t.Errorf("listed %q", found)
	}
}

func TestTheBucketItselfCanBeTheFolder(t *testing.T) {
	c := config()
	c.Bucket, c.Prefix = fmt.Sprintf("bare-%d", number.Add(1)), ""
	must(t, server.CreateBucket(t.Context(), c.Bucket, false))
	store := open(t, c)
	must(t, store.Put(t.Context(), "log/a", 1, bytes.NewReader([]byte("x"))))
	must(t, store.Publish(t.Context(), "README.txt", []byte("x")))
	var found []string
	for name, err := range store.List(t.Context(), "") {
		must(t, err)
		found = append(found, name)
	}
	slices.Sort(found)
	if !slices.Equal(found, []string{"README.txt", "log/"}) {
		t.Errorf("listed %q", found)
	}
	if _, err := store.Inspect(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestInspectTellsWhatThereIs(t *testing.T) {
	facts := func(c s3.Config) map[string]fact.Fact {
		found, err := open(t, c).Inspect(t.Context())
		must(t, err)
		byName := map[string]fact.Fact{}
		for _, fact := range found {
			byName[fact.Name] = fact
		}
		return byName
	}
	c := config()
	c.Now = func() time.Time { return time.Now().Add(10*time.Minute + 10*time.Second) }
	found := facts(c)
	for name, want := range map[string]string{
		"endpoint":         server.Endpoint() + ", bucket in the path",
		"region":           servers.S3Region,
		"TLS":              "none",
		"checksums":        "required",
		"create-if-absent": "native",
		"versions":         "not kept",
		"object lock":      "off",
		"clock skew":       "10m",
		"credentials":      "SharedConfigCredentials",
		"lifecycle":        "not readable: NotImplemented",
	} {
		if !strings.Contains(found[name].Value, want) {
			t.Errorf("%s is %q, want %q", name, found[name].Value, want)
		}
	}
	for _, name := range []string{"TLS", "clock skew"} {
		if found[name].Advice == "" {
			t.Errorf("nothing is advised on %s", name)
		}
	}
	c.Bucket = locked
	found = facts(c)
	if found["versions"].Value != "kept" || found["object lock"].Value != "on" {
		t.Errorf("versions %q, object lock %q", found["versions"].Value, found["object lock"].Value)
	}
}
