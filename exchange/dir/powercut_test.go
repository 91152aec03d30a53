package dir_test

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"waybill/exchange"
	"waybill/exchange/dir"
)

// A short run by default: -rapid.checks asks for more.
func TestMain(m *testing.M) {
	if err := errors.Join(flag.Set("rapid.checks", "20"), flag.Set("rapid.shrinktime", "2s")); err != nil {
		panic(err)
	}
	m.Run()
}

// disk is a filesystem that remembers what was synced: of each file its bytes, of each folder its entries, both by
// inode. Of everything else a power cut keeps what it likes.
type disk struct {
	*rapid.T
	above   string // the folder that the store lies in, which the site has made durable
	files   map[uint64]string
	folders map[uint64]map[string]uint64
	open    []*os.File // until the history ends, so that no inode is used again
	chance  *rand.Rand

	// may is what each name may read after a power cut: "" stands for no file. A call that has reported success leaves one.
	may    map[string][]string
	linked bool // names are given to whole files; otherwise only what was reported counts
	dies   int  // the process dies at this sync, counted down; 0: it does not
}

const storeName = "patient-events"

func newDisk(t *rapid.T, linked bool) *disk {
	above, err := os.MkdirTemp("", "disk-")
	if err != nil {
		t.Fatal(err)
	}
	return &disk{
		T: t, above: above, files: map[uint64]string{}, folders: map[uint64]map[string]uint64{}, may: map[string][]string{}, linked: linked,
		chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chance"), 0)),
	}
}

func (d *disk) end() {
	for _, file := range d.open {
		file.Close()
	}
	os.RemoveAll(d.above)
}

// start returns a store on the disk, as a process that has just started opens it.
func (d *disk) start(t *testing.T) *dir.Store {
	store := dir.SyncingBy(openIn(t, filepath.Join(d.above, storeName)), d.sync)
	if !d.linked {
		store = dir.WithoutLinks(store)
	}
	return store
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

var errDied = errors.New("the process died")

func (d *disk) sync(file *os.File) error {
	d.cut()
	if d.dies == 1 {
		panic(errDied)
	}
	d.dies = max(0, d.dies-1)
	d.keep(file.Name())
	return nil
}

// keep makes a file, or a folder's entries, safe. A folder among these stays one when it is removed, with what it has
// synced itself.
func (d *disk) keep(name string) {
	at, n := d.hold(name)
	if n.entries == nil {
		d.files[at] = n.data
		return
	}
	d.folders[at] = n.entries
	for entry := range n.entries {
		if inner, of := d.hold(filepath.Join(name, entry)); of.entries != nil && d.folders[inner] == nil {
			d.folders[inner] = map[string]uint64{}
		}
	}
}

// hold returns a file or folder, and keeps its inode from being used again when it is gone.
func (d *disk) hold(name string) (at uint64, n node) {
	file, err := os.Open(name)
	if err != nil {
		d.Fatal(err)
	}
	d.open = append(d.open, file)
	return d.look(name)
}

// node is a file or folder as it is now.
type node struct {
	data    string
	entries map[string]uint64 // nil: a file
}

func (d *disk) look(name string) (at uint64, n node) {
	info, err := os.Stat(name)
	if err != nil {
		d.Fatal(err)
	}
	if !info.IsDir() {
		data, err := os.ReadFile(name)
		if err != nil {
			d.Fatal(err)
		}
		return inode(info), node{data: string(data)}
	}
	entries, err := os.ReadDir(name)
	n.entries = map[string]uint64{}
	for _, entry := range entries {
		info, infoErr := entry.Info()
		if err = errors.Join(err, infoErr); err != nil {
			d.Fatal(err)
		}
		n.entries[entry.Name()] = inode(info)
	}
	return inode(info), n
}

// now returns everything that exists, by inode, and the inode of the folder that the store lies in.
func (d *disk) now() (all map[uint64]node, top uint64) {
	all = map[uint64]node{}
	err := filepath.WalkDir(d.above, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			at, n := d.look(name)
			all[at] = n
		}
		return err
	})
	info, statErr := os.Stat(d.above)
	if err = errors.Join(err, statErr); err != nil {
		d.Fatal(err)
	}
	return all, inode(info)
}

