// Package container reads the files in zip, gzip and zstd files. Limits keep a hostile or broken file from
// exhausting the machine. Nothing is written to disk.
package container

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"waybill/partner/format/record"
)

// Kinds are the containers that can be declared.
var Kinds = []string{"none", "zip", "gzip", "zstd"}

// Limits bound what comes out of one container. A zero limit is the default.
type Limits struct {
	Members int   `yaml:"members"` // files in it; default 1000
	Bytes   int64 `yaml:"bytes"`   // of all of them together, unpacked; default 16 GiB
	Ratio   int64 `yaml:"ratio"`   // unpacked bytes to packed ones, past the first MiB; default 250
}

func (l Limits) orDefault() Limits {
	l.Members = cmp.Or(l.Members, 1000)
	l.Bytes = cmp.Or(l.Bytes, 16<<30)
	l.Ratio = cmp.Or(l.Ratio, 250)
	return l
}

// Source is a whole file.
type Source interface {
	io.ReaderAt
	Size() int64
}

// Member is one file of a container. It must be read before the next one is asked for.
type Member struct {
	Name string // as the container has it; empty if the container has no names
	io.Reader
}

// Members returns the files in a container of the given kind, in its order. Of a zip it leaves out the files that
// macOS added, and those whose base name does not match pattern ([path.Match], in any letter case; "" matches all). A file that is not
// what it is declared to be, or breaks a limit, ends with a [*record.Malformed], from here or from a member's Read.
// A [*record.Refused] names a member of a zip that can't be read; the next member follows. An archive out of which no
// byte came ends with [ErrNothing].
func Members(kind string, file Source, limits Limits, pattern string) iter.Seq2[Member, error] {
	src := &source{Source: file}
	out := &budget{limits: limits.orDefault(), packed: file.Size()}
	return func(yield func(Member, error) bool) {
		ended := false // with an error, or because no more is wanted
		each := func(m Member, err error) bool {
			more := yield(m, err)
			ended = ended || err != nil || !more
			return more
		}
		switch kind {
		case "", "none":
			plain(src, yield)
			return
		case "zip":
			unzip(src, out, pattern, each)
		case "gzip":
			one(src, each, out, func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) })
		case "zstd":
			one(src, each, out, newZstd)
		default:
			each(Member{}, fmt.Errorf("unknown container; known are %s", strings.Join(Kinds, ", ")))
		}
		if !ended && out.unpacked == 0 {
			yield(Member{}, ErrNothing)
		}
	}
}

// ErrNothing is about an archive that holds nothing, as a pipe leaves it whose first program failed.
var ErrNothing error = record.Malformedf("not a byte is in the archive")

func newZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// plain hands out the file itself, unless it is a container after all.
func plain(src *source, yield func(Member, error) bool) {
	if kind := kindOf(src.head()); slices.Contains(Kinds, kind) {
		yield(Member{}, record.Malformedf("the file is %s: declare it as its container", kind))
		return
	} else if slices.Contains(envelopes, kind) {
		yield(Member{}, record.Malformedf("the file is %s: set `open`; to validate, give the file that is in it", kind))
		return
	}
	yield(Member{Reader: src.reader()}, nil)
}

// one hands out the only file of a container without names.
func one(src *source, yield func(Member, error) bool, out *budget, open func(io.Reader) (io.ReadCloser, error)) {
	r, err := open(bufio.NewReaderSize(src.reader(), 64<<10))
	if err != nil {
		yield(Member{}, src.blame(err, "the file can't be unpacked"))
		return
	}
	defer r.Close()
	yield(Member{Reader: &bounded{rationed{r, out}, src}}, nil)
}

func unzip(src *source, out *budget, pattern string, yield func(Member, error) bool) {
	opening := &directory{src, mostDirectory(out.limits)}
	archive, err := zip.NewReader(opening, src.Size())
	opening.left = math.MaxInt // from here on, the files themselves are read
	if errors.Is(err, errDirectory) {
		yield(Member{}, record.Malformedf("the archive's directory is too large for the %d files that are allowed", out.limits.Members))
		return
	}
	if err != nil {
		yield(Member{}, src.blame(err, "the file is no zip archive"))
		return
	}
	for _, f := range archive.File {
		if err := check(f, len(archive.File), out.limits); err != nil {
			yield(Member{}, err)
			return
		}
	}
	files := slices.DeleteFunc(archive.File, func(f *zip.File) bool { return strings.HasSuffix(f.Name, "/") || isOfMacOS(f.Name) })
	fitting := slices.DeleteFunc(slices.Clone(files), func(f *zip.File) bool { return !matches(pattern, f.Name) })
	if len(files) > 0 && len(fitting) == 0 {
		yield(Member{}, record.Malformedf("no file of the archive has a name that fits %s", pattern))
		return
	}
	for _, f := range fitting {
		if !member(f, src, out, yield) {
			return
		}
	}
}

// isOfMacOS reports whether a name is of a file that macOS adds to every zip. No extractor shows these.
func isOfMacOS(name string) bool {
	return strings.HasPrefix(name, "__MACOSX/") || strings.HasPrefix(path.Base(name), "._")
}

// matches ignores the case of letters: programs for Windows write both a.csv and A.CSV.
func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	name = path.Base(name)
	exact, _ := path.Match(pattern, name)
	folded, _ := path.Match(strings.ToLower(pattern), strings.ToLower(name))
	return exact || folded
}

