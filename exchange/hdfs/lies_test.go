package hdfs_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/hdfs"
	"waybill/lab/await"
	"waybill/lab/exchangetest"
)

var update = flag.Bool("update", false, "write this package's table of docs/lies.md anew")

const (
	usual = time.Minute
	short = 2 * time.Second // with a server that never answers
)

// answer answers a request, or returns false to have the cluster do it.
type answer = func(w http.ResponseWriter, r *http.Request) bool

// between returns a store that reaches the cluster through a gateway which answers as it likes, and one on the cluster itself.
func between(t *testing.T, a answer, patience time.Duration) (liar, honest *hdfs.Store) {
	c := config(t)
	honest = open(t, c)
	nodes := map[bool]*httputil.ReverseProxy{}
	for isData, addr := range map[bool]string{false: cluster.Addr(), true: cluster.DataNodes[0].Addr()} {
		nodes[isData] = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
		nodes[isData].ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
		nodes[isData].ModifyResponse = func(answer *http.Response) error {
			if to, err := answer.Location(); err == nil && to.Host == cluster.DataNodes[0].Addr() {
				to.Host = answer.Request.Header.Get("X-Forwarded-Host")
				answer.Header.Set("Location", to.String())
			}
			return nil
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-Host", r.Host)
		if !a(w, r) {
			nodes[isData(r)].ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	c.Addr, c.Times.Idle = strings.TrimPrefix(server.URL, "http://"), patience
	return open(t, c), honest
}

// isData says that a request is for the DataNode.
func isData(r *http.Request) bool { return r.URL.Query().Has("namenoderpcaddress") }

// to has an operation answered, and the others as they are.
func to(op string, data bool, a answer) answer {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("op") == op && isData(r) == data && a(w, r)
	}
}

// olderGateway forgets what a rename must not do.
func olderGateway(_ http.ResponseWriter, r *http.Request) bool {
	query := r.URL.Query()
	query.Del("renameoptions")
	r.URL.RawQuery = query.Encode()
	return false
}

func puts(a answer, patience time.Duration) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := between(t, a, patience)
		err := liar.Put(t.Context(), "parts/a", 5, strings.NewReader("whole"))
		_, there := honest.Get(t.Context(), "parts/a")
		if err == nil || !errors.Is(there, exchange.ErrNotFound) {
			t.Errorf("put = %v, and then get = %v", err, there)
		}
		return err
	}
}

func gets(a answer, patience time.Duration) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := between(t, a, patience)
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
func publishes(a answer) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := between(t, a, usual)
		err := liar.Publish(t.Context(), "log/a", []byte("whole"))
		if !errors.Is(err, exchange.ErrExists) { // the guard tries again
			err = liar.Publish(t.Context(), "log/a", []byte("other"))
		}
		wantBytes(t, honest, "log/a", "whole")
		if !errors.Is(err, exchange.ErrExists) {
			t.Errorf("publish = %v", err)
		}
		return err
	}
}

func wantBytes(t *testing.T, s *hdfs.Store, name, want string) {
	t.Helper()
	file, err := s.Get(t.Context(), name)
	must(t, err)
	defer file.Close()
	if got, err := io.ReadAll(file); string(got) != want || err != nil {
		t.Errorf("%s is %q, %v; want %q", name, got, err, want)
	}
}

// half stores or sends a part of a file.
func half(_ http.ResponseWriter, r *http.Request) bool {
	r.Body, r.ContentLength = io.NopCloser(io.LimitReader(r.Body, 2)), 2
	return false
}

func created(w http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusCreated)
	return true
}

// doneAndLost lets the cluster do the first request of a kind, and then breaks off.
func doneAndLost() answer {
	first := true
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !first || strings.Contains(r.URL.Path, "nothing") {
			return false
		}
		first = false
		query := r.URL.Query()
		_, err := cluster.HDFS.Do(r.Context(), r.Method, query.Get("op"), strings.TrimPrefix(r.URL.Path, "/webhdfs/v1"), query)
		return err == nil && exchangetest.BreakOff(w, r)
	}
}

func lists(text string) func(*testing.T) error {
	return func(t *testing.T) error {
		liar, honest := between(t, to("LISTSTATUS", false, func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, text)
			return true
		}), usual)
		must(t, honest.Publish(t.Context(), "log/a", []byte("whole")))
		var failed error
		for name, err := range liar.List(t.Context(), "log") {
			if err == nil {
				t.Errorf("%s is listed", name)
			}
			failed = err
		}
		wantBytes(t, liar, "log/a", "whole")
		return failed
	}
}

func unlisted(t *testing.T) error {
	liar, _ := between(t, to("LISTSTATUS", false, exchangetest.Hang), short)
	for _, err := range liar.List(t.Context(), "log") {
		return err
	}
	return nil
}

