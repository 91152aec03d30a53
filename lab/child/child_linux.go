package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// endWithParent makes the kernel send a signal when the forking thread ends.
func endWithParent(attributes *syscall.SysProcAttr, end syscall.Signal) { attributes.Pdeathsig = end }

// children returns the processes whose parent is pid.
func children(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err == nil && parent(child) == pid {
			found = append(found, child)
		}
	}
	return found
}

// parent returns the parent of pid, or 0 when pid has ended. The second field of
// /proc/PID/stat is the program's name and may hold anything, so the search starts at the end.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	ppid, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return ppid
}
