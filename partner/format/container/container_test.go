package container

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"waybill/partner/format/record"
)

func zipped(t testing.TB, members ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(members); i += 2 {
		f, err := w.Create(members[i])
		if err == nil {
			_, err = io.WriteString(f, members[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// read returns the members as "name=text", and the error that ends them.
func read(kind string, file Source, limits Limits, pattern string) (seen []string, err error) {
	for m, err := range Members(kind, file, limits, pattern) {
		if err != nil {
			return seen, err
		}
		text, err := io.ReadAll(m)
		if err != nil {
			return seen, err
		}
		seen = append(seen, m.Name+"="+string(text))
	}
	return seen, nil
}

func TestMembers(t *testing.T) {
	for name, c := range map[string]struct {
		kind, pattern string
		file          []byte
		want          []string
	}{
		"plain":           {"", "", []byte("abc"), []string{"=abc"}},
		"nothing":         {"none", "", nil, []string{"="}},
		"gzip":            {"gzip", "", gzipped(t, "abc"), []string{"=abc"}},
		"gzip twice":      {"gzip", "", append(gzipped(t, "abc"), gzipped(t, "def")...), []string{"=abcdef"}},
		"zstd":            {"zstd", "", zstded(t, "abc"), []string{"=abc"}},
		"zip":             {"zip", "", zipped(t, "b.hl7", "1", "in/", "", "in/a.hl7", "2"), []string{"b.hl7=1", "in/a.hl7=2"}},
		"zip of macOS":    {"zip", "", zipped(t, "a.hl7", "1", "__MACOSX/._a.hl7", "x", "in/._a.hl7", "x"), []string{"a.hl7=1"}},
		"not UTF-8":       {"zip", "", zipped(t, "b\xfcro.hl7", "1"), []string{"b%FCro.hl7=1"}},
		"some of the zip": {"zip", "*.hl7", zipped(t, "README.txt", "1", "in/a.hl7", "2"), []string{"in/a.hl7=2"}},
		"zip of Windows":  {"zip", "*.csv", zipped(t, "a.csv", "1", "DEATHS.CSV", "2", "README.TXT", "3"), []string{"a.csv=1", "DEATHS.CSV=2"}},
		"in capitals":     {"zip", "TODAY_[0-9].CSV", zipped(t, "today_1.csv", "1"), []string{"today_1.csv=1"}},
		"between letters": {"zip", "[Z-a]", zipped(t, "a", "1"), []string{"a=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(c.kind, bytes.NewReader(c.file), Limits{}, c.pattern)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// A member that can't be read is refused by its name, and the next one follows.
func TestAnOddMemberIsRefusedAlone(t *testing.T) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	link := &zip.FileHeader{Name: "link.hl7"}
	link.SetMode(fs.ModeSymlink | 0o777)
	packed := &zip.FileHeader{Name: "packed.hl7", Method: 99, CompressedSize64: 1, UncompressedSize64: 1}
	for _, add := range []func() (io.Writer, error){
		func() (io.Writer, error) { return w.CreateHeader(link) }, func() (io.Writer, error) { return w.CreateRaw(packed) },
		func() (io.Writer, error) { return w.Create("good.hl7") },
	} {
		f, err := add()
		if err == nil {
			_, err = io.WriteString(f, "x")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for m, err := range Members("zip", bytes.NewReader(out.Bytes()), Limits{}, "") {
		if bad, is := errors.AsType[*record.Refused](err); is {
			seen = append(seen, bad.Member+": "+bad.Reason)
		} else if err != nil {
			t.Fatal(err)
		} else {
			seen = append(seen, m.Name)
		}
	}
	want := []string{"link.hl7: a symbolic link: links are not followed", "packed.hl7: a file of the archive that can't be opened: zip: unsupported compression algorithm", "good.hl7"}
	if !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
}

func TestWhatIsRefused(t *testing.T) {
	zeros := strings.Repeat("\x00", 2<<20)
	for name, c := range map[string]struct {
		kind   string
		file   []byte
		limits Limits
		want   string
	}{
		"an image named zip":     {"zip", []byte("GIF89a and so on"), Limits{}, "the file is no zip archive (zip: not a valid zip file): it begins like a GIF image"},
		"text named zip":         {"zip", []byte("MSH|^~\\&|"), Limits{}, "the file is no zip archive: zip: not a valid zip file"},
		"zip not declared":       {"", zipped(t, "a", "1"), Limits{}, "the file is zip: declare it as its container"},
		"gzip as zip":            {"zip", gzipped(t, "a"), Limits{}, "begins like gzip"},
		"zip as gzip":            {"gzip", zipped(t, "a", "1"), Limits{}, "begins like zip"},
		"text as zstd":           {"zstd", []byte("MSH|^~\\&|and some more text of it"), Limits{}, "can't be unpacked"},
		"a name that leads up":   {"zip", zipped(t, "ok", "1", "../../etc/passwd", "2"), Limits{}, "leads out of it"},
		"a name in DOS's way":    {"zip", zipped(t, `..\a`, "2"), Limits{}, "leads out of it"},
		"a name from the root":   {"zip", zipped(t, "/etc/passwd", "2"), Limits{}, "leads out of it"},
		"a name of a drive":      {"zip", zipped(t, `C:\a`, "2"), Limits{}, "leads out of it"},
		"too many":               {"zip", zipped(t, "a", "1", "b", "2", "c", "3"), Limits{Members: 2}, "holds 3 files, and 2 are allowed"},
		"too large, as it says":  {"zip", zipped(t, "a", "12345"), Limits{Bytes: 4}, "larger than 4 bytes"},
		"too large together":     {"zip", zipped(t, "a", "123", "b", "123"), Limits{Bytes: 4}, "more than 4 bytes"},
		"a bomb in zip":          {"zip", zipped(t, "a", zeros), Limits{}, "more than 250 times its size"},
		"a bomb in gzip":         {"gzip", gzipped(t, zeros), Limits{}, "more than 250 times its size"},
		"a bomb in zstd":         {"zstd", zstded(t, zeros), Limits{}, "more than 250 times its size"},
		"a large one in gzip":    {"gzip", gzipped(t, "12345"), Limits{Bytes: 4}, "more than 4 bytes"},
		"a gzip that is cut off": {"gzip", gzipped(t, strings.Repeat("abc", 1000))[:30], Limits{}, "can't be unpacked to its end"},
		"nothing in gzip":        {"gzip", gzipped(t, ""), Limits{}, "not a byte is in the archive"},
		"nothing in zstd":        {"zstd", zstded(t, ""), Limits{}, "not a byte is in the archive"},
		"no file in zip":         {"zip", zipped(t), Limits{}, "not a byte is in the archive"},
		"nothing in a zip's one": {"zip", zipped(t, "a", ""), Limits{}, "not a byte is in the archive"},
		"a zip that is cut off":  {"zip", zipped(t, "a", "1")[:60], Limits{}, "no zip archive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.kind, bytes.NewReader(c.file), c.limits, "")
			if _, ok := errors.AsType[*record.Malformed](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAnArchiveOfOtherFilesIsRefused(t *testing.T) {
	_, err := read("zip", bytes.NewReader(zipped(t, "README.TXT", "1")), Limits{}, "*.csv")
	if _, ok := errors.AsType[*record.Malformed](err); !ok || !strings.Contains(err.Error(), "no file of the archive has a name that fits *.csv") {
		t.Error(err)
	}
}

func TestAnEncryptedArchiveIsNamedAsSuch(t *testing.T) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	if _, err := w.CreateRaw(&zip.FileHeader{Name: "a", Flags: 1}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := read("zip", bytes.NewReader(out.Bytes()), Limits{}, ""); fmt.Sprint(err) != "the archive is encrypted" {
		t.Error(err)
	}
}

// An error of the disk is not an error of the file.
func TestAFailingDiskIsNotMalformed(t *testing.T) {
	lost := errors.New("disk lost")
	for _, kind := range []string{"none", "zip", "gzip", "zstd"} {
		_, err := read(kind, failing{lost}, Limits{}, "")
		if !errors.Is(err, lost) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Size() int64                       { return 100 }

// For any bytes, a container ends within its limits, and its errors are reported.
func FuzzMembers(f *testing.F) {
	f.Add(zipped(f, "a", "1", "b", strings.Repeat("2", 100)), uint8(1))
	f.Add(gzipped(f, "abc"), uint8(2))
	f.Add(zstded(f, "abc"), uint8(3))
	limits := Limits{Members: 10, Bytes: 4 << 20}
	f.Fuzz(func(t *testing.T, file []byte, n uint8) {
		seen, err := read(Kinds[int(n)%len(Kinds)], bytes.NewReader(file), limits, "")
		if _, ok := errors.AsType[*record.Malformed](err); err != nil && !ok {
			t.Error(err)
		}
		total := 0
		for _, text := range seen {
			total += len(text)
		}
		if len(seen) > limits.Members || total > len(seen)*(64<<10)+int(limits.Bytes) {
			t.Errorf("%d members of %d bytes", len(seen), total)
		}
	})
}

// An archive states how many files it holds. The number may be false, and the library reads them all.
func TestADirectoryIsReadNoFurtherThanItMayReach(t *testing.T) {
	var members []string
	for i := range 65_536 + 3 {
		members = append(members, fmt.Sprintf("%060d", i), "")
	}
	archive := &counted{Reader: bytes.NewReader(zipped(t, members...))}
	for _, err := range Members("zip", archive, Limits{Members: 10}, "") {
		if _, is := errors.AsType[*record.Malformed](err); !is || !strings.Contains(err.Error(), "10 files that are allowed") {
			t.Errorf("got %v", err)
		}
	}
	if archive.read > 256<<10 {
		t.Errorf("%d bytes of %d were read", archive.read, archive.Size())
	}
}

// counted counts what is read of a file.
type counted struct {
	*bytes.Reader
	read int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.read += n
	return n, err
}

// What comes out is bounded by what went in, past the first MiB.
func TestARatioBoundsWhatComesOut(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ packed, most int64 }{
		{1, mib}, {mib / 2, 3*mib/2 + 2}, {mib, 3*mib + 2},
	} {
		for _, size := range []int64{c.most, c.most + 1} {
			zeros := io.LimitReader(zero{}, size)
			n, err := io.Copy(io.Discard, Limits{Ratio: 3}.Bound(zeros, c.packed))
			if (err != nil) != (size > c.most) || err == nil && n != size {
				t.Errorf("of %d bytes %d came out, of at most %d: %v", c.packed, size, c.most, err)
			}
		}
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { return len(p), nil }
