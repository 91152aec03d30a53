package dir

import (
	"os"
	"syscall"
)

// WithoutLinks makes s believe that its filesystem has no links, as FAT and some shares don't.
func WithoutLinks(s *Store) *Store {
	s.link = func(_ *os.Root, from, to string) error {
		return &os.LinkError{Op: "linkat", Old: from, New: to, Err: syscall.EPERM}
	}
	return s
}

// SyncingBy makes s call sync for every file and folder that it makes durable.
func SyncingBy(s *Store, sync func(*os.File) error) *Store {
	s.sync = sync
	return s
}
