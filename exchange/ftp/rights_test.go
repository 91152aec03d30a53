package ftp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/ftp"
	"waybill/internal/fault"
)

var dropBoxes = []kind{dropBox, {name: "proftpd-upload-only", start: proftpd.start, tls: ftp.Explicit, options: dropBox.options}}

func TestAnAccountThatMayNotRename(t *testing.T) {
	for _, k := range dropBoxes {
		t.Run(k.name, func(t *testing.T) {
			server := k.launch(t, true)
			config := k.config(server)
			store := open(t, config)
			err := store.Put(t.Context(), "parts/a", 1, strings.NewReader("x"))
			wantFault(t, "put", err, fault.Usage, "?direct")
			wantFault(t, "publish", store.Publish(t.Context(), "parts/a", []byte("x")), fault.Usage, "?direct")
			if _, err := get(store, "parts/a"); !errors.Is(err, exchange.ErrNotFound) {
				t.Errorf("get after a failed put = %v", err)
			}
			for name, err := range store.List(t.Context(), "parts") {
				t.Errorf("listed: %q, %v", name, err)
			}

			config.Direct = true
			store = open(t, config)
			put(t, store, "parts/a", "x")
			wantFault(t, "delete", store.Delete(t.Context(), "parts/a"), fault.Usage, "delete")
			if data, err := get(store, "parts/a"); data != "x" || err != nil {
				t.Errorf("get = %q, %v", data, err)
			}
		})
	}
}

// Each run of a delivery that fails is another process. An account that may neither rename nor delete leaves an empty file, once.
func TestRetriesLeaveNoCopies(t *testing.T) {
	for _, k := range dropBoxes {
		t.Run(k.name, func(t *testing.T) {
			server := k.launch(t, true)
			config := k.config(server)
			for range 3 {
				store := open(t, config)
				for range 2 {
					wantFault(t, "publish", store.Publish(t.Context(), "out/a", make([]byte, mB)), fault.Usage, "?direct")
					wantFault(t, "put", store.Put(t.Context(), "out/b", mB, random(1, mB)), fault.Usage, "?direct")
				}
			}
			left := onDisk(t, filepath.Join(server.Files, config.Root))
			if len(left) != 1 {
				t.Fatalf("left on the server: %q", left)
			}
			if info, err := os.Stat(filepath.Join(server.Files, config.Root, left[0])); err != nil || info.Size() != 0 {
				t.Errorf("%s: %v, %v", left[0], info, err)
			}
		})
	}
}

// An upload that breaks off stays torn in its place, and the next one gets another name.
func TestATornDirectUploadIsPassedOver(t *testing.T) {
	for _, k := range dropBoxes {
		t.Run(k.name, func(t *testing.T) {
			config := k.config(k.launch(t, true))
			config.Direct = true
			store := open(t, config)
			const hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of "x"
			day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
			torn := "parts/event=died/date=2026-11-22/000000000001-" + hash[:16] + ".parquet"
			if err := store.Put(t.Context(), torn, 3*mB, random(1, 2*mB)); err == nil {
				t.Fatal("put of a short body = nil")
			}
			data, err := get(store, torn)
			if err != nil || len(data) >= 3*mB {
				t.Errorf("the torn file has %d bytes, %v", len(data), err)
			}
			name, err := exchange.NewWriter(store).Part(t.Context(), "died", day, 1, false, strings.NewReader("x"), 1, hash)
			if err != nil || name == torn {
				t.Fatalf("part = %q, %v", name, err)
			}
			if data, err := get(store, name); data != "x" || err != nil {
				t.Errorf("get = %q, %v", data, err)
			}
		})
	}
}

func TestAnAccountThatMayNotMakeFolders(t *testing.T) {
	for _, k := range []kind{
		{name: "vsftpd-flat", start: vsftpd.start, tls: ftp.Explicit},
		{name: "proftpd-flat", start: proftpd.start, tls: ftp.Explicit},
	} {
		t.Run(k.name, func(t *testing.T) {
			k.options.NoFolders = true
			server := k.launch(t, true)
			config := k.config(server)
			folder := makeFolder(t, server)
			config.Root = folder + "/patient-events"
			store := open(t, config)
			err := store.Put(t.Context(), "log/000000000/a", 1, strings.NewReader("x"))
			wantFault(t, "put", err, fault.Usage, "?flat")

			config.Flat = true
			store = open(t, config)
			wantListed(t, store, "")
			put(t, store, "log/000000000/a", "x")
			put(t, store, "log/000000000/b", "y")
			put(t, store, "log/c", "z")
			put(t, store, "top", "x")
			want := []string{"patient-events+log+000000000+a", "patient-events+log+000000000+b", "patient-events+log+c", "patient-events+top"}
			if got := onDisk(t, filepath.Join(server.Files, folder)); !slices.Equal(got, want) {
				t.Errorf("files on the server: %q, want %q", got, want)
			}
			wantListed(t, store, "", "log/", "top")
			wantListed(t, store, "log", "000000000/", "c")
			wantListed(t, store, "log/000000000", "a", "b")
			long := strings.Repeat("a", 150) + "/" + strings.Repeat("b", 150)
			wantFault(t, "put of a long name", store.Put(t.Context(), long, 1, strings.NewReader("x")), fault.Poison, "flat")
		})
	}
}

