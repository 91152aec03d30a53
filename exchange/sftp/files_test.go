package sftp_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	pkgsftp "github.com/pkg/sftp"

	"waybill/exchange"
	"waybill/exchange/sftp"
	"waybill/internal/fault"
)

// onDisk opens a store on openssh and returns its folder too.
func onDisk(t *testing.T) (store *sftp.Store, root string) {
	t.Helper()
	cfg := configOf(t, openssh)
	return open(t, cfg), filepath.Join(openssh.Files(), cfg.Root)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func list(t *testing.T, store exchange.Lister, folder string) []string {
	t.Helper()
	var names []string
	for name, err := range store.List(t.Context(), folder) {
		must(t, err)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	store, root := onDisk(t)
	put(t, store, "log/a", "x")
	must(
		t,
		os.Symlink("a", filepath.Join(root, "log", "link")),
		os.Symlink("/etc/passwd", filepath.Join(root, "log", "out")),
		syscall.Mkfifo(filepath.Join(root, "log", "pipe"), 0o666),
	)
	for _, name := range []string{"log/link", "log/out", "log/pipe"} {
		if _, err := store.Get(t.Context(), name); !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("Get(%q) = %v", name, err)
		}
	}
	if got := list(t, store, "log"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("listed %q", got)
	}
	if err := store.Publish(t.Context(), "log/out", []byte("x")); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("publish over a link = %v", err)
	}
}

func TestMissingRightsAreNotMissingFiles(t *testing.T) {
	store, root := onDisk(t)
	put(t, store, "log/a", "x")
	put(t, store, "closed/a", "x")
	must(t, os.Chmod(filepath.Join(root, "log/a"), 0), os.Chmod(filepath.Join(root, "closed"), 0))
	_, err := store.Get(t.Context(), "log/a")
	wantUsage(t, err, "let "+openssh.User()+" read")
	_, err = store.Get(t.Context(), "closed/a")
	wantUsage(t, err, "permission denied")
	wantUsage(t, store.Put(t.Context(), "closed/b", 1, strings.NewReader("x")), "permission")
	wantUsage(t, store.Publish(t.Context(), "closed/b", []byte("x")), "permission")
	for _, err = range store.List(t.Context(), "closed") {
	}
	wantUsage(t, err, "permission")
	must(t, os.Chmod(filepath.Join(root, "closed"), 0o555))
	wantUsage(t, store.Delete(t.Context(), "closed/a"), "permission")
}

func TestTheFolderAboveTheRootIsNotMade(t *testing.T) {
	cfg := configOf(t, openssh)
	above, _, _ := strings.Cut(cfg.Root, "/")
	must(t, os.Remove(filepath.Join(openssh.Files(), above)))
	store := open(t, cfg)
	wantUsage(t, store.Put(t.Context(), "log/a", 1, strings.NewReader("x")), above)
	if got := list(t, store, ""); len(got) != 0 {
		t.Errorf("listed %q", got)
	}
}

func TestTheRootMayBeAbsoluteOrTheLoginFolder(t *testing.T) {
	cfg := configOf(t, openssh)
	cfg.Root = filepath.Join(openssh.Files(), cfg.Root)
	store := open(t, cfg)
	put(t, store, "log/a", "x")
	wantText(t, store, "log/a", "x")

	server := ownSSHD(t)
	cfg = configOf(t, server)
	for i, root := range []string{"", ".", "./"} {
		cfg.Root = root
		store := open(t, cfg)
		name := string(rune('a' + i))
		put(t, store, "log/"+name, "x")
		put(t, store, name, "x")
		wantText(t, store, "log/"+name, "x")
		if got := list(t, store, ""); !slices.Contains(got, "log/") {
			t.Errorf("with the root %q the top has %q", root, got)
		}
	}
}

func TestAFolderRemovedMeanwhileIsMadeAgain(t *testing.T) {
	store, root := onDisk(t)
	for range 2 {
		put(t, store, "receipts/morgue/a", "x")
		must(t, os.RemoveAll(filepath.Join(root, "receipts")))
	}
}

func TestFailedWritesLeaveNoTemporaryFiles(t *testing.T) {
	store, root := onDisk(t)
	for _, body := range []string{"", "short", "far too long for ten bytes"} {
		if err := store.Put(t.Context(), "parts/a", 10, strings.NewReader(body)); err == nil {
			t.Errorf("put of %d bytes for 10 = nil", len(body))
		}
	}
	must(t, store.Publish(t.Context(), "parts/b", []byte("x")))
	if err := store.Publish(t.Context(), "parts/b", []byte("x")); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("published again = %v", err)
	}
	var files []string
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, filepath.Base(path))
		}
		return err
	}))
	if !slices.Equal(files, []string{"b"}) {
		t.Errorf("files: %q, want only b", files)
	}
}

func TestInspectTellsWhatHolds(t *testing.T) {
	store, _ := onDisk(t)
	for name, want := range map[string]string{
		"server": "OpenSSH", "create-if-absent": "native", "overwrite": "replaces", "durability": "fsync", "room": "MiB free",
		"folder": openssh.Files(), "encryption": " ",
	} {
		if got := factOf(t, store, name); !strings.Contains(got, want) {
			t.Errorf("%s = %q, want a word of %q", name, got, want)
		}
	}
	bare := startOwn(t, ownServer{password: secret})
	if got := factOf(t, open(t, bare.config(t)), "create-if-absent"); !strings.Contains(got, "emulated") {
		t.Errorf("create-if-absent = %q", got)
	}
}