func member(f *zip.File, src *source, out *budget, yield func(Member, error) bool) bool {
	name := record.NameText(f.Name)
	refuse := func(reason string) bool {
		return yield(Member{Name: name}, &record.Refused{Where: record.Where{Member: name, Line: 1}, Reason: reason})
	}
	if f.Mode()&fs.ModeSymlink != 0 {
		return refuse("a symbolic link: links are not followed")
	}
	r, err := f.Open()
	switch {
	case err == nil:
	case src.failed != nil:
		yield(Member{}, src.failed)
		return false
	default:
		return refuse(fmt.Sprintf("a file of the archive that can't be opened: %v", err))
	}
	defer r.Close()
	return yield(Member{name, &bounded{rationed{r, out}, src}}, nil)
}

// directory limits how much of an archive its directory may take. The library reads all of the directory, and the
// number of files that the archive states may be false.
type directory struct {
	*source
	left int
}

// mostDirectory allows each file half a KiB, and the search for the directory its 66 KiB.
func mostDirectory(l Limits) int { return l.Members<<9 + 128<<10 }

var errDirectory = errors.New("the directory is too large")

func (d *directory) ReadAt(p []byte, off int64) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errDirectory
	}
	return d.source.ReadAt(p, off)
}

// check refuses an archive by its directory. A name that leads out of the folder can do no harm, because nothing is
// written. But it shows an attack, so the whole archive is refused.
func check(f *zip.File, members int, limits Limits) error {
	const encrypted = 1
	name := strings.ReplaceAll(f.Name, `\`, "/")
	switch {
	case members > limits.Members:
		return record.Malformedf("the archive holds %d files, and %d are allowed", members, limits.Members)
	case strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") || strings.Contains(name, ":") || strings.ContainsRune(name, 0):
		return record.Malformedf("a file of the archive has a name that leads out of it")
	case f.Flags&encrypted != 0:
		return record.Malformedf("the archive is encrypted")
	case f.UncompressedSize64 > uint64(limits.Bytes):
		return record.Malformedf("a file of the archive is larger than %d bytes", limits.Bytes)
	}
	return nil
}

// budget is what may still come out of a container.
type budget struct {
	limits   Limits
	packed   int64 // bytes of the container
	unpacked int64 // so far
}

const free = 1 << 20 // bytes for which the ratio is not checked

func (b *budget) spend(n int) error {
	b.unpacked += int64(n)
	if b.unpacked > b.limits.Bytes {
		return record.Malformedf("the file unpacks to more than %d bytes", b.limits.Bytes)
	}
	if b.unpacked > free && b.unpacked/b.limits.Ratio > b.packed {
		return record.Malformedf("the file unpacks to more than %d times its size", b.limits.Ratio)
	}
	return nil
}

// Bound returns a reader that ends with a [*record.Malformed] beyond what may come out of a file of that size.
func (l Limits) Bound(r io.Reader, packed int64) io.Reader {
	return rationed{r, &budget{limits: l.orDefault(), packed: packed}}
}

type rationed struct {
	io.Reader
	out *budget
}

func (r rationed) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if over := r.out.spend(n); over != nil {
		return 0, over
	}
	return n, err
}

// bounded reads what is unpacked, within the budget.
type bounded struct {
	rationed
	src *source
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.rationed.Read(p)
	if _, over := errors.AsType[*record.Malformed](err); err != nil && !over && !errors.Is(err, io.EOF) {
		err = b.src.blame(err, "the file can't be unpacked to its end")
	}
	return n, err
}

// source remembers a failure to read the file, to distinguish it from wrong bytes.
type source struct {
	Source
	failed error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Source.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

func (s *source) reader() io.Reader { return io.NewSectionReader(s, 0, s.Size()) }

func (s *source) head() []byte {
	head := make([]byte, 32)
	n, err := s.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil // the next read returns the error
	}
	return head[:n]
}

// blame returns the error of reading the file, if there was one. Otherwise it says that the bytes are wrong, and
// what they look like.
func (s *source) blame(err error, reason string) error {
	if s.failed != nil {
		return s.failed
	}
	if kind := kindOf(s.head()); kind != "" {
		return record.Malformedf("%s (%v): it begins like %s", reason, err, kind)
	}
	return record.Malformedf("%s: %v", reason, err)
}

// envelopes are what has to be opened first.
var envelopes = []string{"a PGP message", "an age file"}

// kindOf says what a file looks like by its first bytes. It knows the kinds that occur in drop folders.
func kindOf(head []byte) string {
	for _, k := range []struct{ prefix, kind string }{
		{"PK\x03\x04", "zip"},
		{"PK\x05\x06", "zip"},
		{"\x1f\x8b", "gzip"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"GIF8", "a GIF image"},
		{"\x89PNG", "a PNG image"},
		{"\xff\xd8\xff", "a JPEG image"},
		{"%PDF", "a PDF document"},
		{"-----BEGIN PGP", envelopes[0]},
		{"age-encryption.org/", envelopes[1]},
		{"-----BEGIN AGE", envelopes[1]},
		{"7z\xbc\xaf", "a 7z archive"},
		{"BZh", "bzip2"},
		{"\xfd7zXZ", "xz"},
	} {
		if bytes.HasPrefix(head, []byte(k.prefix)) {
			return k.kind
		}
	}
	return ""
}
