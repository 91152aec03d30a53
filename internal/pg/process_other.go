//go:build unix && !linux

package pg

import "syscall"

// endWithParent does nothing: only Linux has parent-death signals.
func endWithParent(*syscall.SysProcAttr) {}

// children is empty where there is no /proc: PostgreSQL's children end by themselves when
// they find their postmaster gone.
func children(int) []int { return nil }
