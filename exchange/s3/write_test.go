package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"waybill/exchange"
	"waybill/exchange/s3"
	"waybill/exchange/wire"
	"waybill/internal/fault"
	"waybill/lab/await"
)

const mB = 1 << 20

func pattern(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), size) }

func patternBytes(t *testing.T, size int64) []byte {
	t.Helper()
	data, err := io.ReadAll(pattern(size))
	must(t, err)
	return data
}

// wantBytes compares without showing either.
func wantBytes(t *testing.T, store exchange.Getter, name string, want []byte) {
	t.Helper()
	file, err := store.Get(t.Context(), name)
	must(t, err)
	defer file.Close()
	got, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes and %v, want %d others", name, len(got), err, len(want))
	}
}

func unfinished(t *testing.T, c s3.Config) int {
	t.Helper()
	out, err := server.Client().ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &c.Bucket, Prefix: &c.Prefix})
	must(t, err)
	return len(out.Uploads)
}

// wantAborted has an upload in parts fail, and nothing of it left. A busy machine may miss the moment that an upload has for that.
func wantAborted(t *testing.T, how string, fails func(*s3.Store)) {
	t.Helper()
	await.True(t, how+" leaves no unfinished upload", func() bool {
		c := config()
		fails(open(t, c))
		return unfinished(t, c) == 0
	})
}

func TestLargeBodiesGoInParts(t *testing.T) {
	c := config()
	p := startProxy(t, server, nil)
	c.Endpoint = p.URL
	store := open(t, c)
	const size = 65*mB + 1
	data := patternBytes(t, size)
	must(t, store.Put(t.Context(), "parts/a", size, bytes.NewReader(data)))
	wantBytes(t, store, "parts/a", data)
	if n := len(p.requests(http.MethodPut)); n != 9 {
		t.Errorf("sent in %d parts, want 9", n)
	}
	if n := unfinished(t, c); n > 0 {
		t.Errorf("%d unfinished uploads are left", n)
	}
}