// odd is a server that keeps files in memory. It can do things that a test can't make a disk do.
type odd struct {
	pkgsftp.Handlers
	extensions []string
	answer     func(io.ReaderAt) io.ReaderAt
	room       int64 // bytes that a file may grow to; 0 is no limit
	noLinks    bool
}

func (o odd) Fileread(r *pkgsftp.Request) (io.ReaderAt, error) {
	file, err := o.FileGet.Fileread(r)
	if err == nil && o.answer != nil {
		file = o.answer(file)
	}
	return file, err
}

func (o odd) Filewrite(r *pkgsftp.Request) (io.WriterAt, error) {
	file, err := o.FilePut.Filewrite(r)
	if err == nil && o.room > 0 {
		file = tight{file, o.room}
	}
	return file, err
}

func (o odd) Filecmd(r *pkgsftp.Request) error {
	if r.Method == "Link" && o.noLinks {
		return errors.New("the filesystem has no links")
	}
	return o.FileCmd.Filecmd(r)
}

type tight struct {
	io.WriterAt
	room int64
}

func (t tight) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > t.room {
		return 0, syscall.ENOSPC
	}
	return t.WriterAt.WriteAt(p, at)
}

func (o odd) start(t *testing.T) *sftp.Store {
	t.Helper()
	must(t, pkgsftp.SetSFTPExtensions(o.extensions...))
	t.Cleanup(func() { must(t, pkgsftp.SetSFTPExtensions()) })
	o.Handlers = pkgsftp.InMemHandler()
	handlers := pkgsftp.Handlers{FileGet: o, FilePut: o, FileCmd: o, FileList: o.FileList}
	cfg := startOwn(t, ownServer{password: secret, handlers: &handlers}).config(t)
	cfg.Root = "/patient-events"
	return open(t, cfg)
}

func TestAFullDisk(t *testing.T) {
	store := odd{room: 1 << 20}.start(t)
	err := store.Put(t.Context(), "parts/a", large, zeros(func() {}))
	wantTransient(t, "put", err)
	if !strings.Contains(fault.HintOf(err), "full disk") {
		t.Errorf("hint: %q", fault.HintOf(err))
	}
	if got := list(t, store, "parts"); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	put(t, store, "parts/b", "fits")
	wantText(t, store, "parts/b", "fits")
}

// stingy answers every request with fewer bytes than it asks for, as servers may.
type stingy struct{ io.ReaderAt }

func (s stingy) ReadAt(p []byte, at int64) (int, error) {
	return s.ReaderAt.ReadAt(p[:min(len(p), 1000)], at)
}

// shrunk ends before the size that was measured; grown continues after it.
type shrunk struct{ io.ReaderAt }

func (s shrunk) ReadAt(p []byte, at int64) (int, error) {
	if at >= 50_000 {
		return 0, io.EOF
	}
	return s.ReaderAt.ReadAt(p[:min(len(p), int(50_000-at))], at)
}

type grown struct{}

func (grown) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

func TestReadsAreWholeOrFail(t *testing.T) {
	text := strings.Repeat("0123456789", 10_000)
	few := odd{answer: func(r io.ReaderAt) io.ReaderAt { return stingy{r} }}.start(t)
	put(t, few, "parts/a", text)
	wantText(t, few, "parts/a", text)

	for name, answer := range map[string]func(io.ReaderAt) io.ReaderAt{
		"shrunk": func(r io.ReaderAt) io.ReaderAt { return shrunk{r} },
		"grown":  func(io.ReaderAt) io.ReaderAt { return grown{} },
	} {
		store := odd{answer: answer}.start(t)
		put(t, store, "parts/a", text)
		_, err := read(t.Context(), store, "parts/a")
		wantTransient(t, "reading a file that has "+name, err)
	}
}

// If a rename replaces, only the store itself can notice that the name is taken.
func TestPublishLooksFirstWhereRenameReplaces(t *testing.T) {
	store := open(t, startOwn(t, ownServer{password: secret}).config(t))
	must(t, store.Publish(t.Context(), "log/a", []byte("whole")))
	put(t, store, "parts/a", "one")
	put(t, store, "parts/a", "two") // the rename does replace
	wantText(t, store, "parts/a", "two")
	if err := store.Publish(t.Context(), "log/a", []byte("other")); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("publish again = %v, want %v", err, exchange.ErrExists)
	}
	wantText(t, store, "log/a", "whole")
	if got := list(t, store, "log"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left: %q", got)
	}
}

func TestPublishWithoutLinksHasOneWinner(t *testing.T) {
	store := odd{extensions: []string{"hardlink@openssh.com"}, noLinks: true}.start(t)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() { errs <- store.Publish(t.Context(), "log/a", []byte("whole")) }()
	}
	winners := 0
	for range cap(errs) {
		switch err := <-errs; {
		case err == nil:
			winners++
		case !errors.Is(err, exchange.ErrExists):
			t.Errorf("publish = %v", err)
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
	wantText(t, store, "log/a", "whole")
	if got := list(t, store, "log"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left: %q", got)
	}
}