func TestProofLies(t *testing.T) {
	const unstored, noPart = "nothing is under the file's name", "a part of a file is not mistaken for the file"
	const own = "the file is there, whole; its writer reads it back and knows it"
	elsewhere := func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://elsewhere.example.org/", http.StatusTemporaryRedirect)
		return true
	}
	exchangetest.Lies(t, "WebHDFS", *update, []exchangetest.Lie{
		{What: "sends half of a file", Holds: noPart, Try: gets(to("OPEN", true, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "wh")
			return true
		}), usual)},
		{What: "breaks off a download", Holds: noPart, Try: gets(to("OPEN", true, exchangetest.BreakOff), usual)},
		{What: "breaks off an upload", Holds: unstored, Try: puts(to("CREATE", true, exchangetest.BreakOff), usual)},
		{What: "stores half of an upload, and answers 201", Holds: unstored, Try: puts(to("CREATE", true, half), usual)},
		{What: "answers 201, and stores nothing", Holds: unstored, Try: puts(to("CREATE", true, created), usual)},
		{What: "renames, and breaks off", Holds: own, Try: publishes(to("RENAME", false, doneAndLost()))},
		{What: "ignores `renameoptions`", Holds: "what is there stays, which `doctor` explains", Try: publishes(to("RENAME", false, olderGateway))},
		{What: "answers 404 for what is no part of WebHDFS", Holds: "a file is missing only if HDFS says so", Try: gets(to("OPEN", false, func(w http.ResponseWriter, r *http.Request) bool {
			http.NotFound(w, r)
			return true
		}), usual)},
		{What: "answers 503 to everything", Holds: unstored, Try: puts(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, usual)},
		{What: "lists nothing of what is there", Holds: "files are opened by name: nothing depends on a listing", Try: lists(`{"FileStatuses":{"FileStatus":[]}}`)},
		{What: "breaks off a listing", Holds: "a part of a listing is not mistaken for the listing", Try: lists(`{"FileStatuses":{"FileStatus":[{"pathSuffix":"a","type":"FILE"},`)},
		{What: "answers a listing by a page of a login", Holds: "nothing is listed", Try: lists(`<html>`)},
		{What: "redirects an upload to another host", Holds: "the other host is not asked, and " + unstored, Try: puts(to("CREATE", false, elsewhere), usual)},
		{What: "redirects a download to another host", Holds: "the other host is not asked", Try: gets(to("OPEN", false, elsewhere), usual)},
		{What: "never answers CREATE", Holds: "the call ends, and " + unstored, Try: puts(to("CREATE", false, exchangetest.Hang), short)},
		{What: "never answers an upload", Holds: "the call ends, and " + unstored, Try: puts(to("CREATE", true, exchangetest.Hang), short)},
		{What: "never answers GETFILESTATUS", Holds: "the call ends, and " + unstored, Try: puts(to("GETFILESTATUS", false, exchangetest.Hang), short)},
		{What: "never answers RENAME", Holds: "the call ends, and " + unstored, Try: puts(to("RENAME", false, exchangetest.Hang), short)},
		{What: "never answers OPEN", Holds: "the call ends", Try: gets(to("OPEN", false, exchangetest.Hang), short)},
		{What: "never answers a download", Holds: "the call ends", Try: gets(to("OPEN", true, exchangetest.Hang), short)},
		{What: "never answers LISTSTATUS", Holds: "the call ends", Try: unlisted},
	})
}

// Through a gateway that ignores the options, one publisher wins, files are replaced, and none is moved over another.
func TestProofAGatewayThatIgnoresRenameOptions(t *testing.T) {
	store, _ := between(t, to("RENAME", false, olderGateway), usual)
	facts, err := store.Inspect(t.Context())
	must(t, err)
	if text := fmt.Sprint(facts); !strings.Contains(text, "by CREATE with overwrite=false: the server ignores renameoptions") {
		t.Errorf("doctor says %s", text)
	}
	won := make(chan bool)
	for i := range 8 {
		go func() { won <- store.Publish(t.Context(), "log/a", []byte{byte('a' + i)}) == nil }()
	}
	winners := 0
	for range 8 {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d publishers won", winners)
	}
	for _, text := range []string{"first", "again"} {
		must(t, store.Put(t.Context(), "parts/a", 5, strings.NewReader(text)))
		wantBytes(t, store, "parts/a", text)
	}
	if err := store.Move(t.Context(), "parts/a", "log/a"); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("move to a taken name = %v", err)
	}
	must(t, store.Put(t.Context(), "parts/folder/b", 1, strings.NewReader("b")))
	if err := store.Move(t.Context(), "parts/a", "parts/folder"); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("move to a folder = %v", err)
	}
	must(t, store.Move(t.Context(), "parts/a", "done/a"))
	wantBytes(t, store, "done/a", "again")
	if err := store.Move(t.Context(), "parts/a", "done/b"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("move of nothing = %v", err)
	}
}

// The DataNode dies in the middle of an upload and comes back: the upload fails, nothing is under its name, and the next succeeds.
func TestProofADataNodeThatDiesInAnUpload(t *testing.T) {
	store := open(t, config(t))
	const size = 64 << 20
	body := io.LimitReader(zeros{}, size)
	err := store.Put(t.Context(), "parts/a", size, io.MultiReader(io.LimitReader(body, size/2), onRead(func() { cluster.DataNodes[0].Kill() }), body))
	if err == nil {
		t.Error("the upload succeeded")
	}
	t.Log(err)
	if _, err := store.Get(t.Context(), "parts/a"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
	must(t, cluster.DataNodes[0].Start(t.Context()))
	must(t, cluster.WaitWritable(t.Context()))
	await.True(t, "an upload succeeds", func() bool { return store.Put(t.Context(), "parts/a", 5, strings.NewReader("whole")) == nil })
	wantBytes(t, store, "parts/a", "whole")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// onRead is an empty reader that calls itself when it is read.
type onRead func()

func (f onRead) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
