//go:build unix && !linux

package pg

import "syscall"

func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// children is empty where there is no /proc: PostgreSQL's children end by themselves when
// they find their postmaster gone.
func children(int) []int { return nil }