func TestAFolderThatIsMissingIsNamed(t *testing.T) {
	for _, k := range []kind{vsftpd, proftpd} {
		for _, flat := range []bool{false, true} {
			config := k.config(k.launch(t, true))
			config.Root, config.Flat = "nowhere/patient-events", flat
			err := open(t, config).Put(t.Context(), "log/a", 1, strings.NewReader("x"))
			wantFault(t, fmt.Sprintf("%s, flat %v: put", k.name, flat), err, fault.Usage, "/nowhere")
			wantFault(t, fmt.Sprintf("%s, flat %v: put", k.name, flat), err, fault.Usage, "URL")
		}
	}
}

func wantListed(t *testing.T, store *ftp.Store, folder string, want ...string) {
	t.Helper()
	var got []string
	for name, err := range store.List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("list %q = %q, want %q", folder, got, want)
	}
}

// A folder that the account may not read must not look empty: the log would seem to end.
func TestWhatIsClosedIsNotTakenForMissing(t *testing.T) {
	for _, k := range []kind{vsftpd, proftpd} {
		t.Run(k.name, func(t *testing.T) {
			server := k.launch(t, true)
			config := k.config(server)
			store := open(t, config)
			put(t, store, "log/sub/a", "x")
			log := filepath.Join(server.Files, config.Root, "log")
			close := func(path string) {
				if err := os.Chmod(path, 0); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Chmod(path, 0o755) })
			}
			close(filepath.Join(log, "sub", "a"))
			_, err := get(store, "log/sub/a")
			wantFault(t, "get a file without the right", err, fault.Usage, "read")
			close(log)
			for _, name := range []string{"log/a", "log/sub/a"} {
				_, err := get(store, name)
				wantFault(t, "get "+name+" from a closed folder", err, fault.Usage, "enter")
			}
			for _, folder := range []string{"log", "log/sub"} {
				var err error
				for _, err = range store.List(t.Context(), folder) {
				}
				wantFault(t, "list "+folder, err, fault.Usage, "enter")
			}
			wantFault(t, "put", store.Put(t.Context(), "log/b", 1, strings.NewReader("x")), fault.Usage, "")
		})
	}
}

// Administrators move folders to larger disks and leave links.
func TestLinksAreListedAsWhatTheyLeadTo(t *testing.T) {
	server := vsftpd.launch(t, true)
	config := vsftpd.config(server)
	store := open(t, config)
	put(t, store, "disk/a", "x")
	root := filepath.Join(server.Files, config.Root)
	for _, link := range []struct{ to, from string }{{"disk", "log"}, {"disk/a", "file"}, {"nowhere", "dangling"}} {
		if err := os.Symlink(link.to, filepath.Join(root, link.from)); err != nil {
			t.Fatal(err)
		}
	}
	wantListed(t, store, "", "disk/", "file", "log/")
	wantListed(t, store, "log", "a")
}

func TestInspect(t *testing.T) {
	for _, test := range []struct {
		kind  kind
		wants map[string]string
	}{
		{vsftpd, map[string]string{
			"server": "vsFTPd", "encryption": "explicit TLS, TLS 1.2, data connections resume", "listings": "LIST and NLST",
			"sizes": "SIZE", "data connections": "EPSV", "features": "PASV", "create-if-absent": "emulated",
		}},
		{vsftpdBare, map[string]string{"encryption": "none, because: it is a test"}},
		{proftpd, map[string]string{"server": "ProFTPD", "encryption": "explicit TLS, TLS 1.2, data connections resume", "listings": "MLSD"}},
		{proftpdTLS, map[string]string{"encryption": "implicit TLS, TLS 1.2, data connections resume"}},
	} {
		store := open(t, test.kind.config(test.kind.launch(t, true)))
		facts, err := store.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, fact := range facts {
			got[fact.Name] = fact.Value
			if bare := test.kind.tls == ftp.None; fact.Name == "encryption" && (fact.Advice != "") != bare {
				t.Errorf("%s: advice %q", test.kind.name, fact.Advice)
			}
		}
		for name, want := range test.wants {
			if !strings.Contains(got[name], want) {
				t.Errorf("%s: %s is %q, want %q", test.kind.name, name, got[name], want)
			}
		}
	}
}