func TestFailedUploadsInPartsAreAborted(t *testing.T) {
	const size = 66 * mB
	for what, body := range map[string]func() io.Reader{
		"a body that fails":    func() io.Reader { return io.MultiReader(pattern(30*mB), failing{}) },
		"a body too short":     func() io.Reader { return pattern(size - 1) },
		"a body too long":      func() io.Reader { return pattern(size + 1) },
		"a seeker too short":   func() io.Reader { return bytes.NewReader(make([]byte, size-1)) },
		"a short body, seeked": func() io.Reader { return bytes.NewReader(make([]byte, 3*mB)) },
	} {
		wantAborted(t, what, func(store *s3.Store) {
			if err := store.Put(t.Context(), "parts/a", size, body()); err == nil {
				t.Errorf("put of %s = nil", what)
			}
			if _, err := store.Get(t.Context(), "parts/a"); !errors.Is(err, exchange.ErrNotFound) {
				t.Errorf("get after a put of %s: %v", what, err)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestCancelledUploadsInPartsAreAborted(t *testing.T) {
	wantAborted(t, "a cancelled put", func(store *s3.Store) {
		must(t, store.Put(t.Context(), "warm/up", 0, strings.NewReader("")))
		leaks := goleak.IgnoreCurrent()
		ctx, cancel := context.WithCancel(t.Context())
		body := io.MultiReader(pattern(40*mB), callback(cancel), pattern(40*mB))
		if err := store.Put(ctx, "parts/a", 80*mB, body); !errors.Is(err, context.Canceled) {
			t.Errorf("put = %v", err)
		}
		must(t, store.Close())
		goleak.VerifyNone(t, leaks)
	})
}

type callback func()

func (f callback) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestCancellingALargeRequestReturnsSoon(t *testing.T) {
	store := open(t, config())
	ctx, cancel := context.WithCancel(t.Context())
	var at time.Time
	body := &hooked{ReadSeeker: bytes.NewReader(make([]byte, 64*mB)), after: 96 * mB, call: func() { at = time.Now(); cancel() }}
	if err := store.Put(ctx, "parts/a", 64*mB, body); !errors.Is(err, context.Canceled) {
		t.Errorf("put = %v", err)
	}
	if took := time.Since(at); at.IsZero() || took > time.Minute {
		t.Errorf("came back %v after the cancellation", took)
	}
	// After Put has returned, nobody may still read the body.
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if _, err := store.Get(t.Context(), "parts/a"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
}

// hooked calls once it has given more than after bytes, over all passes. It is not safe for
// concurrent use, which the race detector watches.
type hooked struct {
	io.ReadSeeker
	after, given int
	call         func()
}

func (h *hooked) Read(p []byte) (int, error) {
	n, err := h.ReadSeeker.Read(p)
	if h.given += n; h.given > h.after && h.call != nil {
		h.call()
		h.call = nil
	}
	return n, err
}

func TestABodyIsSentFromWhereItStands(t *testing.T) {
	store := open(t, config())
	body := strings.NewReader("headbody")
	_, err := body.Seek(4, io.SeekStart)
	must(t, err)
	must(t, store.Put(t.Context(), "parts/a", 4, body))
	wantBytes(t, store, "parts/a", []byte("body"))
}

func TestASlowUploadIsNotAnIdleConnection(t *testing.T) {
	const longest = 16 * time.Second // a machine may stand still for a while
	for idle := 250 * time.Millisecond; ; idle *= 4 {
		c := config()
		c.Times = wire.Times{Idle: idle}
		tick := time.NewTicker(idle / 25)
		body := paced{bytes.NewReader(make([]byte, mB)), tick.C, 10_000}
		err := open(t, c).Put(t.Context(), "parts/a", mB, body)
		tick.Stop()
		if err == nil {
			return
		}
		if idle == longest {
			t.Fatalf("an upload of four times the idle time: %v", err)
		}
	}
}

type paced struct {
	*bytes.Reader
	tick  <-chan time.Time
	piece int
}

func (p paced) Read(b []byte) (int, error) {
	<-p.tick
	return p.Reader.Read(b[:min(len(b), p.piece)])
}

// WriteTo hides the reader's own, which would not wait.
func (p paced) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{p}) }

func TestConflictsAreRepeated(t *testing.T) {
	var left atomic.Int64
	p := startProxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPut && left.Add(-1) >= 0 && refuse(w, http.StatusConflict, "ConditionalRequestConflict")
	})
	c := config()
	c.Endpoint = p.URL
	store := open(t, c)
	left.Store(2)
	must(t, store.Publish(t.Context(), "log/a", []byte("x")))
	wantBytes(t, store, "log/a", []byte("x"))

	left.Store(1 << 30)
	err := store.Publish(t.Context(), "log/b", []byte("x"))
	if err == nil || fault.ClassOf(err) != fault.Transient || errors.Is(err, exchange.ErrExists) {
		t.Errorf("publish among endless conflicts = %v", err)
	}
	if n := len(p.requests(http.MethodPut)); n > 3+10 {
		t.Errorf("%d attempts", n)
	}
}

func TestOtherFailuresAreNotRepeated(t *testing.T) {
	p := startProxy(t, server, func(w http.ResponseWriter, _ *http.Request) bool {
		return refuse(w, http.StatusServiceUnavailable, "SlowDown")
	})
	c := config()
	c.Endpoint = p.URL
	err := open(t, c).Publish(t.Context(), "log/a", []byte("x"))
	if fault.ClassOf(err) != fault.Transient || len(p.requests(http.MethodPut)) != 1 {
		t.Errorf("publish = %v, after %d requests", err, len(p.requests(http.MethodPut)))
	}
}

func TestAServerWithoutIfNoneMatchIsNamed(t *testing.T) {
	p := startProxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		return r.Header.Get("If-None-Match") != "" && refuse(w, http.StatusNotImplemented, "NotImplemented")
	})
	c := config()
	c.Endpoint = p.URL
	err := open(t, c).Publish(t.Context(), "log/a", []byte("x"))
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "emulate") {
		t.Errorf("publish = %v, hint %q", err, fault.HintOf(err))
	}
	c.EmulatePublish = true
	store := open(t, c)
	must(t, store.Publish(t.Context(), "log/a", []byte("x")))
	if err := store.Publish(t.Context(), "log/a", []byte("y")); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("publish again = %v", err)
	}
}

