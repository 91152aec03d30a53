package sftp_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/servers"
)

// forbidding starts an sshd that refuses requests.
func forbidding(t *testing.T, requests string) *servers.SFTP {
	t.Helper()
	dir, err := serverFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := servers.StartSFTP(t.Context(), dir, servers.SFTPOptions{
		Settings: []string{"ForceCommand internal-sftp -P " + requests + " -d " + filepath.Join(dir, "files")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

// Each run of a delivery is another process. What an account may not do leaves no whole copy of a file under another name.
func TestWhatAnAccountMayNotDoLeavesNoCopies(t *testing.T) {
	for _, test := range []struct {
		forbidden string
		puts      bool
		left      []string // empty files
	}{
		{"rename,posix-rename", false, nil},
		{"remove", true, []string{"out/.waybill-renamed.tmp"}},
		{"rename,posix-rename,remove", false, []string{"out/.waybill-before.tmp"}},
		{"rename,posix-rename,hardlink,remove", false, []string{"out/.waybill-before.tmp"}},
	} {
		t.Run(test.forbidden, func(t *testing.T) {
			server := forbidding(t, test.forbidden)
			cfg := configOf(t, server)
			want := slices.Clone(test.left)
			for i := range 3 {
				store := open(t, cfg)
				name := "out/published" + strings.Repeat("x", i)
				if err := store.Publish(t.Context(), name, []byte("whole")); err != nil {
					t.Fatal(err)
				}
				if err := store.Publish(t.Context(), name, []byte("other")); !errors.Is(err, exchange.ErrExists) {
					t.Errorf("publish over a file = %v", err)
				}
				want = append(want, name)
				err := store.Put(t.Context(), "out/put", 1<<20, bytes.NewReader(make([]byte, 1<<20)))
				if test.puts && err != nil || !test.puts && fault.ClassOf(err) != fault.Usage {
					t.Errorf("put = %v (%v)", err, fault.ClassOf(err))
				}
			}
			if test.puts {
				want = append(want, "out/put")
			}
			slices.Sort(want)
			if got := filesOn(t, filepath.Join(server.Files(), cfg.Root), test.left); !slices.Equal(got, want) {
				t.Errorf("on the server: %q, want %q", got, want)
			}
		})
	}
}

// filesOn returns all files below a folder of the server. Those that are to be empty are.
func filesOn(t *testing.T, folder string, empty []string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		files = append(files, name)
		if info, err := entry.Info(); err != nil || slices.Contains(empty, name) != (info.Size() == 0) {
			t.Errorf("%s has another size, %v", name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
