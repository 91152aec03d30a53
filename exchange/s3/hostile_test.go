package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/internal/fault"
)

// The client gives up after a few MiB on a server whose answers, to any request, never end: the SDK
// reads all but objects whole.
func TestAnAnswerWithoutEnd(t *testing.T) {
	for name, answer := range map[string]struct {
		status      int
		head, again string
	}{
		"an error":  {http.StatusNotFound, "<Error><Code>NoSuchKey</Code><Message>", strings.Repeat("x", 1<<10)},
		"a listing": {http.StatusOK, "<ListBucketResult>", "<Contents><Key>patient-events/a</Key></Contents>"},
		"a refusal": {http.StatusBadRequest, "<Error>", "<Code>a</Code>"},
	} {
		t.Run(name, func(t *testing.T) {
			var most atomic.Int64 // bytes of one answer that were sent
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(answer.status)
				sent := 0
				for _, err := io.WriteString(w, answer.head); err == nil && sent <= 64<<20; sent += len(answer.again) {
					_, err = io.WriteString(w, answer.again)
				}
				if int64(sent) > most.Load() {
					most.Store(int64(sent))
				}
			}))
			defer server.Close()
			c := config()
			c.Endpoint = server.URL
			store := open(t, c)
			var err error
			if answer.status == http.StatusOK {
				for _, failed := range store.List(t.Context(), "log") {
					err = failed
				}
			} else {
				_, err = store.Get(t.Context(), "log/a")
			}
			if fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(fmt.Sprint(err), "more than 16777216 bytes") {
				t.Errorf("%v (%v)", err, fault.ClassOf(err))
			}
			if err := store.Publish(t.Context(), "log/a", []byte("x")); err == nil && answer.status != http.StatusOK {
				t.Error("published")
			}
			store.Close()
			server.Close()
			if most.Load() > 64<<20 {
				t.Errorf("%d bytes were read", most.Load())
			}
		})
	}
}
