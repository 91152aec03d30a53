package hdfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/exchange"
	"waybill/exchange/hdfs"
	"waybill/internal/fault"
)

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]hdfs.Config{
		"plaintext to another host": {Addr: "namenode.example.org:9870", User: "waybill"},
		"no host":                   {User: "waybill"},
		"neither user nor token":    {Addr: "localhost:9870"},
		"a keytab of nobody":        {Addr: "localhost:9870", Keytab: "/etc/waybill/hdfs.keytab", Token: func() (string, error) { return "token", nil }},
		"a keytab and a password":   {Addr: "localhost:9870", User: "waybill", Keytab: "/etc/waybill/hdfs.keytab", Token: func() (string, error) { return "token", nil }},
		"no such certificates":      {Addr: "localhost:9871", User: "waybill", TLS: true, CAFile: "/nothing"},
	} {
		if _, err := hdfs.Open(c); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (%v)", name, err, fault.ClassOf(err))
		}
	}
}

// answering returns a store on a server that gives an answer to every request.
func answering(t *testing.T, change func(*hdfs.Config), answer http.HandlerFunc) *hdfs.Store {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c := hdfs.Config{Addr: strings.TrimPrefix(server.URL, "http://"), Root: "/exchange", User: "waybill"}
	if change != nil {
		change(&c)
	}
	return open(t, c)
}

// A host that the URL does not name gets nothing: neither a file, nor a question for one.
func TestRedirectsLeadOnlyWhereTheURLAllows(t *testing.T) {
	for _, test := range []struct {
		allowed string
		to      string
		asked   bool
	}{
		{"", "127.0.0.1", true},
		{"", "localhost", false},
		{"localhost", "localhost", true},
		{"LOCALHOST", "localhost", true},
		{"*.localhost", "localhost", false},
		{"*host", "localhost", false},
		{"*", "localhost", false},
	} {
		var asked atomic.Int64
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			fmt.Fprint(w, "whole")
		}))
		defer node.Close()
		store := answering(t, func(c *hdfs.Config) {
			if test.allowed != "" {
				c.DataNodes = []string{test.allowed}
			}
		}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(node.URL, "127.0.0.1", test.to, 1), http.StatusTemporaryRedirect)
		})
		file, err := store.Get(t.Context(), "log/a")
		if err == nil {
			file.Close()
		}
		putErr := store.Put(t.Context(), "log/a", 5, strings.NewReader("whole"))
		if test.asked {
			if err != nil || asked.Load() == 0 {
				t.Errorf("%+v: get = %v", test, err)
			}
			continue
		}
		for _, err := range []error{err, putErr} {
			if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "add localhost to datanodes") {
				t.Errorf("%+v: %v (%s)", test, err, fault.HintOf(err))
			}
		}
		if asked.Load() > 0 {
			t.Errorf("%+v: the host was asked", test)
		}
	}
}

func TestTLSIsNotLeftByARedirect(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	ca := t.TempDir() + "/ca.pem"
	writeCertificate(t, ca, server.Certificate())
	store := open(t, hdfs.Config{Addr: strings.TrimPrefix(server.URL, "https://"), User: "waybill", TLS: true, CAFile: ca})
	if _, err := store.Get(t.Context(), "log/a"); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("get = %v", err)
	}
}

// Who is to act depends on what the server says; that a file is missing only WebHDFS can say.
func TestRefusalsHaveClasses(t *testing.T) {
	for _, test := range []struct {
		status    int
		exception string
		class     fault.Class
		hint      string
	}{
		{403, "AccessControlException", fault.Usage, "let this user read"},
		{403, "StandbyException", fault.Transient, "not the active one"},
		{403, "SafeModeException", fault.Transient, "safe mode"},
		{403, "DSQuotaExceededException", fault.Transient, "quota"},
		{403, "InvalidToken", fault.Usage, "token"},
		{401, "AuthenticationException", fault.Usage, "token"},
		{400, "IllegalArgumentException", fault.Usage, "docs/hdfs.md"},
		{500, "IOException", fault.Transient, ""},
		{401, "", fault.Usage, "delegation token"},
		{403, "", fault.Usage, "proxy"},
		{404, "", fault.Usage, "port"},
		{503, "", fault.Transient, ""},
		{302, "", fault.Usage, "port"},
	} {
		store := answering(t, nil, func(w http.ResponseWriter, _ *http.Request) { refuse(w, test.status, test.exception) })
		_, err := store.Get(t.Context(), "log/a")
		if err == nil || errors.Is(err, exchange.ErrNotFound) || fault.ClassOf(err) != test.class || !strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%d %s: get = %v (%v): %s", test.status, test.exception, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
	store := answering(t, nil, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "FileNotFoundException") })
	if _, err := store.Get(t.Context(), "log/a"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
}

func refuse(w http.ResponseWriter, status int, exception string) {
	w.WriteHeader(status)
	if exception != "" {
		fmt.Fprintf(w, `{"RemoteException":{"exception":%q,"message":"refused for the test\n\tat java"}}`, exception)
	}
}

// A token or a password goes where it should, and into no error.
func TestSecretsAreSentAndNotShown(t *testing.T) {
	const secret = "Q7zSecretQ7z"
	for _, gateway := range []string{"", "/gateway/default"} {
		var got atomic.Value
		store := answering(t, func(c *hdfs.Config) {
			c.Gateway, c.Token = gateway, func() (string, error) { return secret, nil }
		}, func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			got.Store(r.URL.Path + " " + r.URL.Query().Get("delegation") + r.URL.Query().Get("user.name") + " " + user + ":" + password)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		})
		_, err := store.Get(t.Context(), "log/a")
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("get = %v", err)
		}
		want := "/webhdfs/v1/exchange/log/a " + secret + " :"
		if gateway != "" {
			want = gateway + "/webhdfs/v1/exchange/log/a  waybill:" + secret
		}
		if got.Load() != want {
			t.Errorf("the server got %q, want %q", got.Load(), want)
		}
	}
}

