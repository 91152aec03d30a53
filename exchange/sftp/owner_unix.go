//go:build unix

package sftp

import (
	"io/fs"
	"os"
	"syscall"
)

// isOurs reports whether a file belongs to this account.
func isOurs(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}
