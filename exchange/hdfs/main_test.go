package hdfs_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/doctor"
	"waybill/exchange"
	"waybill/exchange/hdfs"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

var (
	cluster struct {
		sync.Once
		*servers.HDFS
		dir string
		err error
	}
	number atomic.Int64
)

// TestMain ends the cluster that the proofs share.
func TestMain(m *testing.M) {
	code := m.Run()
	if cluster.HDFS != nil {
		cluster.Kill()
	}
	os.RemoveAll(cluster.dir)
	os.Exit(code)
}

func start() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if cluster.dir, cluster.err = os.MkdirTemp("", "waybill-hdfs-"); cluster.err == nil {
		cluster.HDFS, cluster.err = servers.StartHDFS(ctx, cluster.dir, servers.HDFSOptions{})
	}
}

// config returns that of an empty store on the cluster that all proofs share.
func config(t *testing.T) hdfs.Config {
	t.Helper()
	cluster.Once.Do(start)
	must(t, cluster.err)
	return configAt(t, cluster.HDFS, cluster.Server)
}

func configAt(t *testing.T, h *servers.HDFS, server *servers.Server) hdfs.Config {
	t.Helper()
	root := fmt.Sprintf("/exchanges/site %d", number.Add(1))
	must(t, h.MakeFolder(t.Context(), root))
	return hdfs.Config{Addr: server.Addr(), Root: root + "/patient-events", User: servers.HDFSUser}
}

func open(t *testing.T, c hdfs.Config) *hdfs.Store {
	t.Helper()
	store, err := hdfs.Open(c)
	must(t, err)
	t.Cleanup(func() { store.Close() })
	return store
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plant makes files as another user does.
func plant(t *testing.T, c hdfs.Config) func(string, []byte) error {
	return func(name string, data []byte) error {
		query := url.Values{"op": {"CREATE"}, "user.name": {servers.HDFSUser}, "permission": {"644"}}
		u := url.URL{Scheme: "http", Host: c.Addr, Path: "/webhdfs/v1" + c.Root + "/" + name, RawQuery: query.Encode()}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, u.String(), strings.NewReader(string(data)))
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusCreated && !strings.Contains(name, ":") { // which HDFS refuses
			return fmt.Errorf("planting %q was answered by %d", name, answer.StatusCode)
		}
		return nil
	}
}

func TestProofConformance(t *testing.T) {
	exchangetest.Run(t, exchangetest.Capabilities{NativePublish: true, Overwrites: true, Slow: true}, func(t *testing.T) exchangetest.Place {
		c := config(t)
		return place(t, cluster.HDFS, c)
	})
}

// place is a store whose files are changed at the NameNode.
func place(t *testing.T, h *servers.HDFS, c hdfs.Config) exchangetest.Place {
	store := open(t, c)
	c.Addr = h.Addr()
	return exchangetest.Place{
		Store: store,
		Plant: plant(t, c),
		Close: func(name string) error {
			if err := h.Set(t.Context(), c.Root+"/"+name, "SETPERMISSION", "permission", "000"); err != nil {
				return err
			}
			return h.Set(t.Context(), c.Root+"/"+name, "SETOWNER", "owner", "hdfs")
		},
	}
}

func writeCertificate(t *testing.T, file string, c *x509.Certificate) {
	t.Helper()
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600))
}

// A consumer needs the right to write only where its receipts are.
func TestProofAConsumerWritesWhereItMay(t *testing.T) {
	c := config(t)
	must(t, open(t, c).Publish(t.Context(), "log/a", []byte("whole")))
	must(t, cluster.Set(t.Context(), c.Root+"/receipts/morgue@main", "MKDIRS", "permission", "755"))
	must(t, cluster.Set(t.Context(), c.Root+"/receipts/morgue@main", "SETOWNER", "owner", "morgue"))
	c.User = "morgue"
	store := open(t, c)
	wantBytes(t, store, "log/a", "whole")
	must(t, store.Publish(t.Context(), "receipts/morgue@main/000000000/a", []byte("x")))
	if err := store.Publish(t.Context(), "log/b", []byte("x")); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "let this user read") {
		t.Errorf("publish where it may not = %v (%v, %s)", err, fault.ClassOf(err), fault.HintOf(err))
	}
}

func TestProofDoctorFindsNothingWrong(t *testing.T) {
	store := open(t, config(t))
	var native bool
	for _, f := range doctor.Probe(t.Context(), store, doctor.Exporter, "doctor/1") {
		t.Logf("%+v", f)
		native = native || f.Name == "create-if-absent" && strings.HasPrefix(f.Value, "native")
		if f.Fails {
			t.Errorf("%s fails: %s", f.Name, f.Value)
		}
	}
	if !native {
		t.Error("create-if-absent is not called native")
	}
}

func TestProofANextManifestThatIsMissingCostsOneRequest(t *testing.T) {
	c := config(t)
	exchangetest.AskedForNothing(t, c.Addr, 1, func(addr string) exchange.Store {
		c.Addr = addr
		return open(t, c)
	})
}
