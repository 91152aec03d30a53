package s3_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"waybill/exchange"
	"waybill/exchange/s3"
	"waybill/lab/exchangetest"
)

var update = flag.Bool("update", false, "write this package's table of docs/lies.md anew")

type answer = func(http.ResponseWriter, *http.Request) bool

const (
	usual = time.Minute
	short = 500 * time.Millisecond // with a server that never answers
)

// lied returns a store on a server that answers as it likes, and one on the server itself.
func lied(t *testing.T, a answer, patience time.Duration, change func(*s3.Config)) (liar, honest *s3.Store) {
	c := config()
	honest = open(t, c)
	c.Endpoint, c.Times.Idle = startProxy(t, server, a).URL, patience
	change(&c)
	return open(t, c), honest
}

func asItIs(*s3.Config) {}

// to has a method's requests for objects answered, and the others as they are.
func to(method string, a answer) answer {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == method && strings.Contains(r.URL.Path, "/patient-events/") && a(w, r)
	}
}

// kept stores every object and ignores conditions.
func kept(t *testing.T, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	must(t, err)
	key := strings.TrimPrefix(r.URL.Path, "/"+bucket+"/")
	_, err = server.Client().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(data)})
	must(t, err)
}

// puts has a liar given a file, which must not count as stored.
func puts(a answer, patience time.Duration) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := lied(t, to(http.MethodPut, a), patience, asItIs)
		err := liar.Put(t.Context(), "parts/a", 5, strings.NewReader("whole"))
		_, there := honest.Get(t.Context(), "parts/a")
		if err == nil || !errors.Is(there, exchange.ErrNotFound) {
			t.Errorf("put = %v, and then get = %v", err, there)
		}
		return err
	}
}

// gets asks a liar for an object, which must not be had.
func gets(a answer, patience time.Duration) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := lied(t, to(http.MethodGet, a), patience, asItIs)
		must(t, honest.Publish(t.Context(), "log/a", []byte("whole")))
		file, err := liar.Get(t.Context(), "log/a")
		if err == nil {
			_, err = io.ReadAll(file)
			file.Close()
		}
		if err == nil || errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("get = %v", err)
		}
		return err
	}
}

// publishes wants a file to be there, whole, and its writer to look.
func publishes(a answer, change func(*s3.Config)) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := lied(t, to(http.MethodPut, a), usual, change)
		err := liar.Publish(t.Context(), "log/a", []byte("whole"))
		if err == nil { // the server heeds no condition
			err = liar.Publish(t.Context(), "log/a", []byte("other"))
		}
		wantBytes(t, honest, "log/a", []byte("whole"))
		if !errors.Is(err, exchange.ErrExists) {
			t.Errorf("publish = %v", err)
		}
		return err
	}
}

func storm(w http.ResponseWriter, _ *http.Request) bool {
	return refuse(w, http.StatusServiceUnavailable, "SlowDown")
}

func half(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Length", "5")
	_, _ = io.WriteString(w, "wh")
	return true
}

func nothing(http.ResponseWriter, *http.Request) bool { return true }

// stalely lists nothing, although there are objects.
func stalely(t *testing.T) error {
	liar, _ := lied(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("list-type") == "" {
			return false
		}
		fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>`)
		return true
	}, usual, asItIs)
	must(t, liar.Publish(t.Context(), "log/a", []byte("whole")))
	for name := range liar.List(t.Context(), "log") {
		t.Errorf("%s is listed", name)
	}
	wantBytes(t, liar, "log/a", []byte("whole"))
	return nil
}

func unlisted(t *testing.T) error {
	liar, _ := lied(t, func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Has("list-type") && exchangetest.Hang(w, r)
	}, short, asItIs)
	for _, err := range liar.List(t.Context(), "log") {
		return err
	}
	return nil
}

func deniedWhereMissing(t *testing.T) error {
	liar, _ := lied(t, to(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) bool {
		return refuse(w, http.StatusForbidden, "AccessDenied")
	}), usual, asItIs)
	_, err := liar.Get(t.Context(), "log/a")
	if !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
	return err
}

func shorter(t *testing.T) error {
	liar, _ := lied(t, to(http.MethodHead, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "3")
		return true
	}), usual, asItIs)
	err := liar.Put(t.Context(), "parts/a", 5, strings.NewReader("whole"))
	if err == nil {
		t.Error("put = nil")
	}
	return err
}

func redirected(t *testing.T) error {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	err := puts(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}, usual)(t)
	if asked.Load() > 0 {
		t.Error("the other server was asked")
	}
	return err
}

func TestProofLies(t *testing.T) {
	conflicts := func(t *testing.T) error {
		first := true
		return publishes(func(w http.ResponseWriter, r *http.Request) bool {
			if !first {
				return false
			}
			first = false
			kept(t, r)
			return refuse(w, http.StatusConflict, "ConditionalRequestConflict")
		}, asItIs)(t)
	}
	const own, unstored, noPart = "the file is there, whole; its writer reads it back and knows it", "the file does not count as stored", "a part of a file is not mistaken for the file"
	exchangetest.Lies(t, "S3", *update, []exchangetest.Lie{
		{What: "sends half of an object", Holds: noPart, Try: gets(half, usual)},
		{What: "breaks off a download", Holds: noPart, Try: gets(exchangetest.BreakOff, usual)},
		{What: "breaks off an upload", Holds: unstored, Try: puts(exchangetest.BreakOff, usual)},
		{What: "answers 200 to a PUT, and stores nothing", Holds: unstored, Try: puts(nothing, usual)},
		{What: "stores less than was sent", Holds: unstored, Try: shorter},
		{What: "answers 412 to a PUT that succeeded", Holds: own, Try: func(t *testing.T) error {
			return publishes(func(w http.ResponseWriter, r *http.Request) bool {
				kept(t, r)
				return refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			}, asItIs)(t)
		}},
		{What: "answers 409 to a PUT that succeeded", Holds: own, Try: conflicts},
		{What: "ignores `If-None-Match`", Holds: "with `?emulate_publish`, which `doctor` names: what is there stays", Try: func(t *testing.T) error {
			return publishes(func(_ http.ResponseWriter, r *http.Request) bool {
				kept(t, r)
				return true
			}, func(c *s3.Config) { c.EmulatePublish = true })(t)
		}},
		{What: "answers 503 to everything", Holds: unstored, Try: puts(storm, usual)},
		{What: "lists nothing of what is there", Holds: "files are opened by name: nothing depends on a listing", Try: stalely},
		{What: "answers 403 for a key that is missing", Holds: "it is missing: the key is looked for by listing", Try: deniedWhereMissing},
		{What: "redirects to another server", Holds: "the other server is not asked", Try: redirected},
		{What: "never answers a PUT", Holds: "the call ends, and " + unstored, Try: puts(exchangetest.Hang, short)},
		{What: "never answers a GET", Holds: "the call ends", Try: gets(exchangetest.Hang, short)},
		{What: "never answers a listing", Holds: "the call ends", Try: unlisted},
	})
}
