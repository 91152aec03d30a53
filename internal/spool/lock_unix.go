//go:build unix

package spool

import (
	"os"
	"syscall"
)

// tryLock locks the file until it is closed, or fails at once.
func tryLock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
