//go:build unix

package dir

import "syscall"

// space returns how many bytes of the folder's file system are free for this account, and how many it has.
func space(folder string) (free, all uint64, err error) {
	var stat syscall.Statfs_t
	err = syscall.Statfs(folder, &stat)
	return stat.Bavail * uint64(stat.Bsize), stat.Blocks * uint64(stat.Bsize), err
}