// A gateway may acknowledge an object that it has not stored, or only in part.
func TestWhatWasAcknowledgedIsConfirmed(t *testing.T) {
	for name, kept := range map[string]string{"nothing": "", "a part": "abc", "more": "abcdefg"} {
		c := config()
		p := startProxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			_, err := io.Copy(io.Discard, r.Body)
			if err == nil && kept != "" {
				err = plant(t, server, c)("parts/a", []byte(kept))
			}
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("ETag", `"0"`)
			return true
		})
		through := c
		through.Endpoint = p.URL
		if err := open(t, through).Put(t.Context(), "parts/a", 6, strings.NewReader("abcdef")); err == nil || fault.ClassOf(err) != fault.Transient {
			t.Errorf("put, of which %s is kept = %v (%s), want a transient error", name, err, fault.ClassOf(err))
		}
	}
}

func TestEncryptionIsAskedFor(t *testing.T) {
	for _, test := range []struct{ sse, key string }{{"AES256", ""}, {"aws:kms", "arn:aws:kms:eu-west-1:111122223333:key/1"}} {
		p := startProxy(t, server, nil)
		c := config()
		c.Endpoint, c.SSE, c.KMSKey = p.URL, test.sse, test.key
		store := open(t, c)
		must(t, store.Put(t.Context(), "parts/a", 1, strings.NewReader("x")))
		must(t, store.Publish(t.Context(), "log/a", []byte("x")))
		must(t, store.Put(t.Context(), "parts/b", 9*mB, pattern(9*mB)))
		asked := 0
		for _, r := range append(p.requests(http.MethodPut), p.requests(http.MethodPost)...) {
			if r.Header.Get("X-Amz-Server-Side-Encryption") == test.sse && r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") == test.key {
				asked++
			}
		}
		if asked != 3 { // of the upload in parts, its beginning alone
			t.Errorf("%s was asked for %d times, want 3", test.sse, asked)
		}
	}
}

func TestLockedObjectsStay(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	c := config()
	c.Bucket, c.ObjectLock, c.Now = locked, s3.ObjectLock{Mode: "GOVERNANCE", Days: 2}, func() time.Time { return now }
	store := open(t, c)
	must(t, store.Put(t.Context(), "parts/a", 1, strings.NewReader("x")))
	must(t, store.Put(t.Context(), "parts/b", 9*mB, pattern(9*mB)))
	must(t, store.Publish(t.Context(), "log/a", []byte("x")))
	for _, name := range []string{"parts/a", "parts/b", "log/a"} {
		key := aws.String(c.Prefix + "/" + name)
		head, err := server.Client().HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &c.Bucket, Key: key})
		must(t, err)
		if until := aws.ToTime(head.ObjectLockRetainUntilDate); head.ObjectLockMode != "GOVERNANCE" || !until.Equal(now.AddDate(0, 0, 2)) {
			t.Errorf("%s is locked by %q until %v", name, head.ObjectLockMode, until)
		}
		_, err = server.Client().DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &c.Bucket, Key: key, VersionId: head.VersionId})
		if err == nil {
			t.Errorf("%s could be deleted", name)
		}
	}
	// In a bucket without lock the error says so.
	c.Bucket = bucket
	err := open(t, c).Put(t.Context(), "parts/a", 1, strings.NewReader("x"))
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "object_lock") {
		t.Errorf("put = %v, hint %q", err, fault.HintOf(err))
	}
}

func TestAClosedStoreIsOfNoUse(t *testing.T) {
	store := open(t, config())
	must(t, store.Close())
	_, getErr := store.Get(t.Context(), "log/a")
	for what, err := range map[string]error{
		"get":     getErr,
		"put":     store.Put(t.Context(), "log/a", 0, strings.NewReader("")),
		"publish": store.Publish(t.Context(), "log/a", nil),
		"delete":  store.Delete(t.Context(), "log/a"),
	} {
		if err == nil || !strings.Contains(fmt.Sprint(err), "closed") {
			t.Errorf("%s = %v", what, err)
		}
	}
}

// A server may refuse before it has read the body; after that nobody may read it.
func TestABodyIsItsOwnersAgainAfterARefusal(t *testing.T) {
	p := startProxy(t, server, func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusForbidden, "AccessDenied")
		w.(http.Flusher).Flush()
		return true
	})
	c := config()
	c.Endpoint = p.URL
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	body := &hooked{ReadSeeker: paced{bytes.NewReader(make([]byte, mB)), tick.C, 50_000}}
	if err := open(t, c).Put(t.Context(), "parts/a", mB, body); err == nil {
		t.Error("put = nil")
	}
	given := body.given
	for range 5 {
		<-tick.C
	}
	if given == 2*mB || body.given != given {
		t.Errorf("%d bytes were read during the call and %d later", given, body.given-given)
	}
}