// cuts is how many power cuts are tried at one moment.
const cuts = 8

// cut tries power cuts at this moment, and checks what each leaves.
func (d *disk) cut() {
	all, top := d.now()
	for range cuts {
		d.check(d.survivors(all, top))
	}
}

// survivors returns the files that a power cut leaves. Of what was not synced it keeps a random subset: entries of
// folders, each by itself, and of a file all its bytes, some or none.
func (d *disk) survivors(all map[uint64]node, top uint64) map[string]string {
	found := map[string]string{}
	var walk func(at uint64, folder string)
	walk = func(at uint64, folder string) {
		safe, now := d.folders[at], all[at].entries
		names := slices.Collect(maps.Keys(safe))
		for name := range now {
			if _, known := safe[name]; !known {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			entry, kept := safe[name]
			if other, exists := now[name]; other != entry && (at == top || d.chance.IntN(2) == 0) {
				entry, kept = other, exists
			}
			full := path.Join(folder, name)
			switch n, exists := all[entry]; {
			case !kept:
			case d.folders[entry] != nil || n.entries != nil:
				walk(entry, full)
			default:
				found[full] = d.bytes(entry, n, exists)
			}
		}
	}
	walk(top, "")
	return found
}

func (d *disk) bytes(at uint64, n node, exists bool) string {
	if data, safe := d.files[at]; safe && (!exists || data == n.data || d.chance.IntN(2) == 0) {
		return data
	}
	return n.data[:d.chance.IntN(len(n.data)+1)]
}

// published leaves out the files that are only being written.
func published(files map[string]string) map[string]string {
	found := map[string]string{}
	for name, data := range files {
		if !strings.HasPrefix(path.Base(name), ".") {
			found[strings.TrimPrefix(name, storeName+"/")] = data
		}
	}
	return found
}

func (d *disk) check(left map[string]string) {
	found := published(left)
	for _, name := range slices.Sorted(maps.Keys(d.may)) {
		if may := d.may[name]; (d.linked || len(may) == 1) && !slices.Contains(may, found[name]) {
			d.Fatalf("after a power cut %s reads %q, and may read %q", name, found[name], may)
		}
	}
	for name := range found {
		if d.may[name] == nil {
			d.Fatalf("a power cut makes a file %s", name)
		}
	}
}

// powerFails leaves a random subset of what was not synced, which is what the next process finds.
func (d *disk) powerFails() {
	all, top := d.now()
	left := d.survivors(all, top)
	d.check(left)
	if err := os.RemoveAll(filepath.Join(d.above, storeName)); err != nil {
		d.Fatal(err)
	}
	clear(d.files)
	clear(d.folders)
	for _, name := range slices.Sorted(maps.Keys(left)) {
		full := filepath.Join(d.above, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o777), os.WriteFile(full, []byte(left[name]), 0o666)); err != nil {
			d.Fatal(err)
		}
		for d.keep(full); full != d.above; d.keep(full) {
			full = filepath.Dir(full)
		}
	}
	found := published(left)
	for name := range d.may {
		d.may[name] = []string{found[name]}
	}
}

// call makes a call that may change what a name reads. It reports whether the process lives on.
func (d *disk) call(name, after string, do func() error) (lives bool) {
	defer func() {
		d.dies = 0
		if r := recover(); r != nil {
			if err, failed := r.(error); !failed || !errors.Is(err, errDied) {
				panic(r)
			}
			lives = false
		}
	}()
	if d.may[name] == nil {
		d.may[name] = []string{""}
	}
	if !slices.Contains(d.may[name], after) {
		d.may[name] = append(d.may[name], after)
	}
	err := do()
	if errors.Is(err, exchange.ErrExists) { // the caller relies on what lies there
		data, readErr := os.ReadFile(filepath.Join(d.above, storeName, name))
		after, err = string(data), readErr
	}
	if err != nil {
		d.Fatal(err)
	}
	d.may[name] = []string{after}
	d.cut()
	return true
}

