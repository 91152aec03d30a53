// Package exchangetest has tests of what every store must do. Run them over a store with [Run]. It
// also has stores that misbehave on purpose, for tests of what is built on stores.
package exchangetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
)

// Capabilities are what stores may differ in. Each value has its own expectations; nothing is skipped.
type Capabilities struct {
	// NativePublish: if several publish at once, exactly one wins. Otherwise several may succeed, and
	// a loser finds out by reading back.
	NativePublish bool
	// OneAtATime: several who publish at once can spoil the file, or hide it.
	OneAtATime bool
	// FailsAtFirst: those who write at the same time as others, or where another removed the folder, may get an error that passes.
	FailsAtFirst bool
	// Overwrites: Put replaces an existing file. Otherwise it returns [exchange.ErrExists].
	Overwrites bool
	// KeepsFiles: the account may neither delete nor move. Both are refused, and the files stay.
	KeepsFiles bool
	// KeepsNames: a deleted file's name stays taken, because the server keeps a version of the file.
	KeepsNames bool
	// FourRoles: the store has only the roles of [exchange.Store]: it can't delete, survey or move.
	FourRoles bool
	// ListsAtMost is how many names the server lists at most, and says so; 0: all. More are an error.
	ListsAtMost int
	// Slow: making files takes long, so that the longest listing has 350 names and not 10,000.
	Slow bool
	// HidesLinks: the server lists a symbolic link like its target.
	HidesLinks bool
	// OmitsLinks: the server lists no symbolic link.
	OmitsLinks bool
	// Undated: the server doesn't say when a file was written.
	Undated bool
	// Flat: the server has no folders that could be surveyed, and files are moved from name to name.
	Flat bool
}

// Place is an empty store, with ways to change it from outside.
type Place struct {
	Store exchange.Store
	// Plant puts a file into the store from outside, under any name in an existing folder.
	Plant func(name string, data []byte) error
	// Link makes a symbolic link; nil: the server has none.
	Link func(name, target string) error
	// Close makes a file unreadable to the store's account; nil: there are no such files.
	Close func(name string) error
}

const (
	kB = 1 << 10
	mB = 1 << 20
)

type suite struct {
	caps Capabilities
	open func(t *testing.T) Place
}

// Run tests the store that open returns, a new and empty one at each call.
func Run(t *testing.T, caps Capabilities, open func(t *testing.T) Place) {
	s := suite{caps, open}
	for _, group := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"content", s.content},
		{"failure", s.failure},
		{"publish", s.publish},
		{"names", s.names},
		{"list", s.list},
		{"cancel", s.cancel},
		{"delete", s.delete},
		{"drop", s.drop},
	} {
		t.Run(group.name, group.run)
	}
}

// pattern returns an endless reader of bytes that depend only on the seed.
func pattern(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func patternOf(seed byte, size int64) io.Reader { return io.LimitReader(pattern(seed), size) }

func patternBytes(t *testing.T, seed byte, size int64) []byte {
	t.Helper()
	data, err := io.ReadAll(patternOf(seed, size))
	must(t, err)
	return data
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s = %v, want %v", what, err, target)
	}
}

func putBytes(t *testing.T, s exchange.Store, name string, data []byte) {
	t.Helper()
	must(t, s.Put(t.Context(), name, int64(len(data)), bytes.NewReader(data)))
}

func getBytes(t *testing.T, s exchange.Store, name string) ([]byte, error) {
	t.Helper()
	file, err := s.Get(t.Context(), name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	return data, errors.Join(err, file.Close())
}

func wantBytes(t *testing.T, s exchange.Store, name string, want []byte) {
	t.Helper()
	got, err := getBytes(t, s, name)
	if err != nil {
		t.Errorf("get %s: %v", name, err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes (%x), want %d (%x)", name, len(got), sha256.Sum256(got), len(want), sha256.Sum256(want))
	}
}

// listed returns what is in a folder, in order.
func listed(t *testing.T, s exchange.Store, folder string) []string {
	t.Helper()
	var names []string
	for name, err := range s.List(t.Context(), folder) {
		must(t, err)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func wantListed(t *testing.T, s exchange.Store, folder string, want ...string) {
	t.Helper()
	if got := listed(t, s, folder); !slices.Equal(got, want) {
		t.Errorf("list %q = %q, want %q", folder, got, want)
	}
}

// again tries again what fails at first, as runs do.
func (s suite) again(try func() error) (err error) {
	for range 5 {
		if err = try(); err == nil || !s.caps.FailsAtFirst || fault.ClassOf(err) != fault.Transient {
			break
		}
	}
	return err
}
