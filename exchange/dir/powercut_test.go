package dir_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/exchange/dir"
)

// disk remembers what would outlast a power cut: of each file the bytes that it had when it was
// last synced, of each folder the entries that it had then. Both go by inode.
type disk struct {
	*testing.T
	above   string // the folder that the store lies in, which the site has made durable
	mu      sync.Mutex
	files   map[uint64]string
	folders map[uint64]map[string]uint64
	orderly bool // no name may be given to bytes that aren't safe
}

func newDisk(t *testing.T) *disk {
	return &disk{T: t, above: t.TempDir(), files: map[uint64]string{}, folders: map[uint64]map[string]uint64{}, orderly: true}
}

func (d *disk) root() string { return filepath.Join(d.above, "patient-events") }

// open returns a store on the disk, as a process that has just started opens it.
func (d *disk) open() *dir.Store { return dir.SyncingBy(openIn(d.T, d.root()), d.sync) }

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func (d *disk) sync(file *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orderly {
		d.everyNameIsOfSafeBytes()
	}
	kept, err := os.Open(file.Name())
	if err != nil {
		return err
	}
	d.Cleanup(func() { kept.Close() }) // open till then, so that its inode is not used again
	info, err := kept.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return d.syncFolder(inode(info), kept)
	}
	data, err := io.ReadAll(kept)
	d.files[inode(info)] = string(data)
	return err
}

func (d *disk) syncFolder(at uint64, folder *os.File) error {
	entries, err := folder.ReadDir(-1)
	now := map[string]uint64{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		now[entry.Name()] = inode(info)
	}
	d.folders[at] = now
	return err
}

// everyNameIsOfSafeBytes fails the test for a file that has got its name before its bytes were
// synced: a filesystem may keep the name and lose the bytes.
func (d *disk) everyNameIsOfSafeBytes() {
	for name, data := range d.present() {
		info, err := os.Stat(filepath.Join(d.root(), name))
		if err != nil {
			d.Error(err)
		} else if d.files[inode(info)] != data {
			d.Errorf("%s has its name, and its bytes aren't safe yet", name)
		}
	}
}

// present returns the files there are, temporary ones left out.
func (d *disk) present() map[string]string {
	found := map[string]string{}
	err := filepath.WalkDir(d.root(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(d.root(), path)
		found[name] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Error(err)
	}
	return found
}

// afterPowerCut returns the files that would be there.
func (d *disk) afterPowerCut() map[string]string {
	d.Helper()
	info, err := os.Stat(d.above)
	if err != nil {
		d.Fatal(err)
	}
	found := map[string]string{}
	if root, known := d.folders[inode(info)]["patient-events"]; known {
		d.collect(root, "", found)
	}
	return found
}

func (d *disk) collect(folder uint64, path string, found map[string]string) {
	for name, at := range d.folders[folder] {
		path := filepath.Join(path, name)
		if data, isFile := d.files[at]; isFile {
			found[path] = data
		} else {
			d.collect(at, path, found)
		}
	}
}

func (d *disk) want(after string, want map[string]string) {
	d.Helper()
	if diff := cmp.Diff(want, d.afterPowerCut()); diff != "" {
		d.Errorf("after %s a power cut leaves (-want +got):\n%s", after, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a call has reported as done is there after a power cut, in folders that were made for it
// and in those that were there.
func TestWhatIsDoneOutlastsAPowerCut(t *testing.T) {
	for name, change := range map[string]func(*dir.Store) *dir.Store{
		"as it is":      func(s *dir.Store) *dir.Store { return s },
		"without links": dir.WithoutLinks,
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(t)
			disk.orderly = name == "as it is"
			store := change(disk.open())
			want := map[string]string{}
			put := func(name, text string) {
				want[name] = text
				must(t, store.Put(t.Context(), name, int64(len(text)), strings.NewReader(text)))
				disk.want("putting "+name, want)
			}
			put("parts/event=died/a", "first")
			put("parts/event=died/b", "second")
			put("parts/event=died/a", "first again")
			want["log/000/1"] = "manifest"
			must(t, store.Publish(t.Context(), "log/000/1", []byte("manifest")))
			disk.want("publishing", want)
			delete(want, "parts/event=died/b")
			must(t, store.Delete(t.Context(), "parts/event=died/b"))
			disk.want("deleting", want)
		})
	}
}

// A process that died may have left files and folders that nobody synced. Who relies on them makes
// them safe.
func TestWhatADeadProcessLeftIsMadeSafe(t *testing.T) {
	disk := newDisk(t)
	disk.orderly = false // it was not
	left := map[string]string{"log/000/1": "theirs", "log/000/2": "nobody's"}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		path := filepath.Join(disk.root(), name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.WriteFile(path, []byte(left[name]), 0o666))
	}
	if err := disk.open().Publish(t.Context(), "log/000/1", []byte("ours")); !errors.Is(err, exchange.ErrExists) {
		t.Fatalf("%v, want %v", err, exchange.ErrExists)
	}
	if got := disk.afterPowerCut()["log/000/1"]; got != "theirs" {
		t.Errorf("after a power cut the file found in place reads %q, want %q", got, "theirs")
	}
}
