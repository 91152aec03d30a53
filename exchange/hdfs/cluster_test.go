package hdfs_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/exchange/guard"
	"waybill/exchange/hdfs"
	"waybill/exchange/store"
	"waybill/internal/fault"
	"waybill/lab/servers"
)

// startOwn starts a cluster for one test.
func startOwn(t *testing.T, options servers.HDFSOptions) *servers.HDFS {
	t.Helper()
	dir, err := os.MkdirTemp("", "waybill-hdfs-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	own, err := servers.StartHDFS(t.Context(), dir, options)
	must(t, err)
	t.Cleanup(own.Kill)
	must(t, own.MakeFolder(t.Context(), "/exchange"))
	return own
}

// Each file is on two DataNodes. One of them dies in the middle of an upload: that which gets it, or that which it is passed on to. The
// upload is tried again, and so is what follows, because the NameNode still sends clients to the dead one.
func TestProofOneOfTwoDataNodesDies(t *testing.T) {
	own := startOwn(t, servers.HDFSOptions{DataNodes: 2})
	place, err := store.Open(store.Config{URL: "hdfs://" + servers.HDFSUser + "@" + own.Addr() + "/exchange", Policy: guard.Policy{Attempts: 50, Failures: 100, Longest: time.Second}}) // one in two goes to the dead
	must(t, err)
	t.Cleanup(func() { place.Close() })
	data := bytes.Repeat([]byte("a part of patients' events\n"), 1<<20)
	must(t, place.Put(t.Context(), "parts/a", int64(len(data)), &inTheMiddle{bytes.NewReader(data), sync.OnceFunc(own.DataNodes[0].Kill)}))
	must(t, place.Publish(t.Context(), "log/a", []byte("whole")))
	file, err := place.Get(t.Context(), "parts/a")
	must(t, err)
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(data))
	}
}

// inTheMiddle is a body in whose middle something happens.
type inTheMiddle struct {
	*bytes.Reader
	do func()
}

func (r *inTheMiddle) Read(p []byte) (int, error) {
	if int64(r.Len()) < r.Size()/2 {
		r.do()
	}
	return r.Reader.Read(p)
}

// With TLS all is encrypted, what the DataNodes send and get, too.
func TestProofOverTLS(t *testing.T) {
	own := startOwn(t, servers.HDFSOptions{TLS: true})
	c := hdfs.Config{Addr: own.Addr(), Root: "/exchange", User: servers.HDFSUser, TLS: true, CAFile: own.CAFile()}
	writeAndRead(t, open(t, c))
	c.CAFile = ""
	if _, err := open(t, c).Get(t.Context(), "log/a"); fault.ClassOf(err) != fault.Usage {
		t.Errorf("with a certificate that nobody trusts: %v (%v)", err, fault.ClassOf(err))
	}
}

func writeAndRead(t *testing.T, s *hdfs.Store) {
	t.Helper()
	must(t, s.Put(t.Context(), "parts/a", 3<<20, io.LimitReader(zeros{}, 3<<20)))
	must(t, s.Publish(t.Context(), "log/a", []byte("whole")))
	if err := s.Publish(t.Context(), "log/a", []byte("other")); err == nil {
		t.Error("another file was published over it")
	}
	wantBytes(t, s, "log/a", "whole")
	wantBytes(t, s, "parts/a", strings.Repeat("\x00", 3<<20))
	var names []string
	for name, err := range s.List(t.Context(), "") {
		must(t, err)
		names = append(names, name)
	}
	if strings.Join(names, " ") != "log/ parts/" {
		t.Errorf("listed: %v", names)
	}
	must(t, s.Delete(t.Context(), "parts/a"))
}