// A DataNode gets no password and no ticket: the redirect has what it needs.
func TestOnlyTheServerThatTheURLNamesIsLoggedInTo(t *testing.T) {
	var got atomic.Value
	node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got.Store(r.Header.Get("Authorization")) }))
	defer node.Close()
	store := answering(t, func(c *hdfs.Config) {
		c.Gateway, c.Token = "/gateway/default", func() (string, error) { return "secret", nil }
	}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, node.URL, http.StatusTemporaryRedirect)
	})
	file, err := store.Get(t.Context(), "log/a")
	must(t, err)
	file.Close()
	if got.Load() != "" {
		t.Errorf("the DataNode got %q", got.Load())
	}
}

func TestAnAnswerWithoutEnd(t *testing.T) {
	var sent atomic.Int64
	store := answering(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, `{"FileStatuses":{"FileStatus":[`)
		for entry := bytes.Repeat([]byte(`{"pathSuffix":"a","type":"FILE"},`), 1000); err == nil && sent.Load() < 1<<30; sent.Add(int64(len(entry))) {
			_, err = w.Write(entry)
		}
	})
	for _, err := range store.List(t.Context(), "log") {
		if fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
			t.Errorf("list = %v", err)
		}
	}
	if sent.Load() >= 1<<30 {
		t.Error("all of it was read")
	}
}

// On a gateway, a name is taken only once another has written the whole file.
func TestPublishWaitsForOneWhoIsStillWriting(t *testing.T) {
	for _, exception := range []string{
		`"exception":"RemoteException","message":"Failed to CREATE_FILE /exchange/log/a for DFSClient_1 because DFSClient_1 is already the current lease holder."`,
		`"exception":"AlreadyBeingCreatedException","message":"x"`, `"exception":"RecoveryInProgressException","message":"x"`,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		writing := 2 // asks later, the other is done; at -1, it never is
		store := answering(t, nil, func(w http.ResponseWriter, r *http.Request) {
			refuse := func(what string) {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, `{"RemoteException":{%s}}`, what)
			}
			switch op := r.URL.Query().Get("op"); {
			case op == "CREATE" && !r.URL.Query().Has("data"):
				http.Redirect(w, r, r.URL.String()+"&data=true", http.StatusTemporaryRedirect)
			case op == "CREATE" && strings.Contains(r.URL.Path, ".waybill-"):
				w.WriteHeader(http.StatusCreated)
			case op == "CREATE" && writing == 0:
				refuse(`"exception":"FileAlreadyExistsException"`)
			case op == "CREATE":
				if writing--; writing < -2 {
					cancel()
				}
				refuse(exception)
			case op == "GETFILESTATUS":
				fmt.Fprint(w, `{"FileStatus":{"type":"FILE","length":5}}`)
			default:
				fmt.Fprint(w, `{"boolean":false}`)
			}
		})
		if err := store.Publish(ctx, "log/a", []byte("whole")); !errors.Is(err, exchange.ErrExists) || writing != 0 {
			t.Errorf("%s: %v, with %d to come", exception, err, writing)
		}
		writing = -1
		if err := store.Publish(ctx, "log/a", []byte("whole")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: when it is cancelled: %v", exception, err)
		}
	}
}

// A call that is cancelled while it uploads removes the temporary file, under either kind of name. It tries a few times: a busy
// machine may miss the moment that it has for that.
func TestACancelledUploadLeavesNoTemporaryFile(t *testing.T) {
	for _, suffix := range []string{"", ".partial"} {
		for name, write := range map[string]func(context.Context, *hdfs.Store) error{
			"put": func(ctx context.Context, s *hdfs.Store) error {
				return s.Put(ctx, "parts/a", 5, strings.NewReader("whole"))
			},
			"publish": func(ctx context.Context, s *hdfs.Store) error { return s.Publish(ctx, "log/a", []byte("whole")) },
		} {
			var left, cancel atomic.Value
			store := answering(t, func(c *hdfs.Config) { c.Partial = suffix }, func(w http.ResponseWriter, r *http.Request) {
				switch op := r.URL.Query().Get("op"); {
				case op == "CREATE" && !r.URL.Query().Has("data"):
					http.Redirect(w, r, r.URL.String()+"&data=true", http.StatusTemporaryRedirect)
				case op == "CREATE":
					left.Store(r.URL.Path)
					cancel.Load().(context.CancelFunc)()
					w.WriteHeader(http.StatusCreated)
				case op == "DELETE":
					left.CompareAndSwap(r.URL.Path, "")
					fmt.Fprint(w, `{"boolean":true}`)
				case op == "GETFILESTATUS":
					fmt.Fprint(w, `{"FileStatus":{"type":"FILE","length":5}}`)
				default:
					fmt.Fprint(w, `{"boolean":false}`)
				}
			})
			for try := 0; try < 5 && left.Load() != ""; try++ {
				ctx, stop := context.WithCancel(t.Context())
				cancel.Store(stop)
				if err := write(ctx, store); !errors.Is(err, context.Canceled) {
					t.Errorf("%s = %v", name, err)
				}
			}
			if left.Load() != "" {
				t.Errorf("a %s that was cancelled leaves %s", name, left.Load())
			}
		}
	}
}