// What a call has reported as done outlasts a power cut, and nothing is torn: no matter which calls came before it, in which
// of them a process died, and which part of the unsynced rest an earlier power cut left.
func TestWhatIsDoneOutlastsAPowerCut(t *testing.T) {
	for name, linked := range map[string]bool{"as it is": true, "without links": false} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				d := newDisk(r, linked)
				defer d.end()
				store := d.start(t)
				for range 12 {
					name := rapid.SampledFrom([]string{"parts/died/a", "parts/died/b", "log/0/1", "log/1/1"}).Draw(r, "name")
					text := rapid.SampledFrom([]string{"first", "second"}).Draw(r, "text")
					if rapid.IntRange(0, 3).Draw(r, "dies") == 3 {
						d.dies = rapid.IntRange(1, 6).Draw(r, "at")
					}
					var lives bool
					switch what := rapid.SampledFrom([]string{"put", "publish", "publish", "delete", "tidy", "start", "power"}).Draw(r, "what"); what {
					case "put":
						lives = d.call(name, text, func() error { return store.Put(t.Context(), name, int64(len(text)), strings.NewReader(text)) })
					case "publish":
						lives = d.call(name, text, func() error { return store.Publish(t.Context(), name, []byte(text)) })
					case "delete":
						lives = d.call(name, "", func() error { return store.Delete(t.Context(), name) })
					case "tidy": // of emptied folders, which the next file makes again
						store.Tidy(t.Context(), path.Dir(name))
						store.Tidy(t.Context(), path.Dir(path.Dir(name)))
						lives = true
					case "power":
						d.powerFails()
					}
					if d.dies = 0; !lives {
						store = d.start(t)
					}
				}
			})
		})
	}
}

func TestADeletionThatDiedIsMadeDurableByTheNext(t *testing.T) {
	root := t.TempDir()
	synced := 0
	var fails error
	store := dir.SyncingBy(openIn(t, root), func(*os.File) error { synced++; return fails })
	if err := store.Publish(t.Context(), "log/0/1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	fails = errDied
	if err := store.Delete(t.Context(), "log/0/1"); !errors.Is(err, errDied) {
		t.Fatalf("a deletion that is not durable: %v", err)
	}
	synced, fails = 0, nil
	if err := store.Delete(t.Context(), "log/0/1"); err != nil || synced == 0 {
		t.Errorf("the next deletion: %v, after %d syncs", err, synced)
	}
}

// A store that made a folder makes it durable again if the folder was removed since, by itself or by another process.
func TestAFolderThatIsMadeAgainIsMadeDurable(t *testing.T) {
	root := t.TempDir()
	var synced []string
	store := dir.SyncingBy(openIn(t, root), func(f *os.File) error { synced = append(synced, strings.TrimPrefix(f.Name(), root+"/")); return nil })
	other := openIn(t, root)
	for name, by := range map[string]*dir.Store{"itself": store, "another": other} {
		if err := errors.Join(store.Publish(t.Context(), "log/0/1", []byte("x")), by.Delete(t.Context(), "log/0/1")); err != nil {
			t.Fatal(err)
		}
		by.Tidy(t.Context(), "log/0")
		by.Tidy(t.Context(), "log")
		synced = nil
		if err := store.Publish(t.Context(), "log/0/1", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{".", "log", "log/0"} {
			if !slices.ContainsFunc(synced, func(name string) bool { return path.Clean(name) == folder }) {
				t.Errorf("removed by %s: %s is not synced, but %q", name, folder, synced)
			}
		}
		if err := store.Delete(t.Context(), "log/0/1"); err != nil {
			t.Fatal(err)
		}
	}
}
